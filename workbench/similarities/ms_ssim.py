"""Multi-scale structural similarity."""

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
MARGIN = WINDOW // 2
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
C1, C2 = 0.01**2, 0.03**2


@dataclass(frozen=True, repr=False)
class MSSSIM(Plugin):
    """Compare by MS-SSIM (Wang et al. 2003, doi:10.1109/ACSSC.2003.1292216), in [0, 1].

    Π_j cs_j^w_j · SSIM_M^w_M: cs_j is the mean of the contrast and structure term at scale j, 11×11
    Gaussian window, σ = 1.5, and from scale to scale 2×2 pixels become their mean. The paper's
    weights are for five scales. Only scales whose shorter side holds the window are taken: five
    from 176 pixels, four from 88, three from 44 (64×64), two from 22; the weights of fewer are
    divided by their sum. As in torchmetrics, a negative mean counts as 0, so that very unlike
    pictures tie; cs_j is over the places where the window lies inside, and the coarsest SSIM over
    all, the picture mirrored at its edges.

    >>> from PIL import Image
    >>> grey = Image.new("RGB", (64, 64), "grey")
    >>> MSSSIM()([grey], [grey]).tolist()
    [[1.0]]
    """

    revision: ClassVar[int] = 1

    def __call__(self, tests: Sequence[Image], candidates: Sequence[Image]) -> np.ndarray:
        """Return (N, M) float64 values; 1 for equal pictures, higher is closer.

        Raises ValueError for images that differ in size or are smaller than the window.
        """
        import numpy as np

        left, right = pixels(tests, candidates)
        values = np.ones((len(left), len(right)))
        if not values.size:
            return values
        weights = scales(*left.shape[1:3])
        for place, weight in enumerate(weights):
            coarsest = place == len(weights) - 1
            for i, x in enumerate(left):
                terms = [_whole(x, c) if coarsest else _structure(x, c) for c in right]
                values[i] *= np.maximum(terms, 0) ** weight
            left, right = _halved(left), _halved(right)
        return values


def scales(height: int, width: int) -> tuple[float, ...]:
    """Return the weights of the scales that pictures of this size have room for.

    Raises ValueError where there is none.

    >>> len(scales(64, 64)), len(scales(176, 400)), round(sum(scales(64, 64)), 9)
    (3, 5, 1.0)
    """
    fitting = [w for j, w in enumerate(WEIGHTS) if min(height, width) >> j >= WINDOW]
    if not fitting:
        raise ValueError(
            f"MS-SSIM needs pictures of at least {WINDOW}×{WINDOW}; they are {width}×{height}"
        )
    return WEIGHTS if len(fitting) == len(WEIGHTS) else tuple(w / sum(fitting) for w in fitting)


def _structure(x: np.ndarray, c: np.ndarray) -> float:
    """Average the contrast and structure term over the places where the window lies inside."""
    inside = slice(MARGIN, -MARGIN)
    return float(_terms(x, c)[1][inside, inside].mean())


def _whole(x: np.ndarray, c: np.ndarray) -> float:
    """Average luminance, contrast and structure over the whole picture."""
    luminance, structure = _terms(x, c)
    return float((luminance * structure).mean())


def _terms(x: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the luminance term, and that of contrast and structure, at every pixel."""
    import numpy as np

    mean_x, mean_c = _blurred(x), _blurred(c)
    spread = [np.maximum(_blurred(y * y) - mean**2, 0) for y, mean in ((x, mean_x), (c, mean_c))]
    shared = _blurred(x * c) - mean_x * mean_c
    luminance = (2 * mean_x * mean_c + C1) / (mean_x**2 + mean_c**2 + C1)
    return luminance, (2 * shared + C2) / (spread[0] + spread[1] + C2)


def _blurred(x: np.ndarray) -> np.ndarray:
    """Average (H, W, 3) under the Gaussian window."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(x, (1.5, 1.5, 0), mode="mirror", radius=(MARGIN, MARGIN, 0))


def _halved(images: np.ndarray) -> np.ndarray:
    """Average 2×2 pixels of (N, H, W, 3); an odd last row or column falls away."""
    count, height, width, _ = images.shape
    even = images[:, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(count, height // 2, 2, width // 2, 2, 3).mean(axis=(2, 4))
