"""Captions of any BLIP checkpoint as inverted prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.inverters import Prompt
from workbench.plugin import Plugin, options_of
from workbench.weights import device, inference, loading
from workbench.weights.checkpoint import Checkpoint, locate
from workbench.weights.safety import safe_loader_kwargs

if TYPE_CHECKING:
    from PIL.Image import Image

DEFAULTS = {"prefix": "", "beams": 3, "min_length": 5, "max_length": 60}


@dataclass(frozen=True, repr=False)
class Blip(Plugin):
    """Caption pictures with BLIP (Li et al. 2022, arXiv:2201.12086) by beam search.

    Any `BlipForConditionalGeneration`. A field left None is the catalogue row's option of that
    name, else the setting of DE-FAKE (CCS 2023): 3 beams, 5 to 60 tokens; no prefix (default ours;
    DE-FAKE's is "a picture of "). The prefix is fed to the decoder and cut from the caption. The
    score is the log-probability per token of the best beam; a single beam gives none.

    >>> Blip(Checkpoint("pocket-blip", "inverter", "", "/weights"), beams=5)
    Blip("pocket-blip", beams=5)
    """

    checkpoint: Checkpoint
    prefix: str | None = None
    beams: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    revision: ClassVar[int] = 1

    def __call__(self, images: Sequence[Image]) -> list[Prompt]:
        """Return N Prompts for N RGB images of any size.

        Raises LookupError when the weights are missing.
        """
        model, processor = loading.load_weights(self.checkpoint, _load)

        def caption(chunk: list[Image]) -> list[Prompt]:
            return self._caption(chunk, model, processor)

        return inference.run_batched(caption, images, self.checkpoint)

    def _caption(self, images: list[Image], model: Any, processor: Any) -> list[Prompt]:
        """Caption one chunk: (B, 3, H, W) pixels in, B Prompts out."""
        import torch

        pixels = [processor.image_processor(image, return_tensors="pt") for image in images]
        inputs = {"pixel_values": torch.cat([p["pixel_values"] for p in pixels])}
        settings = options_of(self, DEFAULTS)
        prefix, beams = settings["prefix"], settings["beams"]
        if prefix:
            inputs |= dict(processor.tokenizer([prefix] * len(images), return_tensors="pt"))
            inputs.pop("token_type_ids", None)
        inputs = {
            name: value.to(model.device, model.dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }
        output = model.generate(
            **inputs,
            num_beams=beams,
            do_sample=False,
            min_length=settings["min_length"],
            max_length=settings["max_length"],
            return_dict_in_generate=True,
            output_scores=True,
        )
        scores: Sequence[float | None] = [None] * len(images)
        if beams > 1:
            scores = output.sequences_scores.tolist()
        end = model.config.text_config.sep_token_id
        start = inputs["input_ids"].shape[1] - 1 if prefix else 1
        return [
            Prompt(
                processor.tokenizer.decode(tokens[start:], skip_special_tokens=True).strip(),
                score,
                truncated=end not in tokens[start:].tolist(),
            )
            for tokens, score in zip(output.sequences, scores, strict=True)
        ]


def _load(checkpoint: Checkpoint) -> tuple[Any, Any]:
    """Load the model, ready to infer, and its processor."""
    from transformers import BlipForConditionalGeneration, BlipProcessor

    source, arguments = locate(checkpoint), safe_loader_kwargs(checkpoint)
    model = BlipForConditionalGeneration.from_pretrained(
        source, dtype=device.dtype(checkpoint), **arguments
    )
    arguments.pop("use_safetensors")
    processor = BlipProcessor.from_pretrained(source, **arguments)
    return model.to(device.kind()).eval(), processor
