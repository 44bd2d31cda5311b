"""Steps of JPEG's quantisation in the pixels: of a compression that is past, and of one before it.

A quantised coefficient of the DCT of 8×8 pixels (ITU-T T.81) is a multiple of its table's step.
Pixels keep this when they are decoded, on the grid of blocks they had; cut off since, the grid lies
elsewhere. A JPEG that was one before has the multiples of a second table, rounded from those of a
first (Popescu & Farid 2004).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from scipy.fft import dctn

QUALITIES = range(30, 99)
"""Of the common tables (Annex K of ITU-T T.81, scaled as libjpeg does) that are tried."""
BLOCKS = 128
"""Blocks of 8×8 pixels that are looked at for one compression, at most, evenly over the picture."""
PAIRS = 1024
"""Blocks that are looked at for two."""
FEWEST = 100
"""Coefficients that are needed at least, for a table to be tried."""
STEP = 3
"""Smallest step of quantisation that the rounding of pixels does not blur."""
TINY = 0.6
"""Coefficients below which a step of zero and rounding may have left them."""
PLACES = 3
"""Places of the grid where most coefficients are tiny, whose steps are looked at."""
LARGEST = 40
"""Multiples of a step that are counted; larger ones are few."""
SEEN = 20
"""Coefficients other than zero that are needed at a frequency, for it to be used."""
ANNEX_K = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)


def compressed(grey: Any, elsewhere: bool = False) -> tuple[float, int, tuple[int, int]]:
    """Return how plainly DCT coefficients lie on the steps of a JPEG table.

    Of the 64 places that the grid may have, those are looked at where most coefficients are tiny
    (`PLACES`), and the corner.

    Args:
        grey: luminance, (H, W), 0 to 255.
        elsewhere: leave the grid out that begins in the corner, of a picture that is a JPEG now.

    Returns:
        the strength of the best table (`_strength`), its quality, and the row and column, 0 to 7,
        at which its grid begins; a strength of 0 where there are too few coefficients.
    """
    coefficients = _by_place(grey)
    if coefficients is None:
        return 0.0, QUALITIES[0], (0, 0)
    tiny = (np.abs(coefficients[:, :, 1:]) < TINY).mean(axis=(1, 2))
    if elsewhere:
        tiny[0] = -1
    places = [int(each) for each in np.argsort(-tiny, kind="stable")[:PLACES]]
    places += [] if elsewhere or 0 in places else [0]
    tried = [(*_strength(coefficients[place]), divmod(place, 8)) for place in places]
    return max(tried, key=lambda each: each[0])


def _by_place(grey: Any) -> Any:
    """Return the DCT of at most `BLOCKS` blocks at each place of the grid, (64, N, 64).

    Each block has its like at all places, cut out of the same 15×15 pixels; None for none.
    """
    high, wide = ((side - 7) // 8 for side in grey.shape)
    if high < 1 or wide < 1:
        return None
    every = max(1, -(-high * wide // BLOCKS))
    rows, columns = divmod(np.arange(0, high * wide, every), wide)
    windows = np.lib.stride_tricks.sliding_window_view(grey, (8, 8))
    steps = np.arange(8)
    blocks = windows[
        (8 * rows)[:, None, None] + steps[:, None], (8 * columns)[:, None, None] + steps
    ]
    turned = blocks.astype(np.float32).transpose(1, 2, 0, 3, 4) - 128
    return dctn(turned, axes=(3, 4), norm="ortho").reshape(64, len(rows), 64)


def _strength(coefficients: Any) -> tuple[float, int]:
    """Return how plainly coefficients (N, 64) lie on the steps of the best table, and its quality.

    Over the coefficients c with |c| > q/2 for a step q, the mean of cos(2πc/q) is 1 on the steps
    and about 0 without any; it is told in standard errors, 1/√(2n).
    """
    ac = coefficients.copy()
    ac[:, 0] = 0
    rows, places = np.nonzero(np.abs(ac) > STEP / 2)
    pairs = np.stack([places, np.round(ac[rows, places] * 100)], axis=1).astype(np.int64)
    pairs = np.unique(pairs, axis=0)  # what repeats itself counts once
    places, values = pairs[:, 0], pairs[:, 1] / 100
    sizes = np.abs(values)
    best, quality = 0.0, QUALITIES[0]
    for tried, table in zip(QUALITIES, tables(), strict=True):
        steps = table[places]
        used = (steps >= STEP) & (sizes > steps / 2)
        if (count := int(used.sum())) >= FEWEST:
            turns = np.cos(2 * np.pi * (values[used] / steps[used]))
            strength = float(turns.mean() * np.sqrt(2 * count))
            if strength > best:
                best, quality = strength, tried
    return best, quality


def compressed_twice(luminance: Any, table: Any) -> tuple[float, int]:
    """Return how plainly a JPEG's coefficients were multiples of another table's steps before.

    Of k steps q now, the mean of cos(2πkq/p) over a table's steps p before is sinc(q/p) more than
    without these. What it is without is taken from the same picture, on a grid 4 pixels aside,
    where no step is left (Lukáš & Fridrich 2003); the difference is summed over the frequencies,
    each by its sinc, and told in standard errors.

    Args:
        luminance: Y of the JPEG, (H, W), as decoded.
        table: its 64 steps of luminance, row by row.

    Returns:
        the strength of the best table but the present one, and its quality.
    """
    steps = np.asarray(table, np.float64)
    now, aside = (_multiples(luminance[place:, place:], steps) for place in (0, 4))
    count, other = now.sum(axis=1), aside.sum(axis=1)
    usable = (count >= SEEN) & (other >= SEEN)
    usable[0] = False
    if not usable.any():
        return 0.0, QUALITIES[0]
    now, aside, count, other = now[usable], aside[usable], count[usable], other[usable]
    before = tables()[:, usable].astype(np.float64)
    ratio = steps[usable] / before  # (Q, F)
    turns = np.cos(2 * np.pi * ratio[..., None] * np.arange(1, LARGEST + 1))  # (Q, F, K)
    there = (turns * now).sum(axis=2)
    mean = (turns * aside).sum(axis=2) / other
    spread = (turns**2 * aside).sum(axis=2) / other - mean**2
    weight = np.sinc(ratio) * ((before >= 2) & (ratio != 1) & (spread > 1e-6))
    gain = (weight * (there - count * mean)).sum(axis=1)
    error = np.sqrt((weight**2 * count * spread * (1 + count / other)).sum(axis=1))
    strengths = np.divide(gain, error, out=np.zeros_like(gain), where=error > 0)
    best = int(strengths.argmax())
    return float(strengths[best]), QUALITIES[best]


def _multiples(luminance: Any, steps: Any) -> Any:
    """Count how often a coefficient of each frequency is ±1 … ±`LARGEST` steps, (64, K)."""
    high, wide = (side // 8 for side in luminance.shape)
    counts = np.zeros((64, LARGEST))
    if not high or not wide:
        return counts
    every = max(1, -(-high * wide // PAIRS))
    rows, columns = divmod(np.arange(0, high * wide, every), wide)
    cut = luminance[: high * 8, : wide * 8].reshape(high, 8, wide, 8)
    blocks = cut[rows, :, columns].astype(np.float32) - 128
    multiples = np.rint(dctn(blocks, axes=(1, 2), norm="ortho").reshape(-1, 64) / steps)
    sizes = np.abs(multiples).astype(np.int64)
    _, places = np.indices(sizes.shape)
    counted = (sizes > 0) & (sizes <= LARGEST)
    np.add.at(counts, (places[counted], sizes[counted] - 1), 1)
    return counts


@cache
def tables() -> Any:
    """Return the luminance tables of `QUALITIES`, (Q, 64)."""
    scale = np.array([5000 // q if q < 50 else 200 - 2 * q for q in QUALITIES])
    return np.clip((np.outer(scale, ANNEX_K) + 50) // 100, 1, 255).astype(np.float32)
