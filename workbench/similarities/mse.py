"""Negative mean squared error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workbench.plugin import Plugin
from workbench.similarities import pixels

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


@dataclass(frozen=True, repr=False)
class NegativeMSE(Plugin):
    """Compare by −mean((x − c)²) over pixels and channels in [0, 1]; 0 for equal pictures.

    >>> from PIL import Image
    >>> black, white = Image.new("RGB", (8, 8)), Image.new("RGB", (8, 8), "white")
    >>> NegativeMSE()([black], [black, white]).tolist()
    [[0.0, -1.0]]
    """

    revision: ClassVar[int] = 1

    def __call__(self, tests: Sequence[Image], candidates: Sequence[Image]) -> np.ndarray:
        """Return (N, M) float64 values in [−1, 0]; higher is closer.

        Raises ValueError for images that differ in size.
        """
        import numpy as np

        left, right = pixels(tests, candidates)
        values = np.zeros((len(left), len(right)))
        for i, x in enumerate(left):
            for j, c in enumerate(right):
                values[i, j] = -np.mean((x - c) ** 2)
        return values + 0.0
