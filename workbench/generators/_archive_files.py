"""Files inside a folder or a zip, by name: nothing is unpacked, and nothing outside is read.

Archives come from anybody. Regular files alone are read, and no more of them than `MAX_BYTES`; a
damaged member is an `ImageError` of that member. Names are found however their table writes them:
with backslashes, with letters composed (NFC) or decomposed (NFD).
"""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import stat
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from workbench import images

MAX_BYTES = 256 * 2**20
"""What one file may hold, unpacked; a picture of `images.MAX_PIXELS` fits."""
OUTSIDE = "it lies outside of the archive, and is not read"
MISSING = "there is no such file"
LEFTOVERS = ("__macosx", ".ipynb_checkpoints", ".ds_store", "thumbs.db", "desktop.ini")
"""What macOS, Jupyter and Windows leave in folders and zips, in lower case; and files ._NAME."""


@dataclass(frozen=True)
class Folder:
    """The files below a folder. A name that leads out of it, by .. or by a link, is refused."""

    root: Path

    def names(self) -> list[str]:
        """Return every file, relative to the folder, with /, sorted; links to folders are left."""
        files = [Path(here, name) for here, _, names in os.walk(self.root) for name in names]
        names = sorted(path.relative_to(self.root).as_posix() for path in files)
        return [name for name in names if not _is_leftover(name)]

    def below(self, top: str) -> Folder:
        """Return the files below one of its folders."""
        return Folder(self.root / top)

    def exists(self, name: str) -> bool:
        """Return whether there is such a file, regular or not."""
        return _is_file(self._found(name))

    def size(self, name: str) -> int:
        """Return how many bytes a file takes; ImageError as `read`."""
        return self._path(name).stat().st_size

    def read(self, name: str) -> bytes:
        """Read a file; ImageError, in one sentence, where it cannot or must not be."""
        path = self._path(name, regular=False)
        if _is_file(path) and path.stat().st_size > MAX_BYTES:
            raise images.ImageError(_too_large(path.stat().st_size))
        return images.read_bytes(path)

    def open(self, name: str) -> Path | io.BytesIO:
        """Return what a table is read from, at leisure; ImageError where it must not be."""
        return self._path(name)

    def digest(self, name: str) -> str:
        """Identify the contents of a file, by their sha256; "" where there is none to read."""
        try:
            path = self._path(name)
            state = path.stat()
            return _sha(path, state.st_mtime_ns, state.st_size)
        except (OSError, images.ImageError):
            return ""

    def _path(self, name: str, regular: bool = True) -> Path:
        """Return the path of a name; ImageError where it leads out, or is no regular file."""
        path = self._found(name)
        try:
            real = Path(os.path.realpath(path))  # which, unlike resolve, bears a circle of links
        except (OSError, ValueError) as error:  # a null character
            raise images.ImageError(f"it cannot be a name ({error})") from None
        if not real.is_relative_to(os.path.realpath(self.root)):
            raise images.ImageError(OUTSIDE)
        if regular and not _is_file(path):
            raise images.ImageError("it is not a regular file" if _is_there(path) else MISSING)
        return path

    def _found(self, name: str) -> Path:
        """Return the path of the first writing of a name that is there, else of the name itself."""
        paths = (self.root / each for each in _writings(name))
        return next((path for path in paths if _is_there(path)), self.root / name)


