"""Answers of chat models that see, as inverted prompts."""

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
        On the CPU pictures go one a call, bit for bit. On a GPU those go together that become as
        many tokens: most of these models cut a picture into as many as its size asks for, and the
        padding of others would change the shorter ones' numbers.

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
            return self._answers(chunk, model, processor)

        batch = 1 if device.kind() == "cpu" else None
        return inference.run_batched(answer, images, self.checkpoint, batch)

    def _answers(self, images: list[Image], model: Any, processor: Any) -> list[Prompt]:
        """Ask about B pictures; those whose tensors have the same shapes share a call."""
        import torch

        defaults = {"instruction": INSTRUCTION, "max_new_tokens": 96}
        settings = options_of(self, defaults)
        turn = _ask(processor, settings["instruction"])
        begun = processor.tokenizer.bos_token
        special = not (begun and turn.startswith(begun))
        how = {"add_special_tokens": special, "return_tensors": "pt"}
        inputs = [dict(processor(images=[image], text=[turn], **how)) for image in images]
        alike: dict[Any, list[int]] = {}
        for place, one in enumerate(inputs):
            shapes = tuple((name, value.shape) for name, value in one.items())
            alike.setdefault(shapes, []).append(place)
        opened = "<think>" if turn.rstrip().endswith("<think>") else ""
        prompts: dict[int, Prompt] = {}
        for some in alike.values():
            joined = {name: torch.cat([inputs[x][name] for x in some]) for name in inputs[some[0]]}
            answers = self._generated(joined, settings["max_new_tokens"], model)
            for place, (tokens, score) in zip(some, answers, strict=True):
                text = processor.tokenizer.decode(tokens, skip_special_tokens=True)
                cut = int(tokens[-1]) not in _ends(model)
                prompts[place] = Prompt(one_line(opened + text), score, truncated=cut)
        return [prompts[place] for place in range(len(images))]

    def _generated(self, inputs: dict[str, Any], most: int, model: Any) -> list[tuple[Any, float]]:
        """Return the tokens of each answer up to its end, and their mean log-probability."""
        import torch

        dtype = device.dtype(self.checkpoint)
        output = model.generate(
            **{
                name: value.to(model.device, dtype if value.is_floating_point() else None)
                for name, value in inputs.items()
            },
            do_sample=False,
            num_beams=1,
            max_new_tokens=most,
            temperature=None,  # as are the next two, which go with sampling
            top_p=None,
            top_k=None,
            return_dict_in_generate=True,
            output_logits=True,
        )
        answers = []
        for place, tokens in enumerate(output.sequences[:, -len(output.logits) :]):
            ends = [step for step, token in enumerate(tokens.tolist()) if token in _ends(model)]
            own = tokens[: ends[0] + 1] if ends else tokens  # padding follows, in company
            logits = torch.stack([step[place] for step in output.logits[: len(own)]])
            logs = logits.float().log_softmax(dim=-1)
            answers.append((own, logs.gather(1, own[:, None]).mean().item()))
        return answers


def one_line(answer: str) -> str:
    r"""Return an answer without its thoughts, on one line.

    >>> one_line("<think>A fish?\nYes.</think>\n\nA red fish,\nin oil.")
    'A red fish, in oil.'
    >>> one_line("<think>A fish, or")
    ''
    """
    return " ".join(THOUGHT.sub("", answer).split())


def _ask(processor: Any, instruction: str) -> str:
    """Return one turn about one picture, in the form of the model's chat template.

    A template of text alone (JoyCaption's) puts the picture in by itself.
    """
    from jinja2 import TemplateError

    def written(content: Any) -> str:
        turns = [{"role": "user", "content": content}]
        return str(processor.apply_chat_template(turns, add_generation_prompt=True))

    try:
        turn = written([{"type": "image"}, {"type": "text", "text": instruction}])
    except (TemplateError, TypeError):
        return written(instruction)
    return written(instruction) if "'type'" in turn else turn


def _ends(model: Any) -> list[int]:
    """Return the tokens that end an answer."""
    ends = model.generation_config.eos_token_id
    return ends if isinstance(ends, list) else [ends]
