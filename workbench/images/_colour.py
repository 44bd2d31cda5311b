"""From the colours that a file means to sRGB: ICC profiles, and what PNG and HEIC say in numbers.

Profiles are applied by Little CMS with the perceptual intent. What is sRGB already is not touched:
a profile that moves no colour by more than one step of 255 changes no pixel.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from workbench.images import _png
from workbench.text import brief

D50 = (0.9642, 1.0, 0.8249)
SRGB = (0.3127, 0.3290, 0.6400, 0.3300, 0.3000, 0.6000, 0.1500, 0.0600)
"""White and primaries, x and y of each, in the order of a cHRM chunk."""
PRIMARIES = {
    1: ("BT.709", SRGB),
    5: ("BT.470 BG", (*SRGB[:2], 0.64, 0.33, 0.29, 0.60, 0.15, 0.06)),
    6: ("BT.601", (*SRGB[:2], 0.630, 0.340, 0.310, 0.595, 0.155, 0.070)),
    9: ("BT.2020", (*SRGB[:2], 0.708, 0.292, 0.170, 0.797, 0.131, 0.046)),
    12: ("Display P3", (*SRGB[:2], 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)),
}
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
TV_CURVE = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
CURVES = {
    **dict.fromkeys((1, 6, 14, 15), TV_CURVE),
    4: (2.2,),
    5: (2.8,),
    8: (1.0,),
    13: SRGB_CURVE,
}
"""Exponent, or the five numbers of a curve with a straight foot (ICC.1, parametric type 3)."""
MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Colour space of a profile → mode of the pixels that it is applied to."""
GREY = ("1", "L", "LA", "La")


@dataclass(frozen=True)
class Colours:
    """The reading of a file's colours: a profile's transform, or none, and a note on it."""

    transform: Any = None
    mode: str = "RGB"
    note: str | None = None

    def convert(self, image: Image.Image) -> Image.Image:
        """Return the picture, without its transparency, as RGB in sRGB."""
        if self.transform is None:
            return image.convert("RGB")
        base = image if image.mode == self.mode else image.convert(self.mode)
        base.info.pop("icc_profile", None)
        return self.transform.apply(base)


def colours(image: Image.Image, chunks: dict[bytes, bytes]) -> Colours:
    """Return how the colours of an opened picture are to be read; its pixels need not be loaded.

    Args:
        image: as Pillow opened it.
        chunks: of colour, of a PNG (`_png.read`).
    """
    try:
        profile = _profile(image, chunks)
        if profile is None:
            return Colours()
        data, name = profile
        return _of_profile(image.mode, data, name)
    except MemoryError:
        raise
    except Exception as error:  # a profile is a file of its own, and may be damaged in any way
        reason = brief(str(error).split("\n")[0] or type(error).__name__, 100)
        return Colours(note=f"its colour profile cannot be read and was left aside ({reason})")


def _profile(image: Image.Image, chunks: dict[bytes, bytes]) -> tuple[bytes, str] | None:
    """Return the profile of a picture, or make it of numbers; and its name where it has none."""
    if b"cICP" in chunks:
        return _coded(*struct.unpack(">BB", chunks[b"cICP"][:2]))
    if b"iCCP" in chunks:
        return _png.profile(chunks[b"iCCP"]), ""
    if b"sRGB" in chunks:
        return None
    if b"gAMA" in chunks or b"cHRM" in chunks:
        return _measured(chunks.get(b"gAMA"), chunks.get(b"cHRM"))
    data = image.info.get("icc_profile")
    if data:
        if len(data) > _png.LONGEST_PROFILE:
            raise ValueError(f"it has more than {_png.LONGEST_PROFILE:,} bytes")
        return bytes(data), ""
    nclx = image.info.get("nclx_profile")
    if nclx:
        return _coded(nclx["color_primaries"], nclx["transfer_characteristics"])
    return None


def _coded(primaries: int, transfer: int) -> tuple[bytes, str] | None:
    """Return the profile of code points (ITU-T H.273); None for sRGB and for what says nothing."""
    if transfer in (16, 18):
        raise ValueError("its brightness is that of HDR")
    if primaries == 2 or transfer == 2 or (primaries == 1 and transfer in (1, 6, 13)):
        return None
    if primaries not in PRIMARIES or transfer not in CURVES:
        raise ValueError(f"code points {primaries} and {transfer} are not known here")
    name, place = PRIMARIES[primaries]
    return matrix_profile(place, CURVES[transfer]), name


