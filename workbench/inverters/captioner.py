"""Captions of BLIP-2, GIT, Kosmos-2 and Florence-2 as inverted prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.inverters import Prompt, load_seeing
from workbench.plugin import Plugin, options_of
from workbench.weights import device, inference, loading
from workbench.weights.checkpoint import Checkpoint

if TYPE_CHECKING:
    from PIL.Image import Image

CLASSES = tuple(
    f"transformers.{name}"
    for name in (
        "Blip2ForConditionalGeneration",
        "GitForCausalLM",
        "Kosmos2ForConditionalGeneration",
        "Florence2ForConditionalGeneration",
    )
)

DEFAULTS = {"prompt": "", "beams": 3, "min_length": 5, "max_length": 60}


@dataclass(frozen=True, repr=False)
class Captioner(Plugin):
    """Caption pictures by beam search with a captioning model of transformers.

    BLIP-2 (Li et al. 2023, arXiv:2301.12597), GIT (Wang et al. 2022, arXiv:2205.14100), Kosmos-2
    (Peng et al. 2023, arXiv:2306.14824) or Florence-2 (Xiao et al. 2023, arXiv:2311.06242), as the
    row's class says. A field left None is the row's option of that name, else: no prompt, 3 beams,
    5 to 60 tokens, as for BLIP, though here the prompt does not count as tokens.

    The prompt is what the caption continues ("An image of"); with Kosmos-2 after "<grounding>" to
    have entities marked; with Florence-2 the task ("<CAPTION>", "<DETAILED_CAPTION>"). It is cut
    from the caption, as are the marks. The score is the log-probability per token of the best beam;
    a single beam gives none.

    >>> Captioner(Checkpoint("tiny-git", "inverter", "", "/weights"), beams=5)
    Captioner("tiny-git", beams=5)
    """

    checkpoint: Checkpoint
    prompt: str | None = None
    beams: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    revision: ClassVar[int] = 1

    def __call__(self, images: Sequence[Image]) -> list[Prompt]:
        """Return N Prompts for N RGB images of any size.

        On the CPU pictures go one a call: beams of several pictures share a call's matrices, whose
        last bits hang on a picture's place among them. On a GPU they go together.

        Raises ValueError for a class that does not caption, LookupError when the weights are
        missing or of another class.
        """
        if self.checkpoint.class_name not in CLASSES:
            raise ValueError(
                f"no captions by {self.checkpoint.class_name!r}, the class of "
                f"{self.checkpoint.name!r}; there are: {', '.join(CLASSES)}"
            )
        model, processor = loading.load_weights(self.checkpoint, load_seeing)

        def caption(chunk: list[Image]) -> list[Prompt]:
            return self._caption(chunk, model, processor)

        batch = 1 if device.kind() == "cpu" else None
        return inference.run_batched(caption, images, self.checkpoint, batch)

    def _caption(self, images: list[Image], model: Any, processor: Any) -> list[Prompt]:
        """Caption one chunk: B pictures of any size in, B Prompts out."""
        settings = options_of(self, DEFAULTS)
        inputs = _inputs(images, settings["prompt"], model, processor)
        dtype = device.dtype(self.checkpoint)
        inputs = {
            name: value.to(model.device, dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }
        beams = settings["beams"]
        end = model.config.get_text_config(decoder=True).eos_token_id
        output = model.generate(
            **inputs,
            num_beams=beams,
            do_sample=False,
            min_new_tokens=settings["min_length"],
            max_new_tokens=settings["max_length"],
            length_penalty=1.0,
            eos_token_id=end,
            forced_eos_token_id=None,  # an end put at the limit would hide that it was reached
            return_dict_in_generate=True,
            output_scores=True,
        )
        scores: Sequence[float | None] = [None] * len(images)
        if beams > 1:
            scores = output.sequences_scores.tolist()
        start = 1 if model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
        answers = output.sequences[:, start:]
        return [
            Prompt(_text(tokens, processor), score, truncated=end not in tokens.tolist())
            for tokens, score in zip(answers, scores, strict=True)
        ]


def _inputs(images: list[Image], prompt: str, model: Any, processor: Any) -> dict[str, Any]:
    """Return B pictures and the same prompt for each as tensors (B, …); nothing is padded."""
    import torch

    encoded = [processor(images=image, text=prompt, return_tensors="pt") for image in images]
    inputs = {name: torch.cat([one[name] for one in encoded]) for name in encoded[0]}
    inputs.pop("token_type_ids", None)
    if type(model).__name__ == "GitForCausalLM":  # its tokenizer ends the prompt: go on instead
        inputs |= {name: inputs[name][:, :-1] for name in ("input_ids", "attention_mask")}
    return inputs


def _text(tokens: Any, processor: Any) -> str:
    """Return tokens as one line of text, without Kosmos-2's marks around entities."""
    text = processor.tokenizer.decode(tokens, skip_special_tokens=True)
    if hasattr(processor, "grd_token"):
        text, _ = processor.post_process_generation(text)
    return " ".join(text.split())
