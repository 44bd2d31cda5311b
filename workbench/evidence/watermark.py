"""The invisible watermark of the Stable Diffusion scripts and of SDXL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.evidence.base import Evidence, library_missing

if TYPE_CHECKING:
    from PIL.Image import Image


WATERMARKS = {
    "Stable Diffusion 1 (original scripts)": b"StableDiffusionV1",
    "Stable Diffusion 2 (original scripts)": b"SDV2",
    "SDXL (Stability's and diffusers' code)": bytes.fromhex("b3ec907bb19e"),
}
"""The public messages; whoever has the library can write them into any picture."""
SMALLEST = 256 * 256
"""Pixels below which the library writes no watermark."""
LARGEST = 2**21
"""Pixels, from the top, that a watermark is looked for in: it repeats down the picture."""
CHANCE = 1e-6
"""Largest probability of so many equal bits by chance at which a watermark counts as found."""
STRENGTH = 36
"""Step of the coefficients that the library writes bits into."""
EQUAL = 7 / 8
"""Least share of equal bits: a picture that repeats itself within 40 blocks equals the letters of
the first message in 114 of 136 bits at most. So 120 of 136 are needed, all 32, or 44 of 48. Of
3,000 pictures without a watermark (`unmarked` in tests/evidence/test_watermark.py) none seemed to
have one: at 95 % that is fewer than 1 in 1,000."""


def read_watermark(picture: Image) -> Evidence:
    """Decode the invisible watermark (DWT and DCT) and compare it with the known messages.

    Of L message bits, of which k are ones, those k positions are read as ones whose blocks read
    most so: a dark or flat picture shifts all blocks one way, and the half that the library's
    decoder compares with is then no middle. Chance: hypergeometric, times the number of tries.
    """
    import numpy as np

    rows = max(8, LARGEST // picture.width)
    pixels = np.asarray(picture)[:rows]
    blocks = (pixels.shape[0] // 8) * (pixels.shape[1] // 8)
    if picture.width * picture.height < SMALLEST or blocks < 8 * max(map(len, WATERMARKS.values())):
        text = f"Too small to hold an invisible watermark ({picture.width}×{picture.height})."
        return Evidence("watermark", "absent", text)
    try:
        import imwatermark.maxDct  # noqa: F401
    except ImportError as error:
        return library_missing("watermark", "invisible-watermark", error)
    from scipy.stats import hypergeom

    tries = []
    # A decoder must do as who wrote: the scripts into integers, diffusers into floats, blue first
    # both of them, as the library expects it; diffusers before 2024-02 red first.
    for kind, order in ((np.uint8, -1), (np.float32, -1), (np.float32, 1)):
        values = pixels[:, :, ::order].astype(kind)
        read = bits(values)
        for name, message in WATERMARKS.items():
            wanted = np.unpackbits(np.frombuffer(message, np.uint8)).astype(bool)
            length, ones = len(wanted), int(wanted.sum())
            means = np.array([np.mean(read[place::length]) for place in range(length)])
            seen = means > np.quantile(means, 1 - ones / length)
            both, equal = int((seen & wanted).sum()), int((seen == wanted).sum())
            least = float(hypergeom.sf(both - 1, length, ones, int(seen.sum())))
            tries.append((least, name, equal, length))
    least, name, equal, length = min(tries)
    chance = min(1.0, len(tries) * least)
    if chance > CHANCE or equal < EQUAL * length:
        text = "No known invisible watermark: never there, or lost when the picture was saved."
        return Evidence("watermark", "absent", text)
    text = (
        f"The invisible watermark of {name}: {equal} of {length} bits "
        f"(by chance {chance:.0e}); anybody with the library can write it."
    )
    return Evidence("watermark", "claimed", text, name)


def bits(values: Any) -> Any:
    """Read a bit from each block of 8×8 pixels (H, W, 3), blue first, row by row: (N,) bool.

    As `imwatermark`'s method dwtDct does block by block, for all blocks at once: of the largest
    coefficient of 4×4 in the first Haar band of U, whether it lies in the upper half of a step.
    """
    import cv2
    import numpy as np
    import pywt

    high, wide = (side // 4 * 4 for side in values.shape[:2])
    blue = cv2.cvtColor(values, cv2.COLOR_BGR2YUV)[:high, :wide, 1]
    band = pywt.dwt2(blue, "haar")[0]
    rows, columns = (side // 4 for side in band.shape)
    blocks = band[: rows * 4, : columns * 4].reshape(rows, 4, columns, 4)
    blocks = np.abs(blocks.swapaxes(1, 2).reshape(-1, 16))
    largest = np.take_along_axis(blocks, blocks[:, 1:].argmax(axis=1, keepdims=True) + 1, axis=1)
    return largest[:, 0] % STRENGTH > STRENGTH / 2
