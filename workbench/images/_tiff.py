"""TIFFs that Pillow does not know, or reads wrongly, by tifffile: 8 or 16 bits a channel."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
BITS, ORIENTATION, PLANES, PROFILE = 258, 274, 284, 34675
KINDS = {0: 1, 1: 1, 2: 3, 5: 4}
"""Photometric interpretation (white is zero, black is zero, RGB, inks) → its channels."""
MODES = {(1, 0): "L", (1, 1): "LA", (3, 0): "RGB", (3, 1): "RGBA", (4, 0): "CMYK"}
LOGGER = logging.getLogger("tifffile")


def is_strange(data: bytes) -> bool:
    """Return whether the bytes begin as a TIFF does and are of a kind that Pillow does not read.

    Channels of 16 bits that lie one after the other, unpacked, it reads as if they had 8.
    """
    if not data.startswith(MAGIC):
        return False
    try:
        with Image.open(io.BytesIO(data), formats=["TIFF"]) as image:
            tags: Any = getattr(image, "tag_v2", {})
            wide = set(tags.get(BITS, ())) == {16} if tags.get(PLANES) == 2 else False
            return wide and any(tile[0] == "raw" for tile in getattr(image, "tile", ()))
    except UnidentifiedImageError:
        return True
    except Exception:
        return False


@contextlib.contextmanager
def opened(data: bytes) -> Iterator[Any]:
    """Open the first page of a TIFF; its ``imagewidth`` and ``imagelength`` are known.

    Raises ValueError, or what tifffile raises, for what cannot be read.
    """
    import tifffile

    before, LOGGER.disabled = LOGGER.disabled, True  # its remarks are for developers
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            yield file.pages.first
    finally:
        LOGGER.disabled = before


def pixels(page: Any) -> Image.Image:
    """Decode an opened page in a mode of 8 bits, the upper ones, with its profile and EXIF turn.

    Raises ValueError for pixels of another kind.
    """
    count, depth = KINDS.get(int(page.photometric), 0), page.bitspersample
    if count == 0 or str(page.dtype) not in ("uint8", "uint16") or depth not in (8, 12, 16):
        raise ValueError(f"a TIFF of {depth} bits, photometric {int(page.photometric)}")
    samples = np.asarray(page.asarray()).reshape(page.shape)
    if page.samplesperpixel > 1 and int(page.planarconfig) == 2:
        samples = np.moveaxis(samples, 0, -1)
    samples = samples.reshape(page.imagelength, page.imagewidth, page.samplesperpixel)
    if samples.dtype == np.uint16:
        samples = samples >> (4 if depth == 12 else 8)
    if int(page.photometric) == 0:
        samples = 255 - samples
    extra = tuple(map(int, page.extrasamples or ()))[:1]
    cover = int(extra in ((1,), (2,)) and count < 4)
    samples = samples[..., : count + cover].astype(np.uint8)
    image = Image.fromarray(
        np.ascontiguousarray(samples[..., 0] if count + cover == 1 else samples)
    )
    mode = MODES[count, cover]
    if cover and extra == (1,):  # colours already multiplied by their cover
        image = Image.frombytes(mode[:-1] + "a", image.size, samples.tobytes()).convert(mode)
    elif image.mode != mode:
        image = Image.frombytes(mode, image.size, samples.tobytes())
    image.info["bit_depth"] = depth
    if PROFILE in page.tags:
        image.info["icc_profile"] = page.tags[PROFILE].value
    if ORIENTATION in page.tags:
        image.getexif()[ORIENTATION] = int(page.tags[ORIENTATION].value)
    return image
