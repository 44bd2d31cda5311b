"""Colour profiles inside BMP and JPEG 2000 files, which Pillow does not hand over."""

from __future__ import annotations

import struct
from collections.abc import Iterator

BMP_V5, EMBEDDED, RESTRICTED = 124, b"DEBM", 2
"""Size and colour space of a BMP head with a profile; method of a JPEG 2000 colr box with one."""


def profile(data: bytes) -> bytes | None:
    """Return the ICC profile inside a BMP or JPEG 2000 file; None where there is none."""
    if data[:2] == b"BM" and len(data) >= 138:
        if data[14:18] != struct.pack("<I", BMP_V5) or data[70:74] != EMBEDDED:
            return None
        start, size = struct.unpack_from("<II", data, 126)
        return data[14 + start : 14 + start + size] or None
    if data[4:8] != b"jP  ":
        return None
    for name, start, stop in _boxes(data, 0, len(data)):
        if name != b"jp2h":
            continue
        for inner, begin, end in _boxes(data, start, stop):
            if inner == b"colr" and data[begin] == RESTRICTED:
                return data[begin + 3 : end] or None
    return None


def _boxes(data: bytes, at: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of what each box between two places holds."""
    while at + 9 <= stop:
        size, name = struct.unpack_from(">I4s", data, at)
        end = stop if size == 0 else at + size
        if not at + 8 < end <= stop:
            return
        yield name, at + 8, end
        at = end
