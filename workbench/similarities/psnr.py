"""Peak signal-to-noise ratio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workbench.plugin import Plugin
from workbench.similarities import pixels

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

CAP = 100.0
"""Decibels of equal pictures."""


@dataclass(frozen=True, repr=False)
class PSNR(Plugin):
    """Compare by min(100, −10 log₁₀ mean((x − c)²)), pixels and channels in [0, 1]; in [0, 100] dB.

    Equal pictures, whose ratio is infinite, have 100 dB (default ours), so that a mean over
    candidate images stays finite. Different pictures of 64×64 stay below 89.1 dB; beyond some
    220 pixels a side the cap can meet those that differ in a single grey level.

    >>> from PIL import Image
    >>> black, white = Image.new("RGB", (8, 8)), Image.new("RGB", (8, 8), "white")
    >>> PSNR()([black], [black, white]).tolist()
    [[100.0, 0.0]]
    """

    revision: ClassVar[int] = 1

    def __call__(self, tests: Sequence[Image], candidates: Sequence[Image]) -> np.ndarray:
        """Return (N, M) float64 decibels; higher is closer.

        Raises ValueError for images that differ in size.
        """
        import numpy as np

        left, right = pixels(tests, candidates)
        error = np.array([np.mean((x - c) ** 2) for x in left for c in right])
        decibels = -10 * np.log10(np.maximum(error, 10 ** (-CAP / 10))) + 0.0
        return decibels.reshape(len(left), len(right))
