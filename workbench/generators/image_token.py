"""Candidate models that write a picture token by token, as DALL·E mini does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.generators import Failure, make_pictures, reconstruct
from workbench.plugin import Plugin, options_of
from workbench.weights import device, loading
from workbench.weights.checkpoint import Checkpoint, locate, resolve_class
from workbench.weights.safety import safe_loader_kwargs

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, repr=False)
class ImageToken(Plugin):
    """Make pictures with an encoder-decoder transformer over the codes of a VQ autoencoder.

    `guidance`, `temperature` and `top_k` left None are the catalogue row's options, else the
    pipeline's own defaults (3, 1, 128). One CPU generator a picture draws its noise.

    >>> ImageToken(Checkpoint("pocket-dalle", "generator", "", "/weights"), top_k=32)
    ImageToken("pocket-dalle", top_k=32)
    """

    checkpoint: Checkpoint
    guidance: float | None = None
    temperature: float | None = None
    top_k: int | None = None
    revision: ClassVar[int] = 1

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image | Failure]:
        """Return one RGB image of the row's size, or a Failure, for each (prompt, seed).

        Raises ValueError for lengths that differ or an option of the row that is none, LookupError
        when the weights are missing.
        """
        pipe = loading.load_weights(self.checkpoint, _load)
        settings = options_of(self, {})
        if "guidance" in settings:
            settings["guidance_scale"] = settings.pop("guidance")
        side = self.checkpoint.size

        def make(chunk: list[tuple[str, int]]) -> list[Image | Failure]:
            import torch

            generators = [torch.Generator("cpu").manual_seed(seed) for _, seed in chunk]
            words = [prompt for prompt, _ in chunk]
            return list(pipe(words, side, side, generator=generators, **settings).images)

        return make_pictures(make, prompts, seeds, self.checkpoint)

    def reconstruct(self, images: Sequence[Image]) -> list[Image | Failure]:
        """Return D(E(x)), by the nearest codes, at the row's size for each of N RGB images.

        Raises LookupError when the weights are missing.
        """
        return reconstruct([loading.load_weights(self.checkpoint, _load)], images, self.checkpoint)


def _load(checkpoint: Checkpoint) -> Any:
    """Load the parts and put them together; the library cannot resolve a class of ours itself."""
    from diffusers import VQModel
    from transformers import BartForConditionalGeneration, BertTokenizer

    kind: Any = resolve_class(checkpoint.class_name)
    arguments, dtype = safe_loader_kwargs(checkpoint), device.dtype(checkpoint)
    tokenizer = BertTokenizer.from_pretrained(locate(checkpoint, "tokenizer"))
    pipe = kind(
        VQModel.from_pretrained(locate(checkpoint, "vqvae"), dtype=dtype, **arguments),
        BartForConditionalGeneration.from_pretrained(
            locate(checkpoint, "transformer"), dtype=dtype, **arguments
        ),
        tokenizer,
    )
    pipe.to(device.kind())
    for module in (pipe.vqvae, pipe.transformer):
        module.eval()
    return pipe
