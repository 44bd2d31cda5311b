"""Pictures that somebody already generated, as a candidate model."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workbench import frames, images
from workbench.checkpoints import Named
from workbench.generators import Failure

if TYPE_CHECKING:
    from PIL.Image import Image

TABLE = "generations.csv"


@dataclass(frozen=True, repr=False)
class Archive(Named):
    """Answer prompts with stored pictures: for models that nobody can run any more.

    `source` is a CSV table with the columns file (relative to the table), prompt and perhaps
    generator and seed, or a folder that holds such a table as generations.csv. `generator` chooses
    the rows of one model. Only the exact prompt matches; its pictures stand in the order of seed,
    then file, and are asked for by index (`seedable` is False). The archive is frozen: its contents
    are part of the store's key, its path is not.

    >>> Archive("refprint/table.csv", generator="dalle-2")
    Archive("refprint/table.csv", generator="dalle-2")
    """

    source: str
    generator: str | None = None
    revision: ClassVar[int] = 1
    seedable: ClassVar[bool] = False

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image | Failure]:
        """Answer picture number `seed` of each prompt, or a Failure that says what is missing.

        Raises LookupError for a missing table and ValueError for one without the columns, or for
        lengths that differ.
        """
        if len(prompts) != len(seeds):
            raise ValueError(
                f"one seed a prompt is needed; there are {len(prompts)} prompts and "
                f"{len(seeds)} seeds"
            )
        shelf = self._shelf()
        return [
            self._picture(shelf.get(prompt, []), prompt, seed)
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]

    def contents(self) -> dict[str, Any]:
        """Identify the archive without its path: rows and the digests of their files."""
        shelf = self._shelf()
        rows = [
            [prompt, path.name, images.image_id(path)[0] if path.is_file() else ""]
            for prompt in sorted(shelf)
            for path in shelf[prompt]
        ]
        return {"generator": self.generator, "rows": frames.digest(rows)}

    def _picture(self, paths: list[Path], prompt: str, index: int) -> Image | Failure:
        """Open the picture of one request."""
        if not paths:
            return Failure(f"the archive holds no picture of the prompt {prompt!r}")
        if not 0 <= index < len(paths):
            return Failure(
                f"the archive holds {len(paths)} pictures of the prompt {prompt!r}; "
                f"number {index} was asked for"
            )
        try:
            return images.open_image(paths[index])
        except images.ImageError as error:
            return Failure(f"{paths[index].name}: {error}")

    def _shelf(self) -> dict[str, list[Path]]:
        """Read the table: prompt to its pictures, in order."""
        table = Path(self.source).expanduser()
        table = table / TABLE if table.is_dir() else table
        if not table.is_file():
            raise LookupError(
                f"no archive at {self.source}; expected a CSV table, or a folder with one"
            )
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), reader.fieldnames or []
        needed = ["file", "prompt", *(["generator"] if self.generator is not None else [])]
        if missing := [name for name in needed if name not in columns]:
            raise ValueError(
                f"the archive {self.source} lacks the column {missing[0]!r}; "
                f"it has: {', '.join(columns)}"
            )
        rows = [r for r in rows if self.generator is None or r["generator"] == self.generator]
        rows.sort(key=lambda row: (_number(row.get("seed")), row["file"]))
        shelf: dict[str, list[Path]] = {}
        for row in rows:
            shelf.setdefault(row["prompt"], []).append(table.parent / row["file"])
        return shelf


def _number(seed: str | None) -> float:
    """Read a seed for sorting; no seed comes last."""
    try:
        return int(seed or "")
    except ValueError:
        return float("inf")
