"""Structural similarity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workbench.plugin import Plugin
from workbench.similarities import pixels

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

WINDOW = 11


@dataclass(frozen=True, repr=False)
class SSIM(Plugin):
    """Compare by SSIM (Wang et al. 2004, doi:10.1109/TIP.2003.819861), in [−1, 1].

    The paper's window: 11×11 Gaussian, σ = 1.5, K₁ = .01, K₂ = .03; the mean over
    channels and over the places where the window lies inside.

    >>> from PIL import Image
    >>> grey = Image.new("RGB", (16, 16), "grey")
    >>> SSIM()([grey], [grey]).tolist()
    [[1.0]]
    """

    revision: ClassVar[int] = 1

    def __call__(self, tests: Sequence[Image], candidates: Sequence[Image]) -> np.ndarray:
        """Return (N, M) float64 values; 1 for equal pictures, higher is closer.

        Raises ValueError for images that differ in size or are smaller than the window.
        """
        import numpy as np
        from skimage.metrics import structural_similarity

        left, right = pixels(tests, candidates)
        values = np.zeros((len(left), len(right)))
        if values.size and min(left.shape[1:3]) < WINDOW:
            raise ValueError(
                f"SSIM needs pictures of at least {WINDOW}×{WINDOW}; "
                f"they are {left.shape[2]}×{left.shape[1]}"
            )
        for i, x in enumerate(left):
            for j, c in enumerate(right):
                values[i, j] = structural_similarity(  # type: ignore[no-untyped-call]
                    x,
                    c,
                    channel_axis=2,
                    data_range=1.0,
                    gaussian_weights=True,
                    sigma=1.5,
                    use_sample_covariance=False,
                )
        return values
