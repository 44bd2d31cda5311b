"""Traces of past JPEG compression in the pixels of a picture that is no JPEG now.

They confound every comparison: a candidate image was never compressed. An observation, with the
error rate that was measured, and no word on who compressed the picture.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from workbench.evidence.base import Evidence

if TYPE_CHECKING:
    from PIL.Image import Image

FORMS = ("PNG", "BMP", "TIFF", "PPM")
"""Formats without a loss: what is compressed itself shows traces of that."""
QUALITIES = range(30, 96)
"""Of the common tables (Annex K of ITU-T T.81, scaled as libjpeg does) that are tried."""
BLOCKS = 128
"""Blocks of 8×8 pixels that are looked at, at most, evenly over the picture."""
FEWEST = 100
"""Coefficients that are needed at least, for a table to be tried."""
STEP = 3
"""Smallest step of quantisation that the rounding of pixels does not blur."""
LEAST = 10.0
"""Standard errors by which coefficients must lie on a table's steps."""
RATES = (
    "Of 112 pictures of ours and 600 patterns, none of them ever compressed, none seemed so (at "
    "95 %: fewer than 1 in 200); of the 112, compressed at a quality of 50 to 95, all did, "
    "and at 98 none. Cropped off the grid of 8 pixels, or resized since, nothing is seen."
)
"""What was measured (tests/evidence/test_traces.py), as it is told."""
ANNEX_K = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)


def read_traces(picture: Image, form: str) -> Evidence | None:
    """Look for the steps of JPEG's quantisation in an RGB picture; None where there are none."""
    if form not in FORMS:
        return None
    strength, quality = quantisation(picture)
    if strength < LEAST:
        return None
    text = (
        f"The pixels bear traces of JPEG, of a quality of about {quality}, though the file is "
        f"{form}: it was compressed before. {RATES}"
    )
    return Evidence("traces", "observed", text)


def quantisation(picture: Image) -> tuple[float, int]:
    """Return how plainly DCT coefficients lie on the steps of a JPEG table, and its quality.

    Over the coefficients c of 8×8 blocks of luminance, with |c| > q/2 for a step q, the mean of
    cos(2πc/q) is 1 on the steps and about 0 without any; it is told in standard errors, 1/√(2n).
    """
    import numpy as np

    found = _coefficients(picture)
    found[:, 0] = 0
    rows, places = np.nonzero(np.abs(found) > STEP / 2)
    told = np.stack([places, np.round(found[rows, places] * 100)], axis=1).astype(np.int64)
    told = np.unique(told, axis=0)  # what repeats itself counts once
    places, values = told[:, 0], told[:, 1] / 100
    sizes = np.abs(values)
    best, quality = 0.0, QUALITIES[0]
    for tried, table in zip(QUALITIES, _tables(), strict=True):
        steps = table[places]
        used = (steps >= STEP) & (sizes > steps / 2)
        if (count := int(used.sum())) >= FEWEST:
            turns = np.cos(2 * np.pi * (values[used] / steps[used]))
            strength = float(turns.mean() * np.sqrt(2 * count))
            if strength > best:
                best, quality = strength, tried
    return best, quality


def _coefficients(picture: Image) -> Any:
    """Return the DCT of luminance, (N, 64), of at most `BLOCKS` blocks on the corner's grid."""
    import numpy as np
    from scipy.fft import dctn

    high, wide = picture.height // 8, picture.width // 8
    if not high or not wide:
        return np.zeros((0, 64))
    every = max(1, -(-high * wide // BLOCKS))
    places = np.arange(0, high * wide, every)
    pixels = np.asarray(picture)[: high * 8, : wide * 8].reshape(high, 8, wide, 8, 3)
    blocks = pixels[places // wide, :, places % wide].astype(np.float32)
    grey = blocks @ np.array([0.299, 0.587, 0.114], np.float32) - 128
    return dctn(grey, axes=(1, 2), norm="ortho").reshape(len(places), 64)


@cache
def _tables() -> Any:
    """Return the luminance tables of `QUALITIES`, (Q, 64)."""
    import numpy as np

    scale = np.array([5000 // q if q < 50 else 200 - 2 * q for q in QUALITIES])
    return np.clip((np.outer(scale, ANNEX_K) + 50) // 100, 1, 255).astype(np.float32)
