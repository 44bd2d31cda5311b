"""Two pictures beside one another: where they differ, and how alike they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from workbench import images

GAIN = 4
"""How often a difference is amplified to be seen."""
LONGEST = 512
"""Pixels along the longer side that are compared, at most."""
WINDOW = 7
"""Pixels along a side of the window of SSIM."""


@dataclass(frozen=True)
class Difference:
    """A candidate image against a test image.

    Args:
        amplified: picture of the absolute difference × `GAIN`; black where they are the same.
        unlike: picture of 1 − SSIM, dark where they are alike; None for pictures of under 7 pixels.
        ssim: mean SSIM in [−1, 1] (Wang et al. 2004), 1 for the same picture; None as above.
        mean: mean absolute difference in levels, 0 to 255.
        resized: whether the candidate image had to be resized to the test image.
    """

    amplified: Image.Image
    unlike: Image.Image | None
    ssim: float | None
    mean: float
    resized: bool


def difference(test: Image.Image, candidate: Image.Image) -> Difference:
    """Return how a candidate image differs from a test image, at the size of the latter.

    Args:
        test: any RGB picture; made smaller to 512 pixels along its longer side.
        candidate: any RGB picture; resized to the other where it is of another size.
    """
    test = test.copy()
    test.thumbnail((LONGEST, LONGEST), Image.Resampling.BICUBIC)
    resized = candidate.size != test.size
    if resized:
        candidate = candidate.resize(test.size, Image.Resampling.BICUBIC)
    one, other = (images.array(each).astype(np.float64) for each in (test, candidate))
    gap = np.abs(one - other)
    amplified = Image.fromarray(np.rint(255 * np.clip(GAIN * gap, 0, 1)).astype(np.uint8))
    mean = float(255 * gap.mean())
    if min(test.size) < WINDOW:
        return Difference(amplified, None, None, mean, resized)
    from skimage.metrics import structural_similarity

    ssim, each = structural_similarity(  # type: ignore[no-untyped-call]
        one, other, win_size=WINDOW, channel_axis=2, data_range=1, full=True
    )
    return Difference(amplified, _heat(1 - each.mean(axis=2)), float(ssim), mean, resized)


def _heat(values: np.ndarray) -> Image.Image:
    """Return (H, W) values in [0, 1] as a picture, brighter where higher."""
    from matplotlib import colormaps

    colours = colormaps["inferno"](np.clip(values, 0, 1))[..., :3]
    return Image.fromarray((255 * colours).round().astype(np.uint8))
