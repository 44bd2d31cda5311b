"""The members of tar files, and of those that gzip packed: by number, each read alone."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import tarfile
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO

from workbench import images
from workbench.generators._archive_files import MAX_BYTES, Folder, Zip

GZIP, ZSTD = (".tar.gz", ".tgz"), (".tar.zst", ".tzst")
TAR = (".tar", *GZIP, *ZSTD)
FEW_BYTES, BYTES_A_BYTE, MOST_BYTES = 64 * 2**20, 50, 16 * 2**30
"""So much any packed tar file may hold, so much for each of its bytes, and so much in all."""
STEP = 2**20


def members(inside: Folder | Zip, name: str) -> list[tuple[str, int, int]]:
    """Return the regular files of a tar file: their names, places and sizes.

    Raises ValueError for one that is packed in a way that is not read, or holds too much, and
    whatever a reader of damaged bytes raises.
    """
    return _members(inside, name, inside.digest(name))


def member(inside: Folder | Zip, name: str, number: int) -> bytes:
    """Return the bytes of member `number`; raise ImageError where it cannot or must not be read."""
    label, offset, size = members(inside, name)[number]
    if size > MAX_BYTES:
        raise images.ImageError(f"{label} has more than {MAX_BYTES // 2**20} MiB")
    with _binary(inside, name, inside.digest(name)) as file:
        file.seek(offset)
        data = file.read(size)
    if len(data) < size:
        raise images.ImageError(f"the tar file ends before {label} does")
    return data


def digest(inside: Folder | Zip, name: str, number: int) -> str:
    """Return the sha256 of a member of a packed tar file; "" if it is unreadable."""
    try:
        return hashlib.sha256(member(inside, name, number)).hexdigest()
    except (images.ImageError, IndexError):
        return ""


@lru_cache(maxsize=4)
def _members(inside: Folder | Zip, name: str, sha256: str) -> list[tuple[str, int, int]]:
    with _binary(inside, name, sha256) as file:
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:") as tar:
            regular = [each for each in tar if each.isreg() and not each.issparse()]
    return [(each.name, each.offset_data, each.size) for each in regular]


@contextlib.contextmanager
def _binary(inside: Folder | Zip, name: str, sha256: str) -> Iterator[IO[bytes]]:
    """Open a tar file as if nothing packed it."""
    if name.endswith(ZSTD):
        raise ValueError("zstd packed it, which is not read here: unpack it first (zstd -d)")
    if name.endswith(GZIP):
        yield _unpacked(inside, name, sha256, os.getpid())
        return
    place = inside.open(name)
    with place.open("rb") if isinstance(place, Path) else place as file:
        yield file


@lru_cache(maxsize=2)
def _unpacked(inside: Folder | Zip, name: str, _sha256: str, _process: int) -> IO[bytes]:
    """Unpack a tar file once, into a file without a name that is gone when it is let go of."""
    place = inside.open(name)
    most = min(MOST_BYTES, FEW_BYTES + BYTES_A_BYTE * inside.size(name))
    kept = tempfile.TemporaryFile()  # noqa: SIM115
    with gzip.open(place) as file:
        while part := file.read(STEP):
            if kept.tell() + len(part) > most:
                kept.close()
                raise ValueError(f"unpacked it has more than {most // 2**20:,} MiB")
            kept.write(part)
    return kept
