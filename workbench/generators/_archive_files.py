"""Files inside a folder or a zip, by name: nothing is unpacked, and nothing outside is read."""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import stat
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

from workbench import images

MAX_BYTES = 256 * 2**20
"""What one file may hold, unpacked; a picture of `images.MAX_PIXELS` fits."""
OUTSIDE = "it lies outside of the archive, and is not read"


@dataclass(frozen=True)
class Folder:
    """The files below a folder. A name that leads out of it, by .. or by a link, is refused."""

    root: Path

    def names(self) -> list[str]:
        """List every file, relative to the folder, with /, sorted; links to folders are left."""
        found = [Path(here, name) for here, _, names in os.walk(self.root) for name in names]
        return sorted(path.relative_to(self.root).as_posix() for path in found)

    def exists(self, name: str) -> bool:
        """Tell whether there is such a file."""
        return (self.root / name).is_file()

    def read(self, name: str) -> bytes:
        """Read a file; ImageError, in one sentence, where it cannot or must not be."""
        path = self._path(name)
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            raise images.ImageError(_too_large(path.stat().st_size))
        return images.read_bytes(path)

    def open(self, name: str) -> Path | IO[bytes]:
        """Return what pyarrow reads a table from; ImageError where it must not be."""
        return self._path(name)

    def digest(self, name: str) -> str:
        """Identify the contents of a file; "" where there is none to read."""
        try:
            path = self._path(name)
            state = path.stat()
        except (OSError, images.ImageError):
            return ""
        return _sha(path, state.st_mtime_ns, state.st_size)

    def _path(self, name: str) -> Path:
        path = self.root / name
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise images.ImageError(OUTSIDE)
        return path


@dataclass(frozen=True)
class Zip:
    """The members of a zip.

    Raises ValueError for what is no zip, or holds a member that would lie outside of it once
    unpacked, or a link: such a zip is meant to harm, and nothing of it is read.
    """

    file: Path

    def __post_init__(self) -> None:
        """Look at every member's name once."""
        self._opened()

    def names(self) -> list[str]:
        """List every member that is a file, sorted."""
        return sorted(self._opened()[1])

    def exists(self, name: str) -> bool:
        """Tell whether there is such a member."""
        return self._info(name) is not None

    def read(self, name: str) -> bytes:
        """Unpack a member in memory; ImageError, in a sentence, where it cannot or must not be."""
        found = self._info(name)
        if found is None:
            raise images.ImageError(OUTSIDE if _outside(name) else "there is no such file")
        if found.file_size > MAX_BYTES:
            raise images.ImageError(_too_large(found.file_size))
        try:
            return self._opened()[0].read(found)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError) as error:
            raise images.ImageError(f"the zip does not give it ({error})") from error

    def open(self, name: str) -> Path | IO[bytes]:
        """Return what pyarrow reads a table from; ImageError as `read`."""
        return io.BytesIO(self.read(name))

    def digest(self, name: str) -> str:
        """Identify the contents of a member by its checksum; "" where there is none."""
        found = self._info(name)
        return "" if found is None else f"{found.CRC:08x}-{found.file_size}"

    def _info(self, name: str) -> zipfile.ZipInfo | None:
        return self._opened()[1].get(posixpath.normpath(name))

    def _opened(self) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
        state = self.file.stat()
        return _zip(self.file, state.st_mtime_ns, state.st_size, os.getpid())


def _outside(name: str) -> bool:
    r"""Tell whether a name leads out of where it lies.

    >>> [_outside(name) for name in ("a/../b.png", "../b.png", "/b.png", r"..\b.png", "C:b.png")]
    [False, True, True, True, True]
    """
    path = posixpath.normpath(name.replace("\\", "/"))
    return path.startswith(("/", "../")) or path == ".." or path[1:2] == ":"


def _too_large(size: int) -> str:
    return f"it has {size / 2**20:,.0f} MiB, more than the {MAX_BYTES // 2**20} MiB that are read"


@lru_cache(maxsize=4096)
def _sha(path: Path, _changed: int, _size: int) -> str:
    """Hash a file once for each of its states."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=8)
def _zip(
    file: Path, _changed: int, _size: int, _process: int
) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
    """Open a zip once for each of its states, and look at every name in it."""
    try:
        found = zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{file} is no zip: {error}") from error
    for info in found.infolist():
        link = stat.S_ISLNK(info.external_attr >> 16)
        if link or _outside(info.orig_filename):
            what = "is a link" if link else "would lie outside of it"
            raise ValueError(
                f"the zip {file} holds the member {info.orig_filename!r}, which {what}; "
                "nothing of it is read"
            )
    files = [info for info in found.infolist() if not info.is_dir()]
    return found, {posixpath.normpath(info.filename): info for info in files}
