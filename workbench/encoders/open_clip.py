"""Any vision tower of open_clip, any layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.encoders import Layered, check_layers, count_blocks, in_layers, unit
from workbench.weights import device, inference, loading
from workbench.weights.checkpoint import Checkpoint, locate, open_clip_id
from workbench.weights.safety import safe_loader_kwargs

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

FILES = ("open_clip_model.safetensors", "open_clip_config.json")
PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")


@dataclass(frozen=True, repr=False)
class OpenClip(Layered):
    """Encode with a CLIP of open_clip (Cherti et al. 2023, arXiv:2212.07143).

    `layer=None` is the projected image embedding (CosCLIP, Li et al. 2024); `layer=l` in 1 … L is
    taken after block l, before the final norm and projection (default ours): the CLS token, or with
    `pooling="mean"` the mean of the patch tokens. The row's source is a folder, a hub id
    (org/name), or an architecture of open_clip with its tag (ViT-L-14/openai).

    >>> OpenClip(Checkpoint("pocket-clip", "encoder", "", "/weights"), layer=4)
    OpenClip("pocket-clip", layer=4)
    """

    checkpoint: Checkpoint
    layer: int | None = None
    pooling: str = "cls"
    revision: ClassVar[int] = 1

    def projected(self) -> OpenClip:
        """Return the encoder of the projected embedding, the space that captions share."""
        return OpenClip(self.checkpoint)

    def loaded(self) -> tuple[Any, Any, Any]:
        """Return open_clip's model, its preprocessing of one image, and its tokenizer."""
        return loading.load_weights(self.checkpoint, _load)

    def depth(self) -> int:
        """Count the blocks L of the vision tower."""
        return _depth(self.loaded()[0], self.checkpoint)

    def layers(
        self, images: Sequence[Image], layers: Sequence[int | None]
    ) -> dict[int | None, np.ndarray]:
        """Return {layer: (N, D) float32 unit rows} from one pass, pooled as this encoder pools."""
        import torch

        model, preprocess, _ = self.loaded()

        def forward(chunk: list[Image], wanted: list[int | None]) -> dict[int | None, Any]:
            pixels = torch.stack([preprocess(image) for image in chunk])
            return self._forward(model, pixels, wanted)

        alone = hasattr(model.visual, "trunk")  # a tower of timm: its last bits depend on the place
        return in_layers(forward, images, layers, self.checkpoint, alone=alone)

    def text(self, texts: Sequence[str]) -> np.ndarray:
        """Return (N, D) float32 unit rows for N captions: the projected text embedding."""
        import numpy as np

        model, _, tokenizer = self.loaded()

        def encode(chunk: list[str]) -> list[np.ndarray]:
            rows = model.encode_text(tokenizer(chunk).to(device.kind()))
            return list(unit(rows).cpu().numpy())

        rows = inference.run_batched(encode, texts, self.checkpoint)
        return np.stack(rows) if rows else np.zeros((0, 0), np.float32)

    def differentiable(self, pixels: Any) -> Any:
        """Return (B, D) unit rows, a tensor with gradients, for pixels (B, 3, H, W) in [0, 1].

        Through the model's own preprocessing, which torchvision applies to tensors too: at the
        native size as the encoder itself answers, else but for the 8 bits a resized picture is
        rounded to. The caller sets threads and gradients. Raises ValueError for a layer the model
        lacks, or a preprocessing that takes pictures alone.
        """
        model, preprocess, _ = self.loaded()
        try:
            prepared = preprocess(pixels)
        except TypeError as error:
            raise ValueError(
                f"the preprocessing of {self.checkpoint.name!r} takes pictures alone, "
                "so nothing can be differentiated through it"
            ) from error
        return unit(self._forward(model, prepared, [self.layer])[self.layer])

    def _forward(
        self, model: Any, pixels: Any, layers: Sequence[int | None]
    ) -> dict[int | None, Any]:
        """Return {layer: (B, D) tensor} from one pass over prepared pixels (B, 3, H, W)."""
        blocks = sorted({layer for layer in layers if layer is not None})
        check_layers(self.checkpoint, blocks, _depth(model, self.checkpoint))
        output = model.visual.forward_intermediates(
            pixels.to(device.kind(), device.dtype(self.checkpoint)),
            indices=[block - 1 for block in blocks] or [0],  # open_clip fails on none
            stop_early=None not in layers,
            intermediates_only=None not in layers,
            output_fmt="NLC",
            output_extra_tokens=True,
        )
        pooled = {block: self._pool(output, place) for place, block in enumerate(blocks)}
        return pooled | ({None: output["image_features"]} if None in layers else {})

    def _pool(self, output: Any, place: int) -> Any:
        """Reduce the tokens (B, T, D) of one block to (B, D)."""
        if self.pooling == "mean":
            return output["image_intermediates"][place].mean(dim=1)
        if "image_intermediates_prefix" not in output:
            raise ValueError(f'{self.checkpoint.name!r} has no CLS token; use pooling="mean"')
        return output["image_intermediates_prefix"][place][:, 0]


def _depth(model: Any, checkpoint: Checkpoint) -> int:
    """Count the blocks of a vision tower, ours or timm's."""
    tower = getattr(model.visual, "transformer", None)
    if tower is not None:
        return len(tower.resblocks)
    return count_blocks(getattr(model.visual, "trunk", model.visual), checkpoint)


def _load(checkpoint: Checkpoint) -> tuple[Any, Any, Any]:
    """Load model, its own preprocessing of one image, and its tokenizer."""
    import open_clip

    name, settings = _where(checkpoint)
    model, preprocess = open_clip.create_model_from_pretrained(
        name, precision="fp32", weights_only=True, **settings
    )
    model = model.to(device.kind(), device.dtype(checkpoint)).eval()
    return model, preprocess, open_clip.get_tokenizer(name)


def _where(checkpoint: Checkpoint) -> tuple[str, dict[str, Any]]:
    """Choose open_clip's name for the model and the arguments of its loader; only safetensors.

    Raises LookupError when the weights are not on this computer.
    """
    import open_clip

    safe_loader_kwargs(checkpoint)
    folder = Path(locate(checkpoint))
    if (folder / FILES[0]).is_file() and (folder / FILES[1]).is_file():
        return f"local-dir:{folder}", {}
    known = {
        name: (model, tag)
        for model, tag in reversed(open_clip.list_pretrained())
        for name in (f"{model}/{tag}", open_clip_id(model, tag))
    }
    if checkpoint.source not in known or not (folder / FILES[0]).is_file():
        absent = next(name for name in FILES if not (folder / name).is_file())
        raise LookupError(f"no {absent} in the folder {folder} of {checkpoint.name!r}")
    model, tag = known[checkpoint.source]
    config = open_clip.get_pretrained_cfg(model, tag)  # a file alone does not bring these along
    settings = {f"image_{name}": config.get(name) for name in PREPROCESSING}
    return model, settings | {
        "pretrained": str(folder / FILES[0]),
        "force_quick_gelu": bool(config.get("quick_gelu")),
    }
