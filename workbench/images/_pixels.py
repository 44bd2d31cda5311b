"""Pixels of every depth and layout brought to 8 bits, where Pillow alone reads them otherwise."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from workbench.images._errors import ImageError

BITS, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0
"""Tags of TIFF, and the photometric interpretation that turns grey around."""


def note(image: Image.Image, data: bytes, plain: bool) -> str | None:
    """Return how samples of an opened picture are brought to 8 bits of red, green and blue.

    Args:
        image: as Pillow opened it.
        data: the bytes it was opened from.
        plain: no profile converts its colours.
    """
    parts = []
    if (depth := _depth(image, data)) > 8:
        parts.append(f"the upper 8 of the {depth} bits of each channel were kept")
    if plain and image.mode == "CMYK":
        parts.append("its inks (CMYK) were converted by the plain formula, without a profile")
    if plain and image.mode == "LAB":
        parts.append("its colours were converted to sRGB from CIELAB")
    return " and ".join(parts) or None


def _depth(image: Image.Image, data: bytes) -> int:
    """Return the bits of a sample, as far as the file tells."""
    if image.format == "PNG":
        return data[24]
    if bits := image.info.get("bit_depth"):  # HEIC, and TIFF that Pillow does not read
        return int(bits)
    if getattr(image, "tag_v2", {}):
        return max(_bits(image))
    return 16 if image.mode.startswith("I") else 8


def prepare(image: Image.Image, data: bytes) -> None:
    """Bring, before the pixels are loaded, the transparent colour of a PNG to their depth.

    Args:
        image: as Pillow opened it.
        data: the bytes it was opened from.
    """
    if not isinstance(image, ImageFile.ImageFile):
        return
    if image.format == "PNG" and "transparency" in image.info:
        _scale_transparency(image, data)


def _bits(image: Image.Image) -> tuple[int, ...]:
    """Return the bits of each sample of a TIFF."""
    bits: Any = getattr(image, "tag_v2", {}).get(BITS, (1,))
    return tuple(bits) if isinstance(bits, tuple) else (bits,)


def _scale_transparency(image: ImageFile.ImageFile, data: bytes) -> None:
    """Bring the transparent colour of a PNG (tRNS) to the pixels as they are decoded."""
    depth, clear = data[24], image.info["transparency"]
    if image.mode == "L" and isinstance(clear, int):
        most = (1 << min(depth, 8)) - 1
        image.info["transparency"] = (clear & most) * (255 // most)
    elif image.mode == "RGB" and isinstance(clear, tuple):
        if depth == 16:
            image.info["clear"] = image.info.pop("transparency")  # see `_clear_colour`
        else:
            image.info["transparency"] = tuple(each & 0xFF for each in clear)


def eight_bits(image: Image.Image, data: bytes) -> Image.Image:
    """Return a decoded picture in a mode of 8 bits a channel, the upper ones.

    Raises ImageError for numbers that are no such pixels.
    """
    if image.mode == "F":
        raise ImageError("its pixels are floating-point numbers; save it with 8 or 16 bits")
    if "clear" in image.info:
        return _clear_colour(image, data)
    if not image.mode.startswith("I"):
        return image
    grey = np.asarray(image).astype(np.int64)  # "I;16", "I;16B", "I"
    if grey.min() < 0 or grey.max() > 0xFFFF:
        raise ImageError("its pixels have more than 16 bits; save it with 8 or 16 bits")
    tags: Any = getattr(image, "tag_v2", {})
    if tags and _bits(image) == (12,):
        grey = grey << 4
    if tags and tags.get(PHOTOMETRIC, WHITE_IS_ZERO) == WHITE_IS_ZERO:
        grey = 0xFFFF - grey
    reduced = Image.fromarray((grey >> 8).astype(np.uint8))
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        alpha = np.where(grey == clear, 0, 255).astype(np.uint8)
        reduced = Image.merge("LA", (reduced, Image.fromarray(alpha)))
    return reduced


def _clear_colour(image: Image.Image, data: bytes) -> Image.Image:
    """Add the transparency of a PNG of 16 bits a channel, one colour of which is clear.

    Pillow keeps the upper byte of each channel; a second look keeps the lower one.
    """
    upper = np.asarray(image).astype(np.uint16)
    with Image.open(io.BytesIO(data), formats=["PNG"]) as again:
        if isinstance(again, ImageFile.ImageFile):
            again.tile = [tile._replace(args="RGB;16L") for tile in again.tile]
        lower = np.asarray(again.convert("RGB") if again.mode != "RGB" else again)
    same = ((upper << 8 | lower) == np.array(image.info["clear"], np.uint16)).all(axis=-1)
    cover = Image.fromarray(np.where(same, 0, 255).astype(np.uint8))
    return Image.merge("RGBA", (*image.split(), cover))


def over_white(colour: Image.Image, cover: Image.Image) -> Image.Image:
    """Return an RGB picture blended over white by its cover, an L picture with 255 for opaque."""
    pixels = np.asarray(colour).astype(np.uint16)
    share = np.asarray(cover).astype(np.uint16)[..., None]
    mixed = (pixels * share + 255 * (255 - share) + 127) // 255
    return Image.fromarray(mixed.astype(np.uint8))
