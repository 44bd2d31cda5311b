"""List folders: pictures, other files, and files that systems leave behind."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from workbench.images import _heif
from workbench.text import brief

EXTENSIONS = frozenset(
    ".png .apng .jpg .jpeg .jpe .jfif .gif .webp .bmp .dib .tif .tiff .avif .avifs .heic .heif "
    ".hif .jp2 .j2k .j2c .jpc .jpx .jpf .ppm .pgm .pbm .pnm .mpo .ico".split()
)
LEFT_FILES = frozenset(
    (".ds_store", ".localized", "icon\r", "thumbs.db", "ehthumbs.db", "desktop.ini", ".directory")
)
LEFT_FOLDERS = frozenset(
    "__macosx .ipynb_checkpoints @eadir #recycle .appledouble .appledb .trashes .spotlight-v100 "
    ".fseventsd .temporaryitems .documentrevisions-v100 .thumbnails $recycle.bin .recycle".split()
) | {"system volume information"}
SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"\0\0\0\x0cjP  \r\n")
MANY = 5
"""So many reasons are told one by one."""


@dataclass
class Listing:
    """Files below folders; ``others`` and ``leftovers`` count files by their reason."""

    pictures: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    leftovers: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        """Return what was left out in one sentence; nothing where nothing was."""
        said = []
        if count := self.others.total():
            those = "file is no picture and was" if count == 1 else "files are no pictures and were"
            said.append(f"{count:,} {those} left out: {_counts(self.others)}")
        if count := self.leftovers.total():
            those = "leftover of the system was" if count == 1 else "leftovers of the system were"
            said.append(f"{count:,} {those} ignored: {_counts(self.leftovers)}")
        return "; ".join(said)


def look_into(folders: Iterable[Path]) -> Listing:
    """Return what lies below folders, each recursively and sorted.

    A picture is told by its ending, or, whatever its ending, by its first bytes. What may not be
    looked into is listed itself, among the pictures.
    """
    listing = Listing()
    for folder in folders:
        before = len(listing.pictures)

        def closed(error: OSError) -> None:
            listing.pictures.append(Path(error.filename))

        for here, below, names in os.walk(folder, onerror=closed):
            _leave(listing, Path(here), below)
            for name in names:
                _sort(listing, Path(here, name))
        listing.pictures[before:] = sorted(listing.pictures[before:])
    return listing


def leftover(name: str) -> str | None:
    """Return the kind of a file or folder that a system left behind, by its name; else None.

    A name that begins with ``._`` is left behind unless a picture is in it (macOS keeps there what
    other disks cannot hold).
    """
    low = name.lower()
    if low in LEFT_FILES or low in LEFT_FOLDERS:
        return brief(name, 40)
    if low.startswith(".trash-"):
        return ".Trash"
    return "._*" if low.startswith("._") else None


def _leave(listing: Listing, here: Path, below: list[str]) -> None:
    """Count and leave out the folders that are not looked into."""
    for name in list(below):
        reason = leftover(name)
        if reason is not None and not name.startswith("._"):
            below.remove(name)
            inside = sum(len(names) for _, _, names in os.walk(here / name))
            if inside:
                listing.leftovers[f"in {reason}"] += inside
        elif (here / name).is_symlink():
            below.remove(name)
            listing.others["a link to a folder"] += 1


def _sort(listing: Listing, path: Path) -> None:
    """Put one file where it belongs."""
    reason = leftover(path.name)
    if reason is not None and not (reason == "._*" and _looks_like_one(path)):
        listing.leftovers[reason] += 1
    elif path.suffix.lower() in EXTENSIONS or _looks_like_one(path):
        listing.pictures.append(path)
    else:
        listing.others[brief(path.suffix.lower(), 20) or "without an ending"] += 1


def _looks_like_one(path: Path) -> bool:
    """Return whether the first bytes of a regular file are those of a picture."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            head = file.read(64)
    except (OSError, ValueError):
        return False
    if head.startswith(SIGNATURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return True
    return bool(_heif.brands(head) & (_heif.HEIC | _heif.AVIF))


def _counts(reasons: Counter[str]) -> str:
    """Write counts by reason, the largest first."""
    order = sorted(reasons.items(), key=lambda each: (-each[1], each[0]))
    said = [f"{count:,} {reason}" for reason, count in order[:MANY]]
    if rest := sum(count for _, count in order[MANY:]):
        said.append(f"{rest:,} of other kinds")
    return ", ".join(said)
