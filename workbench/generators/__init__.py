"""Candidate models: from prompts and seeds to pictures. One file is one plug-in.

To add one, copy the nearest file beside this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from workbench import images
from workbench.weights import device, inference, memory
from workbench.weights.checkpoint import Checkpoint, locate
from workbench.weights.safety import safe_loader_kwargs

if TYPE_CHECKING:
    from PIL.Image import Image

BLACKED = "the model's safety checker blacked the picture"
"""Reason of a Failure that another seed may not have."""
ANSWER = "answer"
"""Under this name the ``info`` of a picture holds what a hosted model told of it, as plain values.
"""
AUTOENCODERS = ("vae", "vqvae", "movq")
"""What the pipelines of diffusers call an autoencoder of pictures in [-1, 1]."""


@dataclass(frozen=True)
class Failure:
    """A picture or prompt that cannot be made, nor on another try; `reason` says why.

    >>> Failure(BLACKED).reason
    "the model's safety checker blacked the picture"
    """

    reason: str


class Generator(Protocol):
    """Make candidate images c_kj = G_k(p̂; s_j) (Li et al. 2024, arXiv:2403.01489).

    One with an autoencoder may also have `reconstruct(images)`, which answers an RGB image D(E(x)),
    or a Failure, for each of N RGB images; one that knows its limit also `unread(prompts)`, which
    answers how many tokens of each prompt are cut, or None; one that may draw other sides than its
    own `shaped(bucket)`, the same model for width and height in eighths of its side, or None.
    """

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image | Failure]:
        """Return one RGB image or Failure for each (prompt, seed), in order.

        What may pass, such as memory running out, is raised. A class with `seedable = False`
        takes the index 0, 1, … of a candidate where the others take its seed; one with
        `local = True` reads files of this machine, and is not sent to those of a cluster.
        """
        ...


def tensors(checkpoint: Checkpoint, stem: str) -> dict[str, Any]:
    """Read stem.safetensors in the folder of the weights, else stem.pt if the row allows pickles.

    A pickle is read with weights_only, so that nothing in it runs. Raises LookupError where neither
    is there or may be read, UnpicklingError for a pickle of more than tensors.
    """
    folder = Path(locate(checkpoint))
    pickles = safe_loader_kwargs(checkpoint)["use_safetensors"] is None
    safe, pickled = folder / f"{stem}.safetensors", folder / f"{stem}.pt"
    if safe.is_file():
        from safetensors.torch import load_file

        # Copied: where a tensor lies in the file decides its alignment, and that the last bits.
        return {name: tensor.clone() for name, tensor in load_file(safe).items()}
    if not pickles or not pickled.is_file():
        names = f"{safe.name} or {pickled.name}" if pickles else safe.name
        raise LookupError(f"{checkpoint.name!r} needs {names} in {folder}")
    import torch

    return torch.load(pickled, map_location="cpu", weights_only=True)


def paired(prompts: Sequence[str], seeds: Sequence[int]) -> list[tuple[str, int]]:
    """Pair each prompt with its seed; ValueError for lengths that differ.

    >>> paired(["a fish"], [7])
    [('a fish', 7)]
    """
    if len(prompts) != len(seeds):
        raise ValueError(
            f"one seed a prompt is needed; there are {len(prompts)} prompts and {len(seeds)} seeds"
        )
    return list(zip(prompts, seeds, strict=True))


def make_pictures(
    make: Callable[[list[tuple[str, int]]], list[Image | Failure]],
    prompts: Sequence[str],
    seeds: Sequence[int],
    checkpoint: Checkpoint,
    batch: int | None = None,
) -> list[Image | Failure]:
    """Run `make` over (prompt, seed) pairs in the fixed shape; a pair that fails is a Failure.

    `make` answers one image or Failure for each pair of a chunk. A chunk that raises is made again
    pair by pair, on the CPU in the same shape, so that a bad prompt harms no other. Raises
    ValueError for lengths that differ; errors that may pass (memory, disk, device) are raised.
    """

    def careful(chunk: list[tuple[str, int]]) -> list[Image | Failure]:
        try:
            return make(chunk)
        except (ValueError, IndexError, ArithmeticError, RuntimeError) as error:
            if memory.is_transient(error):
                raise
            if len(set(chunk)) == 1:
                return [Failure(f"{checkpoint.name} failed: {error}".splitlines()[0])] * len(chunk)
            fill = len(chunk) if device.kind() == "cpu" else 1
            return [careful([pair] * fill)[0] for pair in chunk]

    return inference.run_batched(careful, paired(prompts, seeds), checkpoint, batch)


def reconstruct(
    pipes: Sequence[Any], pictures: Sequence[Image], checkpoint: Checkpoint
) -> list[Image | Failure]:
    """Encode and decode pictures with the autoencoder of a pipeline: R(x) = D(E(x)).

    Pictures go to the row's size first, and through the model in its fixed shape. The latents of a
    variational autoencoder are the mode of its posterior, so nothing is drawn. Of a cascade, the
    last stage with an autoencoder counts; without any, every picture is a Failure. As in their
    pipelines, the latents of a movq are not quantised, and an autoencoder that half precision
    overflows (force_upcast in its config) runs in float32.
    """
    places = [(pipe, name) for pipe in reversed(pipes) for name in AUTOENCODERS]
    places = [(pipe, name) for pipe, name in places if getattr(pipe, name, None) is not None]
    if not places:
        reason = f"{checkpoint.name} has no autoencoder that reads and writes pictures"
        return [Failure(reason) for _ in pictures]
    pipe, name = places[0]
    model = getattr(pipe, name)
    where = getattr(pipe, "_execution_device", model.device)  # which a hook may move it to
    decoding = {"force_not_quantize": True} if name == "movq" else {}

    def through(chunk: list[Image]) -> list[Image | Failure]:
        import numpy as np
        import torch

        pixels = np.stack([images.array(images.fit(image, checkpoint.size)) for image in chunk])
        values = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(where, model.dtype)
        if getattr(model.config, "in_channels", 3) == 4:
            values = torch.cat([values, torch.ones_like(values[:, :1])], dim=1)  # opaque
        video = hasattr(model, "temperal_downsample")  # (N, 3, frames, H, W), as in Qwen-Image
        encoded = model.encode((values.unsqueeze(2) if video else values) * 2 - 1)
        variational = getattr(encoded, "latent_dist", None)
        latents = encoded[0] if variational is None else variational.mode()
        decoded = model.decode(latents, **decoding).sample.float() / 2 + 0.5
        decoded = decoded.squeeze(2) if video else decoded
        return [to_picture(array) for array in decoded.permute(0, 2, 3, 1).cpu().numpy()]

    try:
        with _upcast(model):
            return inference.run_batched(through, pictures, checkpoint)
    finally:
        if hasattr(pipe, "maybe_free_model_hooks"):
            pipe.maybe_free_model_hooks()


@contextmanager
def _upcast(model: Any) -> Iterator[None]:
    """Run an autoencoder in float32 that says half precision is too narrow for it."""
    narrow = str(model.dtype) == "torch.float16" and getattr(model.config, "force_upcast", False)
    if narrow:
        model.float()
    try:
        yield
    finally:
        if narrow:
            model.half()


def to_picture(array: Any) -> Image | Failure:
    """Return (H, W, 3) values in [0, 1] as an RGB image, or a Failure.

    With alpha, (H, W, 4), it lies over white.
    """
    import numpy as np
    from PIL import Image

    if array.shape[-1] == 4:
        colours, alpha = np.split(array.clip(0, 1), [3], axis=-1)
        array = colours * alpha + 1 - alpha
    if not np.isfinite(array).all():
        return Failure("the picture holds values that are not numbers")
    return Image.fromarray((array * 255).round().clip(0, 255).astype("uint8"))
