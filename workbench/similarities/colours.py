"""Colours alone: the control that no similarity should merely equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from workbench.plugin import Plugin
from workbench.similarities import check_size

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, repr=False)
class Colours(Plugin):
    """Compare colours, wherever they stand: Σ √(p q) of two histograms of ``bins³`` cells of RGB.

    The coefficient of Bhattacharyya (1943, Bull. Calcutta Math. Soc. 35:99), in [0, 1], higher is
    closer. It sees nothing of a model but its palette, and stands as a control beside accuracies.

    >>> Colours(bins=8)
    Colours(bins=8)
    """

    bins: int = 4
    revision: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not 1 <= self.bins <= 256:
            raise ValueError(f"a channel has 1 to 256 bins; seen {self.bins}")

    def __call__(self, tests: Sequence[Image], candidates: Sequence[Image]) -> np.ndarray:
        """Return (N, M) float32 values; ValueError for images that differ in size."""
        check_size([*tests, *candidates])
        return (self.roots(tests) @ self.roots(candidates).T).astype(np.float32)

    def roots(self, images: Sequence[Image]) -> np.ndarray:
        """Return the root of each share, (N, bins³) float64 rows of length 1."""
        rows = np.zeros((len(images), self.bins**3))
        for row, image in zip(rows, images, strict=True):
            cells = np.asarray(image.convert("RGB")).reshape(-1, 3).astype(int) * self.bins // 256
            places = cells @ [self.bins**2, self.bins, 1]
            row += np.sqrt(np.bincount(places, minlength=len(row)) / len(places))
        return rows
