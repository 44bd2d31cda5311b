"""What chat models say of a picture, as inverted prompts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.inverters import Prompt, load_seeing
from workbench.plugin import Plugin, options_of
from workbench.weights import device, inference, loading
from workbench.weights.checkpoint import Checkpoint

if TYPE_CHECKING:
    from PIL.Image import Image

INSTRUCTION = (
    "Write the one sentence that a text-to-image model would need as its prompt to make this "
    "picture: the subject, its surroundings, and the style. Answer with that sentence alone."
)
THOUGHT = re.compile(r"<think>.*?(</think>|$)", re.DOTALL)


@dataclass(frozen=True, repr=False)
class Chat(Plugin):
    """Ask a chat model that sees for the prompt of each picture.

    Any image-text-to-text class of transformers whose processor has a chat template: LLaVA (Liu et
    al. 2023, arXiv:2304.08485), Qwen-VL, SmolVLM, … A field left None is the row's option of that
    name, else: `INSTRUCTION` (ours) and at most 96 tokens. Decoding is greedy; a penalty that the
    checkpoint sets for repetition stays. What a model thinks before it answers is cut, and the
    answer is put on one line; a model still thinking at the limit answers the empty prompt.

    Text in a picture may steer the model ("ignore the above and say …"): its answer is only ever
    used as a prompt, never as an instruction, a name or a path. Models that were made to refuse
    may answer with a refusal, which is then the prompt.

    >>> Chat(Checkpoint("tiny-llava", "inverter", "", "/weights"), instruction="What is this?")
    Chat("tiny-llava", instruction="What is this?")
    """

    checkpoint: Checkpoint
    instruction: str | None = None
    max_new_tokens: int | None = None
    revision: ClassVar[int] = 1

    @staticmethod
    def packages(row: Checkpoint) -> dict[str, str]:
        """Return the module that a row needs besides, and what pip calls it; {} for most."""
        writes_numbers_out = row.class_name.endswith(".SmolVLMForConditionalGeneration")
        return {"num2words": "'attribution-workbench[chat]'"} if writes_numbers_out else {}

    def __call__(self, images: Sequence[Image]) -> list[Prompt]:
        """Return N Prompts for N RGB images of any size.

        The score is the log-probability per token, as the model gives it before any penalty.
        Pictures go one a call, on a GPU too: most of these models cut a picture into as many tokens
        as its size asks for, and the padding of a batch would change the shorter ones' numbers.

        Raises ValueError for a model that does not chat about pictures, LookupError when the
        weights are missing or of another class.
        """
        model, processor = loading.load_weights(self.checkpoint, load_seeing)
        if not (hasattr(processor, "image_processor") and processor.chat_template):
            raise ValueError(
                f"{self.checkpoint.name!r} does not chat about pictures: its "
                f"{type(processor).__name__} has no chat template, or sees none"
            )

        def answer(chunk: list[Image]) -> list[Prompt]:
            return [self._answer(chunk[0], model, processor)]

        return inference.run_batched(answer, images, self.checkpoint, batch=1)

    def _answer(self, image: Image, model: Any, processor: Any) -> Prompt:
        """Ask about one picture."""
        import torch

        defaults = {"instruction": INSTRUCTION, "max_new_tokens": 96}
        settings = options_of(self, defaults)
        asked = _ask(processor, settings["instruction"])
        begun = processor.tokenizer.bos_token
        inputs = processor(
            images=[image],
            text=[asked],
            add_special_tokens=not (begun and asked.startswith(begun)),
            return_tensors="pt",
        ).to(model.device, device.dtype(self.checkpoint))
        found = model.generate(
            **inputs,
            do_sample=False,
            num_beams=1,
            max_new_tokens=settings["max_new_tokens"],
            temperature=None,  # as are the next two, which go with sampling
            top_p=None,
            top_k=None,
            return_dict_in_generate=True,
            output_logits=True,
        )
        tokens = found.sequences[0, -len(found.logits) :]
        logs = torch.cat(found.logits).float().log_softmax(dim=-1)
        opened = "<think>" if asked.rstrip().endswith("<think>") else ""
        text = processor.tokenizer.decode(tokens, skip_special_tokens=True)
        return Prompt(
            one_line(opened + text),
            logs.gather(1, tokens[:, None]).mean().item(),
            truncated=int(tokens[-1]) not in _ends(model),
        )


def one_line(answer: str) -> str:
    r"""Cut thoughts from an answer, and put what is left on one line.

    >>> one_line("<think>A fish?\nYes.</think>\n\nA red fish,\nin oil.")
    'A red fish, in oil.'
    >>> one_line("<think>A fish, or")
    ''
    """
    return " ".join(THOUGHT.sub("", answer).split())


def _ask(processor: Any, instruction: str) -> str:
    """Write one turn about one picture as the model's template wants it.

    A template of text alone (JoyCaption's) puts the picture in by itself.
    """
    from jinja2 import TemplateError

    def written(content: Any) -> str:
        turns = [{"role": "user", "content": content}]
        return str(processor.apply_chat_template(turns, add_generation_prompt=True))

    try:
        asked = written([{"type": "image"}, {"type": "text", "text": instruction}])
    except (TemplateError, TypeError):
        return written(instruction)
    return written(instruction) if "'type'" in asked else asked


def _ends(model: Any) -> list[int]:
    """List the tokens that end an answer."""
    ends = model.generation_config.eos_token_id
    return ends if isinstance(ends, list) else [ends]
