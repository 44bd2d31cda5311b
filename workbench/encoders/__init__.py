"""Encoders φ: from pictures (and captions) to unit vectors. One file is one plug-in.

To add one, copy the nearest file beside this one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from workbench.plugin import Plugin
from workbench.weights import device, inference
from workbench.weights.checkpoint import Checkpoint

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


class Encoder(Protocol):
    """Encode pictures; the encoder owns its resize, mean and std."""

    def __call__(self, images: Sequence[Image]) -> np.ndarray:
        """Return (N, D) float32 rows of length 1 for N RGB images."""
        ...

    def layers(
        self, images: Sequence[Image], layers: Sequence[int | None]
    ) -> dict[int | None, np.ndarray]:
        """Return {layer: (N, D)} in one pass; None is the projected embedding, 1 … L a block."""
        ...

    def text(self, texts: Sequence[str]) -> np.ndarray:
        """Return (N, D) float32 rows of length 1 for N captions, in the projected space."""
        ...


class Layered(Plugin):
    """Share what encoders read at a layer have in common: `layer` and `pooling` are fields."""

    layer: int | None
    pooling: str
    POOLINGS: ClassVar[tuple[str, ...]] = ("cls", "mean")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pooling not in self.POOLINGS:
            raise ValueError(f"no pooling {self.pooling!r}; there are: {', '.join(self.POOLINGS)}")
        if self.layer is not None and self.layer < 1:
            raise ValueError(f"layers count from 1; the layer is {self.layer}")

    def at(self, layer: int | None) -> Any:
        """Return the same encoder at another layer."""
        return replace(self, layer=layer)  # type: ignore[type-var]

    def __call__(self, images: Sequence[Image]) -> np.ndarray:
        """Return (N, D) float32 unit rows for N RGB images of any size.

        Raises ValueError for a layer the model lacks, LookupError for missing weights.
        """
        return self.layers(images, [self.layer])[self.layer]

    def layers(
        self, images: Sequence[Image], layers: Sequence[int | None]
    ) -> dict[int | None, np.ndarray]:
        """Return {layer: (N, D) float32 unit rows} from one pass, pooled as this encoder pools."""
        raise NotImplementedError


def check_layers(checkpoint: Checkpoint, layers: Sequence[int | None], depth: int) -> None:
    """Raise ValueError for layers that a model of `depth` blocks lacks."""
    wrong = [layer for layer in layers if layer is not None and not 1 <= layer <= depth]
    if wrong:
        raise ValueError(
            f"{checkpoint.name!r} has the layers 1 to {depth}; layer {wrong[0]} was asked for"
        )


def in_layers(
    forward: Callable[[list[Image], list[int | None]], dict[int | None, Any]],
    images: Sequence[Image],
    layers: Sequence[int | None],
    checkpoint: Checkpoint,
    alone: bool = False,
) -> dict[int | None, np.ndarray]:
    """Run `forward(images, layers)` → {layer: (B, D) tensor} in the row's fixed shape.

    `alone`: on the CPU one picture a call, for towers whose last bits depend on the place of a
    picture in its batch.

    Returns:
        {layer: (N, D) float32 unit rows}.

    Raises:
        ValueError: the model answers values that are not numbers.
    """
    import numpy as np

    distinct = list(dict.fromkeys(layers))

    def encode(chunk: list[Image]) -> list[dict[int | None, np.ndarray]]:
        features = {
            layer: unit(rows).cpu().numpy() for layer, rows in forward(chunk, distinct).items()
        }
        if not all(np.isfinite(rows).all() for rows in features.values()):
            raise ValueError(f"{checkpoint.name!r} answers values that are not numbers")
        return [{layer: rows[i] for layer, rows in features.items()} for i in range(len(chunk))]

    batch = 1 if alone and device.kind() == "cpu" else None
    rows = inference.run_batched(encode, images, checkpoint, batch)
    if not rows:
        return {layer: np.zeros((0, 0), np.float32) for layer in distinct}
    return {layer: np.stack([row[layer] for row in rows]) for layer in distinct}


def count_blocks(tower: Any, checkpoint: Checkpoint) -> int:
    """Return the number of blocks L of a tower; ValueError for one without, such as a ResNet."""
    try:
        return len(tower.blocks)
    except AttributeError as error:
        raise ValueError(
            f"{checkpoint.name!r} has no blocks to read, as it is no vision transformer but "
            f"{type(tower).__name__}"
        ) from error


def unit(rows: Any) -> Any:
    """Scale (B, D) rows to length 1, as a float32 tensor."""
    import torch

    return torch.nn.functional.normalize(rows.float(), dim=-1)
