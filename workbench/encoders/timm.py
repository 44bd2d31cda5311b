"""Any vision transformer of timm, any layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.encoders import Layered, check_layers, count_blocks, in_layers
from workbench.weights import device, loading
from workbench.weights.checkpoint import Checkpoint, locate
from workbench.weights.safety import safe_loader_kwargs

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

FILES = ("config.json", "model.safetensors")


@dataclass(frozen=True, repr=False)
class Timm(Layered):
    """Encode with a vision transformer of timm (Wightman 2019, doi:10.5281/zenodo.4414861).

    `layer=None` is the pooled feature before the classifier; `layer=l` in 1 … L is taken after
    block l, before the final norm: the CLS token, or with `pooling="mean"` the mean of the patch
    tokens. The row's source is a folder or a hub id with config.json and model.safetensors.

    >>> Timm(Checkpoint("vit-base", "encoder", "", "/weights"), pooling="mean")
    Timm("vit-base", pooling="mean")
    """

    checkpoint: Checkpoint
    layer: int | None = None
    pooling: str = "cls"
    revision: ClassVar[int] = 1

    def depth(self) -> int:
        """Count the blocks L of the model."""
        return count_blocks(loading.load_weights(self.checkpoint, _load)[0], self.checkpoint)

    def layers(
        self, images: Sequence[Image], layers: Sequence[int | None]
    ) -> dict[int | None, np.ndarray]:
        """Return {layer: (N, D) float32 unit rows} from one pass, pooled as this encoder pools."""
        import torch

        model, preprocess = loading.load_weights(self.checkpoint, _load)
        check_layers(self.checkpoint, layers, self.depth())

        def forward(chunk: list[Image], wanted: list[int | None]) -> dict[int | None, Any]:
            pixels = torch.stack([preprocess(image) for image in chunk])
            pixels = pixels.to(device.kind(), device.dtype(self.checkpoint))
            blocks = [layer for layer in wanted if layer is not None]
            last, found = model.forward_intermediates(
                pixels,
                indices=[block - 1 for block in blocks] or [0],
                return_prefix_tokens=True,
                output_fmt="NLC",
            )
            order = sorted(blocks)  # timm answers in the order of the model
            read = {block: self._read(found[order.index(block)]) for block in blocks}
            head = {None: model.forward_head(last, pre_logits=True)}
            return read | (head if None in wanted else {})

        return in_layers(forward, images, layers, self.checkpoint, alone=True)

    def _read(self, tokens: Any) -> Any:
        """Reduce the patch tokens (B, T, D) and the tokens before them to (B, D)."""
        patches, before = tokens
        if self.pooling == "mean":
            return patches.mean(dim=1)
        if before is None or not before.shape[1]:
            raise ValueError(f'{self.checkpoint.name!r} has no CLS token; use pooling="mean"')
        return before[:, 0]


def _load(checkpoint: Checkpoint) -> tuple[Any, Any]:
    """Load the model, ready to infer, and its own preprocessing of one image."""
    import timm
    from timm import data

    safe_loader_kwargs(checkpoint)
    folder = Path(locate(checkpoint))
    absent = [name for name in FILES if not (folder / name).is_file()]
    if absent:
        raise LookupError(f"no {absent[0]} in the folder {folder} of {checkpoint.name!r}")
    model = timm.create_model(f"local-dir:{folder}", pretrained=True)
    settings = data.resolve_model_data_config(model)
    preprocess = data.create_transform(**settings, is_training=False)
    model = model.to(device.kind(), device.dtype(checkpoint)).eval()
    return model, preprocess
