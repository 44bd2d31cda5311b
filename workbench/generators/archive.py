"""Stored pictures as a candidate model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar

from workbench import images
from workbench.generators import Failure, _archive_index, paired
from workbench.generators._archive_index import Shelf
from workbench.keys import digest
from workbench.plugin import Plugin
from workbench.text import brief

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, repr=False)
class Archive(Plugin):
    r"""Answer prompts with stored pictures: for models that nobody can run any more.

    `source` is a folder, a zip (read as it is, never unpacked), or a table. A row tells a picture
    by its file, relative to the table, and its prompt, and perhaps generator and seed. Tables are
    CSV (between commas, semicolons or tabs, in UTF-8 or UTF-16), JSON, JSON lines, Parquet or
    Arrow; in the latter two the column may hold the picture itself, so a data set saved by the
    library datasets is an archive as it is, and so is an image folder with its metadata, or the tar
    files of a WebDataset, packed by gzip or not. A file is found with backslashes in its name, with
    composed or decomposed letters, and where all lies in one folder more. `columns` tells what the
    table calls them: {"prompt": "caption"}; a value with a $ is put together:
    {"prompt": "$subject, $style"}.

    `generator` chooses the rows of one model. Only the exact prompt matches; its pictures stand in
    the order of seed, then file, and are asked for by index (`seedable` is False). The archive is
    frozen: its contents, by their sha256, are part of the store's key, its path is not.

    An archive may come from anybody: regular files inside of it alone are read, within bounds, and
    what is damaged or leads out is a Failure of that picture, or one sentence.

    Any other layout is told by a file archive.toml in the folder or zip, or NAME.toml beside it,
    in which everything may be left out:

    - tables: patterns of the tables; a * goes across folders
    - files: a regular expression for the whole name of a picture; its named groups are columns.
      Where `tables` is given too, a picture takes the row with which it shares those columns
    - sidecar: the ending of the text file beside a picture that is its prompt
    - columns: as above

    `layout` names such a file, or one of those shipped in data/catalogue/archives, which says what
    of it was verified: `folders` (PROMPT/MODEL-N.png), `imagen`, `bc-attr-6`, `coco-attr` and
    `faceresyn`. It goes before one that lies with the archive.

    >>> Archive("refprint/table.csv", generator="dalle-2", columns={"prompt": "caption"})
    Archive("refprint/table.csv", generator="dalle-2", columns=(('prompt', 'caption'),))
    """

    source: str
    generator: str | None = None
    columns: Any = ()
    layout: str = ""
    revision: ClassVar[int] = 1
    seedable: ClassVar[bool] = False
    local: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Convert the mapping to pairs; raise ValueError for an unknown column, or no path."""
        super().__post_init__()
        if not isinstance(self.source, (str, os.PathLike)):
            raise ValueError(f"the source of an archive is a path; seen {brief(self.source, 80)}")
        items = self.columns.items() if isinstance(self.columns, Mapping) else self.columns
        object.__setattr__(self, "columns", tuple(sorted((str(k), str(v)) for k, v in items)))
        _archive_index.known_only("columns", dict(self.columns), _archive_index.NAMES)

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image | Failure]:
        """Return picture number `seed` of each prompt, or a Failure that says what is missing.

        Raises LookupError for a missing archive; ValueError for one without the columns, a layout
        or table that cannot be read, a zip that is meant to harm, or lengths that differ.
        """
        pairs = paired(prompts, seeds)
        shelf = self._shelf()
        return [_picture(shelf, prompt, index) for prompt, index in pairs]

    def models(self) -> list[str]:
        """Return the models whose pictures it holds, sorted; [] where its rows name none.

        Raises as calling it.
        """
        return list(self._shelf().makers)

    def prompts(self) -> dict[str, list[str]]:
        """Return prompt → the files of its pictures, in the order of their index.

        Raises as calling it.
        """
        places = self._shelf().places
        return {text: [name for name, _, _ in some] for text, some in sorted(places.items())}

    def _shelf(self) -> Shelf:
        return _archive_index.shelve(self.source, self.generator, self.columns, self.layout)

    def contents(self) -> dict[str, Any]:
        """Identify the archive without its path: rows and the digests of their files."""
        shelf = self._shelf()
        rows = [
            [prompt, PurePosixPath(place[0]).name, *place[1:], shelf.digest(place)]
            for prompt in sorted(shelf.places)
            for place in shelf.places[prompt]
        ]
        return {"generator": self.generator, "rows": digest(rows)}


def _picture(shelf: Shelf, prompt: str, index: int) -> Image | Failure:
    """Return the picture of one request, or a Failure."""
    places = shelf.places.get(prompt, [])
    if not places:
        return Failure(f"the archive holds no picture of the prompt {prompt!r}")
    if not 0 <= index < len(places):
        return Failure(
            f"the archive holds {len(places)} pictures of the prompt {prompt!r}; "
            f"number {index} was asked for"
        )
    name, part, row = places[index]
    try:
        return images.decode(shelf.read(places[index]))
    except images.ImageError as error:
        where = f", row {row} of part {part}" if row >= 0 else ""
        return Failure(f"{brief(PurePosixPath(name).name, 100) or 'no file'}{where}: {error}")
