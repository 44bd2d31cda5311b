"""Pictures as callers give them: a path, a PIL picture, an array, bytes or a file object."""

from __future__ import annotations

import contextlib
import io
import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

TAKEN = (
    "a picture is given as a path, a PIL picture, an (H, W, 3) uint8 array, bytes, "
    "a file object opened for bytes, or a list of these"
)
IN_TIFF = ("CMYK", "LAB", "F", "I")
"""Modes that a PNG cannot hold as they are."""


@dataclass(frozen=True)
class Handed:
    """The bytes of a picture that was handed over; its name stands where a path would."""

    name: str
    data: bytes = field(repr=False)

    def __fspath__(self) -> str:
        """Return the name."""
        return self.name


def given(pictures: Any) -> list[Path | Handed]:
    """Return a list of the pictures given: one, or several in a list or another iterable.

    Raises:
        TypeError: something is no picture, and no path of one.
        ValueError: an array or a PIL picture has no pixels that can be shown.
    """
    if _one(pictures):
        return [_taken(pictures, 1)]
    if isinstance(pictures, Mapping) or not isinstance(pictures, Iterable):
        raise TypeError(f"{TAKEN}; seen {_kind(pictures)}")
    return [_taken(each, number) for number, each in enumerate(pictures, 1)]


def _one(value: Any) -> bool:
    """Return whether a value is one picture, not several."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind not in "OU"  # an array of paths is a list of them
    alone = (str, os.PathLike, bytes, bytearray, memoryview, Image.Image)
    return isinstance(value, alone) or callable(getattr(value, "read", None))


def _taken(value: Any, number: int) -> Path | Handed:
    name = f"picture {number}"
    if isinstance(value, Handed):
        return value
    if isinstance(value, (str, os.PathLike)):
        path = os.fspath(value)
        return Path(os.fsdecode(path))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return Handed(name, bytes(value))
    if isinstance(value, np.ndarray):
        return Handed(name, _of_array(value))
    if isinstance(value, Image.Image):
        return _of_pil(value, name)
    if callable(getattr(value, "read", None)):
        return _of_file(value, name)
    raise TypeError(f"{TAKEN}; seen {_kind(value)}")


def _of_array(pixels: np.ndarray) -> bytes:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        shape = "×".join(map(str, pixels.shape)) or "no shape"
        raise ValueError(
            f"an array of pixels is (H, W, 3) uint8, red, green and blue; "
            f"seen {shape} of {pixels.dtype}"
        )
    return _png(Image.fromarray(np.ascontiguousarray(pixels)))


def _of_file(file: Any, name: str) -> Handed:
    """Read a file object from its start, and leave it where it was."""
    place = None
    with contextlib.suppress(OSError, ValueError, AttributeError):
        place = file.tell()
        file.seek(0)
    data = file.read()
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"a file object is opened for bytes ('rb'); reading gave {_kind(data)}")
    if place is not None:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            file.seek(place)
    named = getattr(file, "name", None)
    return Handed(named if isinstance(named, str) and named else name, bytes(data))


def _of_pil(image: Image.Image, name: str) -> Path | Handed:
    """Take a PIL picture: the file it was opened from where its pixels are still that file's."""
    if 0 in image.size:
        raise ValueError(f"a PIL picture has pixels; seen {image.width}×{image.height}")
    file = getattr(image, "filename", None)
    if isinstance(file, (str, os.PathLike)) and file:
        with contextlib.suppress(OSError, ValueError):
            path = Path(os.fsdecode(file))
            data = path.read_bytes() if path.is_file() else b""
            with Image.open(io.BytesIO(data)) as again:
                alike = again.mode == image.mode and again.size == image.size
                if alike and again.tobytes() == image.tobytes():
                    return path
    if image.mode in IN_TIFF:
        return Handed(name, _saved(image, "TIFF"))
    return Handed(name, _png(image))


def _png(image: Image.Image) -> bytes:
    """Save as PNG with the texts, the EXIF and the profile that a picture carries."""
    modes = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I;16B")
    if image.mode not in modes:
        held = image.info
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        image.info = dict(held)
    texts = PngImagePlugin.PngInfo()
    for key, value in image.info.items():
        if isinstance(key, str) and isinstance(value, str):
            with contextlib.suppress(ValueError, UnicodeError):
                texts.add_text(key, value)
    if not {"icc_profile", "srgb"} & image.info.keys():
        _add_colour(texts, image.info)
    return _saved(image, "PNG", pnginfo=texts, compress_level=1)


def _add_colour(chunks: PngImagePlugin.PngInfo, info: Mapping[Any, Any]) -> None:
    """Write again what a PNG said of its colours in numbers, as Pillow keeps it."""
    with contextlib.suppress(struct.error, TypeError, ValueError):
        if "gamma" in info:
            chunks.add(b"gAMA", struct.pack(">I", round(info["gamma"] * 100_000)))
        if "chromaticity" in info:
            numbers = [round(each * 100_000) for each in info["chromaticity"]]
            chunks.add(b"cHRM", struct.pack(">8I", *numbers))


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Save with the profile and the EXIF of a picture, or without what cannot be written."""
    extra = {
        name: image.info[name]
        for name in ("exif", "icc_profile")
        if isinstance(image.info.get(name), bytes)
    }
    for more in (extra, {}):
        buffer = io.BytesIO()
        try:
            image.save(buffer, kind, **options, **more)
        except (OSError, ValueError, TypeError, SyntaxError, KeyError) as error:
            reason = str(error).split("\n")[0]
        else:
            return buffer.getvalue()
    raise ValueError(f"a PIL picture of mode {image.mode} cannot be taken ({reason})")


def _kind(value: Any) -> str:
    """Return the name of what was given, by its type."""
    kind = type(value)
    plain = kind.__module__ in ("builtins", "__main__")
    return kind.__name__ if plain else f"{kind.__module__}.{kind.__name__}"
