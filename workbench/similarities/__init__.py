"""Similarities a_kj = sim(x, c_kj) between test images and candidate images; one file, one plug-in.

To add one, copy the nearest file beside this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


class Similarity(Protocol):
    """Compare pictures; higher is closer.

    One that works on features also has `encoder` and `compare(tests, candidates)`, which takes
    their (N, D) and (M, D) rows, so that cached features serve.
    """

    def __call__(self, tests: Sequence[Image], candidates: Sequence[Image]) -> np.ndarray:
        """Answer (N, M) values for N tests and M candidates, RGB images of equal size."""
        ...


def pixels(tests: Sequence[Image], candidates: Sequence[Image]) -> tuple[np.ndarray, np.ndarray]:
    """Answer both sets as (N, H, W, 3) and (M, H, W, 3) float64 arrays in [0, 1].

    Raises ValueError for images that differ in size.
    """
    import numpy as np

    sizes = sorted({image.size for image in [*tests, *candidates]})
    if len(sizes) > 1:
        seen = ", ".join(f"{width}×{height}" for width, height in sizes)
        raise ValueError(f"the pictures must have one size to be compared; there are {seen}")
    width, height = sizes[0] if sizes else (0, 0)

    def stack(images: Sequence[Image]) -> np.ndarray:
        rows = [np.asarray(image.convert("RGB"), np.float64) / 255 for image in images]
        return np.stack(rows) if rows else np.zeros((0, height, width, 3))

    return stack(tests), stack(candidates)
