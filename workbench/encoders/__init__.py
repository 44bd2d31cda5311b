"""Encoders φ: from pictures (and captions) to unit vectors. One file is one plug-in.

To add one, copy the nearest file beside this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


class Encoder(Protocol):
    """Encode pictures; the encoder owns its resize, mean and std."""

    def __call__(self, images: Sequence[Image]) -> np.ndarray:
        """Answer (N, D) float32 rows of length 1 for N RGB images."""
        ...

    def layers(
        self, images: Sequence[Image], layers: Sequence[int | None]
    ) -> dict[int | None, np.ndarray]:
        """Answer {layer: (N, D)} in one pass; None is the projected embedding, 1 … L a block."""
        ...

    def text(self, texts: Sequence[str]) -> np.ndarray:
        """Answer (N, D) float32 rows of length 1 for N captions, in the projected space."""
        ...
