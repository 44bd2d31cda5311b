"""The period that enlarging leaves: how well a pixel follows from its neighbours comes and goes.

Where a picture was interpolated, pixels that lie on an old one vary more than those between them;
the mean of the second difference's size along a line has a period of 1 / factor (Gallagher 2005;
Mahdian & Saic 2008). Periods of 2, 4 and 8 pixels are left out: so many have the filters of
cameras, JPEG's blocks, and the decoders of image models.
"""

from __future__ import annotations

from typing import Any

import numpy as np

SMALLEST, LARGEST = 128, 512
"""Side in pixels below which nothing is looked for, and of the middle that is looked at."""
LOWEST = 0.15
"""Frequency below which it is what the picture shows that comes and goes."""
WINDOW = 9
"""Pixels over which the slow part of a line is taken away."""
FREQUENCIES = np.arange(1, LARGEST + 1) / (2 * LARGEST)


def resampled(grey: Any) -> tuple[float, float]:
    """Return how plainly rows and columns have one period in common, and its frequency.

    Args:
        grey: luminance, (H, W), 0 to 255.

    Returns:
        the power at the frequency over the power that nine tenths of all stay below, the lesser
        of rows and columns, and the frequency in turns a pixel; 0 and 0 where a side is below
        `SMALLEST`.
    """
    if min(grey.shape) < SMALLEST:
        return 0.0, 0.0
    top, left = (max(0, side - LARGEST) // 2 for side in grey.shape)
    middle = np.asarray(grey[top : top + LARGEST, left : left + LARGEST], np.float32)
    powers = np.minimum(_power(middle), _power(middle.T))
    width = 1.5 / min(middle.shape)
    eighths = np.abs(FREQUENCIES * 8 - np.rint(FREQUENCIES * 8)) / 8 <= width
    powers[eighths | (FREQUENCIES < LOWEST)] = 0
    best = int(powers.argmax())
    return float(powers[best]), float(FREQUENCIES[best])


def _power(grey: Any) -> Any:
    """Return the power of the period along rows at each of `FREQUENCIES`, over that of noise.

    Of d, the second difference, d / (d + its median) is taken, so that edges do not outweigh all.
    """
    sizes = np.abs(np.diff(grey, 2, axis=1))
    middle = float(np.median(sizes)) + 1e-3
    line = (sizes / (sizes + middle)).mean(axis=0)
    slow = np.convolve(np.pad(line, WINDOW // 2, mode="edge"), np.ones(WINDOW) / WINDOW, "valid")
    line = (line - slow) * np.hanning(len(line))
    power = np.abs(np.fft.rfft(line, 2 * LARGEST))[1:] ** 2
    usual = float(np.quantile(power[FREQUENCIES >= LOWEST], 0.9))
    return power / (usual + 1e-12)