def _measured(gamma: bytes | None, place: bytes | None) -> tuple[bytes, str] | None:
    """Return the profile of gAMA and cHRM chunks; None where both are those of sRGB.

    A gamma within 5 % of 1/2.2 stands for the curve of sRGB, as everywhere.
    """
    curve: tuple[float, ...] = SRGB_CURVE
    if gamma is not None:
        value = struct.unpack(">I", gamma)[0] / 100_000
        if not 0.01 <= value <= 100:
            raise ValueError(f"a gamma of {value:g}")
        if abs(value * 2.2 - 1) >= 0.05:
            curve = (1 / value,)
    numbers: tuple[float, ...] = SRGB
    if place is not None:
        numbers = tuple(each / 100_000 for each in struct.unpack(">8i", place))
        if np.allclose(numbers, SRGB, atol=0.002):
            numbers = SRGB
    if curve == SRGB_CURVE and numbers == SRGB:
        return None
    said = " and ".join(
        name for name, body in (("gAMA", gamma), ("cHRM", place)) if body is not None
    )
    return matrix_profile(numbers, curve), said


def _of_profile(mode: str, data: bytes, name: str) -> Colours:
    """Build the transform of a profile to sRGB, if it fits the pixels and changes any."""
    profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
    space = profile.profile.xcolor_space.strip()
    grey = mode in GREY or mode.startswith("I")
    fits = {"RGB": mode not in ("CMYK", "LAB"), "GRAY": grey, "CMYK": mode == "CMYK"}
    label = brief(name or (profile.profile.profile_description or "").strip() or "no name", 60)
    if not fits.get(space, False):
        note = f"its colour profile ({label}, {brief(space, 8)}) does not fit its pixels"
        return Colours(note=f"{note} ({mode}) and was left aside")
    exact = ImageCms.Flags.NOOPTIMIZE if space == "GRAY" else ImageCms.Flags.NONE
    transform = ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        MODES[space],
        "RGB",
        renderingIntent=ImageCms.Intent.PERCEPTUAL,
        flags=exact,  # a table of few steps, which Little CMS makes of a grey curve, is too coarse
    )
    if space != "CMYK" and _changes_nothing(transform, MODES[space]):
        return Colours()
    note = f"its colours were converted to sRGB from those that it tells ({label})"
    return Colours(transform, MODES[space], note)


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Return whether a transform moves no colour of a grid by more than one step of 255."""
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    probe = Image.fromarray(cube if mode == "RGB" else np.arange(256, dtype=np.uint8)[None])
    before = np.asarray(probe.convert("RGB")).astype(int)
    return bool(np.abs(np.asarray(transform.apply(probe)).astype(int) - before).max() <= 1)


def matrix_profile(place: tuple[float, ...], curve: tuple[float, ...]) -> bytes:
    """Write an ICC profile (version 4) of white and primaries and one curve for all channels.

    Args:
        place: x and y of white, red, green and blue.
        curve: an exponent alone, or five numbers (`CURVES`).

    Raises ValueError for points that span no colours.
    """
    columns = _to_d50(place)
    kind = 0 if len(curve) == 1 else 3
    tags = {
        b"desc": _words("as told by the file"),
        b"cprt": _words("none"),
        b"wtpt": b"XYZ \0\0\0\0" + _fixed(*D50),
    }
    for name, column in zip((b"r", b"g", b"b"), columns.T, strict=True):
        tags[name + b"XYZ"] = b"XYZ \0\0\0\0" + _fixed(*column)
        tags[name + b"TRC"] = b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + _fixed(*curve)
    table, body = struct.pack(">I", len(tags)), b""
    start = 132 + 12 * len(tags)
    for name, value in tags.items():
        value += bytes(-len(value) % 4)
        table += struct.pack(">4sII", name, start + len(body), len(value))
        body += value
    head = struct.pack(">I4sI", start + len(body), bytes(4), 0x04300000) + b"mntrRGB XYZ "
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(*D50)
    return head.ljust(128, b"\0") + table + body


def _to_d50(place: tuple[float, ...]) -> np.ndarray:
    """Return the primaries as columns of XYZ, adapted to D50 (Bradford; Lindbloom 2017)."""
    points = np.array(place, float).reshape(4, 2)
    if (points[:, 1] <= 0).any():
        raise ValueError("its white or a primary has no brightness")
    x, y = points.T
    white, *primaries = np.stack([x / y, np.ones(4), (1 - x - y) / y], axis=1)
    columns = np.stack(primaries, axis=1)
    if abs(np.linalg.det(columns)) < 1e-6:
        raise ValueError("its primaries span no colours")
    columns = columns * np.linalg.solve(columns, white)
    cone = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    scale = np.diag((cone @ D50) / (cone @ white))
    adapted = np.linalg.inv(cone) @ scale @ cone @ columns
    if not np.isfinite(adapted).all() or np.abs(adapted).max() > 100:
        raise ValueError("its primaries span no colours")
    return adapted


def _fixed(*values: float) -> bytes:
    """Write numbers as s15Fixed16Number."""
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _words(text: str) -> bytes:
    """Write a multiLocalizedUnicodeType of one record."""
    data = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(data), 28) + data
