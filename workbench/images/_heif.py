"""HEIC pictures, through the optional pillow-heif; what kind the bytes are of."""

from __future__ import annotations

import io
from typing import Any

from workbench.images._errors import ImageError

HEIC = frozenset((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"))
AVIF = frozenset((b"avif", b"avis"))
MISSING = "it is a HEIC picture; to read it: pip install pillow-heif; or save it as PNG"


def brands(data: bytes) -> set[bytes]:
    """Return the brands of an ISO media file (its ftyp box); none of any other file."""
    if data[4:8] != b"ftyp":
        return set()
    box = data[: min(int.from_bytes(data[:4], "big"), 1024)]
    return {box[8:12], *(box[at : at + 4] for at in range(16, len(box) - 3, 4))}


def is_heic(data: bytes) -> bool:
    """Return whether the bytes are those of a HEIC picture, not of an AVIF one."""
    file_brands = brands(data)
    return bool(file_brands & HEIC) and not file_brands & AVIF


def opened(data: bytes) -> Any:
    """Open a HEIC picture lazily: ``size`` is known, `pixels` decodes it.

    Raises ImageError where pillow-heif is not there.
    """
    try:
        import pillow_heif
    except ImportError:
        raise ImageError(MISSING) from None
    return pillow_heif.open_heif(io.BytesIO(data))


def pixels(heif: Any) -> Any:
    """Decode what `opened` opened, turned as it says, with its profile in ``info``."""
    return heif.to_pillow()