@dataclass(frozen=True)
class Zip:
    """The members of a zip, below its folder `top`.

    Raises ValueError for what is no zip, or holds a member that would lie outside of it once
    unpacked, or a link: such a zip is meant to harm, and nothing of it is read.
    """

    file: Path
    top: str = ""

    def __post_init__(self) -> None:
        """Look at every member's name once."""
        self._opened()

    def names(self) -> list[str]:
        """Return every member that is a file, sorted."""
        members = (name for name in self._opened().members if name.startswith(self.top))
        names = sorted(name.removeprefix(self.top) for name in members)
        return [name for name in names if not _is_leftover(name)]

    def below(self, top: str) -> Zip:
        """Return the members below one of its folders."""
        return Zip(self.file, f"{self.top}{top}/")

    def exists(self, name: str) -> bool:
        """Return whether there is such a member."""
        return self._info(name) is not None

    def size(self, name: str) -> int:
        """Return how many bytes a member takes in the zip; ImageError as `read`."""
        return self._member(name).compress_size

    def read(self, name: str) -> bytes:
        """Unpack a member in memory; ImageError, in a sentence, where it cannot or must not be."""
        return b"".join(self._parts(self._member(name)))

    def open(self, name: str) -> Path | io.BytesIO:
        """Return what a table is read from; ImageError as `read`."""
        return io.BytesIO(self.read(name))

    def digest(self, name: str) -> str:
        """Identify the contents of a member, by their sha256; "" where there is none to read."""
        info, seen = self._info(name), self._opened().digests
        if info is None:
            return ""
        if info.header_offset not in seen:
            sha = hashlib.sha256()
            try:
                for part in self._parts(info):
                    sha.update(part)
                seen[info.header_offset] = sha.hexdigest()
            except images.ImageError:
                seen[info.header_offset] = ""
        return seen[info.header_offset]

    def _parts(self, member: zipfile.ZipInfo) -> Iterator[bytes]:
        """Unpack a member, a MiB at a time; ImageError where it is too large or damaged."""
        if member.file_size > MAX_BYTES:
            raise images.ImageError(_too_large(member.file_size))
        try:
            with self._opened().zip.open(member) as file:
                while part := file.read(2**20):
                    yield part
        except MemoryError:
            raise
        except Exception as error:  # a decoder fed with damaged bytes may raise anything
            why = str(error) or type(error).__name__
            raise images.ImageError(f"the zip does not give it ({why})") from error

    def _member(self, name: str) -> zipfile.ZipInfo:
        info = self._info(name)
        if info is None:
            raise images.ImageError(OUTSIDE if _outside(name) else MISSING)
        return info

    def _info(self, name: str) -> zipfile.ZipInfo | None:
        opened = self._opened()
        if _outside(name):
            return None
        exact = opened.members.get(posixpath.normpath(self.top + name))
        return exact or opened.written.get(_plain(self.top + name))

    def _opened(self) -> _Opened:
        state = self.file.stat()
        return _zip(self.file, state.st_mtime_ns, state.st_size, os.getpid())


@dataclass(frozen=True)
class _Opened:
    """An open zip: its members by name, the same by `_plain` name, and digests once they are known.

    `digests` goes by the place of a member in the file.
    """

    zip: zipfile.ZipFile
    members: dict[str, zipfile.ZipInfo]
    written: dict[str, zipfile.ZipInfo]
    digests: dict[int, str] = field(default_factory=dict)


def single_top(names: Iterable[str]) -> str:
    """Return the name of the one folder that all names lie in; "" where there is none.

    >>> single_top(["a/b.png", "a/c/d.png"]), single_top(["a/b.png", "c.png"])
    ('a', '')
    """
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    return tops.pop() if len(tops) == 1 else ""


def _is_leftover(name: str) -> bool:
    """Return whether a file is a leftover of a system, and nobody's data.

    >>> [_is_leftover(name) for name in ("__MACOSX/a/._b.png", "a/._b.png", "a/b.png")]
    [True, True, False]
    """
    parts = name.split("/")
    return parts[-1].startswith("._") or any(part.lower() in LEFTOVERS for part in parts)


def _plain(name: str) -> str:
    """Write a name as one of its kind: with / and composed letters."""
    return posixpath.normpath(unicodedata.normalize("NFC", name.replace("\\", "/")))


def _writings(name: str) -> list[str]:
    """Return the ways in which a name may be written on a disk, as it stands first."""
    slashed = name.replace("\\", "/")
    forms = [unicodedata.normalize(form, slashed) for form in ("NFC", "NFD")]
    return list(dict.fromkeys([name, slashed, *forms]))


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)


def _is_file(path: Path) -> bool:
    """Return whether a path leads to a regular file, whatever stands in it."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def _outside(name: str) -> bool:
    r"""Return whether a name leads out of where it lies.

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
def _zip(file: Path, _changed: int, _size: int, _process: int) -> _Opened:
    """Open a zip once for each of its states, and look at every name in it."""
    try:
        archive = zipfile.ZipFile(file)
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes may raise anything
        raise ValueError(f"{file} is no zip: {error}") from error
    for info in archive.infolist():
        link = stat.S_ISLNK(info.external_attr >> 16)
        if link or _outside(info.orig_filename):
            what = "is a link" if link else "would lie outside of it"
            raise ValueError(
                f"the zip {file} holds the member {info.orig_filename!r}, which {what}; "
                "nothing of it is read"
            )
    files = [info for info in archive.infolist() if not info.filename.endswith(("/", "\\"))]
    members = {posixpath.normpath(_decoded(info)): info for info in files}
    written = {_plain(name): info for name, info in members.items()}
    return _Opened(archive, members, written)


def _decoded(info: zipfile.ZipInfo) -> str:
    """Read the name of a member: with /, and as UTF-8 where a zip forgot to say that it is."""
    name = info.filename
    if not info.flag_bits & 0x800 and not name.isascii():
        try:
            name = name.encode("cp437").decode("utf-8")
        except ValueError:
            name = info.filename
    return name.replace("\\", "/")
