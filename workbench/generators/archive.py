"""Pictures that somebody already generated, as a candidate model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar

from workbench import images
from workbench.generators import Failure, _archive_index, paired
from workbench.generators._archive_index import Shelf
from workbench.keys import digest
from workbench.plugin import Plugin

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, repr=False)
class Archive(Plugin):
    r"""Return prompts with stored pictures: for models that nobody can run any more.

    `source` is a folder, a zip (read as it is, never unpacked), or a table. A row tells a picture
    by its file, relative to the table, and its prompt, and perhaps generator and seed. Tables are
    CSV, JSON lines, Parquet or Arrow; in the latter two the column may hold the picture itself, so
    a data set saved by the library datasets is an archive as it is, and so is an image folder with
    its metadata. `columns` tells what the table calls them: {"prompt": "caption"}; a value with a $
    is put together: {"prompt": "$subject, $style"}.

    `generator` chooses the rows of one model. Only the exact prompt matches; its pictures stand in
    the order of seed, then file, and are asked for by index (`seedable` is False). The archive is
    frozen: its contents are part of the store's key, its path is not.

    Any other layout is told by a file archive.toml in the folder or zip, or NAME.toml beside it,
    in which everything may be left out:

    - tables: patterns of the tables; a * goes across folders
    - files: a regular expression for the whole name of a picture; its named groups are columns.
      Where `tables` is given too, a picture takes the row with which it shares those columns
    - sidecar: the ending of the text file beside a picture that is its prompt
    - columns: as above

    FaceResyn's resyntheses (after its authors' code; not verified on the real files), where the
    name of the picture that was described stands for the prompt, as `Natural` then tells it::

        files = '100people/images/(?P<source>[^/]+)/images/(?P<generator>[^/]+)/(?P<n>\d+)\D.*'
        columns = {prompt = "$source/$n"}

    BC-Attr-6 (folders as its authors describe them; not verified on the real files; tar files are
    unpacked first)::

        files = 'references/resynthesis/(?P<generator>[^/]+)/(?P<query>.+)_(?P<seed>\d+)\.\w+'
        columns = {prompt = "$query"}

    >>> Archive("refprint/table.csv", generator="dalle-2", columns={"prompt": "caption"})
    Archive("refprint/table.csv", generator="dalle-2", columns=(('prompt', 'caption'),))
    """

    source: str
    generator: str | None = None
    columns: Any = ()
    revision: ClassVar[int] = 1
    seedable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Freeze the mapping; refuse a column nobody asks for."""
        items = self.columns.items() if isinstance(self.columns, Mapping) else self.columns
        object.__setattr__(self, "columns", tuple(sorted((str(k), str(v)) for k, v in items)))
        _archive_index.known_only("columns", dict(self.columns), _archive_index.NAMES)

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image | Failure]:
        """Return picture number `seed` of each prompt, or a Failure that says what is missing.

        Raises LookupError for a missing archive; ValueError for one without the columns, a layout
        or table that cannot be read, a zip that is meant to harm, or lengths that differ.
        """
        pairs = paired(prompts, seeds)
        found = _archive_index.shelve(self.source, self.generator, self.columns)
        return [_picture(found, prompt, index) for prompt, index in pairs]

    def contents(self) -> dict[str, Any]:
        """Identify the archive without its path: rows and the digests of their files."""
        found = _archive_index.shelve(self.source, self.generator, self.columns)
        rows = [
            [prompt, PurePosixPath(name).name, part, row, found.inside.digest(name)]
            for prompt in sorted(found.places)
            for name, part, row in found.places[prompt]
        ]
        return {"generator": self.generator, "rows": digest(rows)}


def _picture(found: Shelf, prompt: str, index: int) -> Image | Failure:
    """Open the picture of one request."""
    places = found.places.get(prompt, [])
    if not places:
        return Failure(f"the archive holds no picture of the prompt {prompt!r}")
    if not 0 <= index < len(places):
        return Failure(
            f"the archive holds {len(places)} pictures of the prompt {prompt!r}; "
            f"number {index} was asked for"
        )
    name, part, row = places[index]
    try:
        return images.decode(found.read(places[index]))
    except images.ImageError as error:
        where = f", row {row} of part {part}" if row >= 0 else ""
        return Failure(f"{PurePosixPath(name).name}{where}: {error}")
