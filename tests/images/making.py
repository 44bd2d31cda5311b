"""Pictures and profiles written by hand, with what Pillow cannot write."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from workbench import images

SIGNATURE = b"\x89PNG\r\n\x1a\n"
P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
"""The columns of Display P3, adapted to D50 (as its published profile holds them)."""
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))


def scene(height: int = 48, width: int = 64) -> Image.Image:
    """Draw smooth colours of medium saturation, which every gamut here holds."""
    y, x = np.mgrid[0:height, 0:width]
    rows = [60 + 120 * x / width, 80 + 100 * y / height, 70 + 90 * (x + y) / (width + height)]
    return Image.fromarray(np.dstack(rows).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(folder: Path, data: bytes, name: str = "picture.png") -> np.ndarray:
    """Open bytes as a file; the pixels as integers that can be subtracted."""
    (folder / name).write_bytes(data)
    return np.asarray(images.open_image(folder / name)).astype(int)


def chunk(name: bytes, data: bytes, check: int | None = None) -> bytes:
    right = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check or right)


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """Write a PNG of raw rows, each with its filter byte; ``extra`` chunks stand before IDAT."""
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = [chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"".join([SIGNATURE, chunk(b"IHDR", head), *extra, *body])


def with_chunks(data: bytes, *extra: bytes) -> bytes:
    """Put chunks behind the head of a PNG."""
    return data[:33] + b"".join(extra) + data[33:]


def profile(columns: tuple = P3, gamma: float = 2.19921875, filler: int = 0) -> bytes:
    """Write a matrix profile, with so many bytes of a private tag that nobody needs."""
    tags = {b"wtpt": _xyz(0.9642, 1, 0.8249), b"desc": _mluc("wide"), b"cprt": _mluc("none")}
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    for letter, column in zip((b"r", b"g", b"b"), columns, strict=True):
        tags |= {letter + b"XYZ": _xyz(*column), letter + b"TRC": curve}
    if filler:
        random = np.random.default_rng(0).integers(0, 256, filler, dtype=np.uint8)
        tags[b"fill"] = b"data\0\0\0\0" + random.tobytes()
    return _icc(b"RGB XYZ ", tags)


def grey_profile(gamma: float) -> bytes:
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    tags = {b"wtpt": _xyz(0.9642, 1, 0.8249), b"desc": _mluc("grey"), b"cprt": _mluc("none")}
    return _icc(b"GRAYXYZ ", tags | {b"kTRC": curve}, b"mntr")


def ink_profile(cyan: tuple[int, int, int]) -> bytes:
    """Write a CMYK profile with white paper, black black, and cyan of a colour (Lab, 8 bits)."""
    corners = [(0, 128, 128) if i & 1 else cyan if i & 8 else (255, 128, 128) for i in range(16)]
    table = bytes(value for corner in corners for value in corner)
    ramp = bytes(range(256))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0])
    lut += struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    lut += ramp * 4 + table + ramp * 3
    tags = {b"wtpt": _xyz(0.9642, 1, 0.8249), b"desc": _mluc("ink"), b"cprt": _mluc("none")}
    return _icc(b"CMYKLab ", tags | {b"A2B0": lut}, b"prtr", version=0x02400000)


def to_profile(image: Image.Image, data: bytes) -> Image.Image:
    """Write the colours of an sRGB picture in those of a profile."""
    target = ImageCms.ImageCmsProfile(io.BytesIO(data))
    return ImageCms.profileToProfile(image, ImageCms.createProfile("sRGB"), target, 1)


def _icc(space: bytes, tags: dict, kind: bytes = b"mntr", version: int = 0x04300000) -> bytes:
    table, body = struct.pack(">I", len(tags)), b""
    start = 132 + 12 * len(tags)
    for name, value in tags.items():
        value += bytes(-len(value) % 4)
        table += struct.pack(">4sII", name, start + len(body), len(value))
        body += value
    head = struct.pack(">I4sI", start + len(body), bytes(4), version) + kind + space
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += _numbers(0.9642, 1, 0.8249)
    return head.ljust(128, b"\0") + table + body


def _numbers(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + _numbers(*values)


def _mluc(words: str) -> bytes:
    if not words:
        return b""
    data = words.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(data), 28) + data
