"""Archives of pictures: where those of each prompt lie, in whatever layout somebody chose."""

from __future__ import annotations

import csv
import io
import json
import posixpath
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path, PurePosixPath
from string import Template
from typing import Any, TypeAlias

from workbench import images
from workbench.generators._archive_files import Folder, Zip

LAYOUT = "archive.toml"
TABLES = ("generations.csv", "*metadata.csv", "*metadata.jsonl", "*.parquet", "*.arrow")
"""Tables looked for where the layout names none; the first pattern that is met counts."""
NAMES = {
    "file": ("file", "file_name", "image"),
    "prompt": ("prompt",),
    "generator": ("generator",),
    "seed": ("seed",),
}
"""What a column may be called without a mapping; file_name and image are those of datasets."""
ARROW = (".parquet", ".arrow")
PLACE = ""
"""The column that tells where the picture of a row lies, added to all others."""
Row: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[str, int, int]
"""Where a picture lies: a file, -1, -1; or a table, one of its parts, and the row in that."""


@dataclass(frozen=True)
class Shelf:
    """An archive that was read: its files, and where the pictures of each prompt lie, in order.

    `column` is what a table of Arrow calls the pictures that lie in it.
    """

    inside: Folder | Zip
    column: str
    places: dict[str, list[Place]]

    def read(self, place: Place) -> bytes:
        """Read the picture at a place; ImageError, with a sentence, where it cannot be."""
        name, part, row = place
        if row < 0:
            return self.inside.read(name)
        digest = self.inside.digest(name)
        try:
            found = _part(self.inside, name, digest, part, (self.column,)).column(0)[row].as_py()
        except (ValueError, OSError, LookupError) as error:
            raise images.ImageError(f"the table does not give it ({error})") from error
        if isinstance(found, dict):
            found = found.get("bytes") or found.get("path")
        if isinstance(found, str):
            return self.inside.read(_relative(name, found))
        if not isinstance(found, bytes) or not found:
            raise images.ImageError("there is no picture in it")
        return found


def shelve(source: str, generator: str | None, columns: tuple[tuple[str, str], ...]) -> Shelf:
    """Read an archive (see `generators.archive`), once for each state of its source and layout.

    Raises LookupError where there is none; ValueError for one without the columns, a layout or
    table that cannot be read, or a zip that is meant to harm.
    """
    path = Path(source).expanduser()
    files = (path, path / TABLES[0], path / LAYOUT, _beside(path))
    states = [file.stat() for file in files if file.exists()]
    stamp = tuple((state.st_mtime_ns, state.st_size) for state in states)
    return _shelve(source, generator, columns, stamp)


@dataclass(frozen=True)
class _Layout:
    """What archive.toml tells."""

    tables: tuple[str, ...] = ()
    files: str = ""
    sidecar: str = ""
    columns: tuple[tuple[str, str], ...] = ()


@lru_cache(maxsize=8)
def _shelve(source: str, generator: str | None, columns: Any, _stamp: Any) -> Shelf:
    """Read an archive: prompt to its pictures, in order."""
    inside, layout = _open(source)
    names = {**dict(layout.columns), **dict(columns)}
    known, rows = _rows(inside, layout, names, source)

    def column(role: str) -> Callable[[Row], Any]:
        """Return what reads a role's value from a row."""
        asked = names.get(role)
        if asked is None:
            asked = next((name for name in NAMES[role] if name in known), NAMES[role][0])
        template = Template(asked)
        needed = template.get_identifiers() if "$" in asked else [asked]
        if missing := [name for name in needed if name not in known]:
            raise ValueError(
                f"the archive {source} lacks the column {missing[0]!r}; it has: {', '.join(known)}"
            )

        def read(row: Row) -> Any:
            if any(row.get(name) is None for name in needed):
                return None
            return template.substitute(row) if "$" in asked else row[asked]

        return read

    prompt = _beside_picture(inside, layout.sidecar) if layout.sidecar else column("prompt")
    maker = None if generator is None else column("generator")
    seed = column("seed") if "seed" in [*known, *names] else lambda row: None
    found = []
    for row in rows:
        if maker is None or str(maker(row)) == generator:
            text = prompt(row)
            if text is not None:
                found.append((str(text), _number(seed(row)), row[PLACE]))
    places: dict[str, list[Place]] = {}
    for text, _, place in sorted(found, key=lambda each: each[1:]):
        places.setdefault(text, []).append(place)
    return Shelf(inside, _picture_column(names, known), places)


def _open(source: str) -> tuple[Folder | Zip, _Layout]:
    """Open what a source names, and read its layout."""
    path = Path(source).expanduser()
    if not path.exists():
        raise LookupError(
            f"no archive at {source}; expected a CSV table, or a folder or zip with one"
        )
    inside: Folder | Zip = Folder(path if path.is_dir() else path.parent)
    if path.suffix.lower() == ".zip":
        inside = Zip(path)
    table = path.is_file() and isinstance(inside, Folder)
    text = None
    if inside.exists(LAYOUT) and not table:
        text, where = inside.read(LAYOUT), f"{LAYOUT} of {source}"
    elif _beside(path).is_file():
        text, where = _beside(path).read_bytes(), str(_beside(path))
    layout = _Layout() if text is None else _layout(text, where)
    return inside, (_Layout((path.name,), columns=layout.columns) if table else layout)


def _beside(path: Path) -> Path:
    """Name the layout beside a folder, zip or table."""
    return path.with_name(f"{path.name if path.is_dir() else path.stem}.toml")


def _layout(text: bytes, where: str) -> _Layout:
    """Read a layout; ValueError for what it cannot hold."""
    try:
        found = tomllib.loads(text.decode("utf-8-sig"))
        re.compile(found.get("files", ""))
    except (ValueError, TypeError, re.error) as error:
        raise ValueError(f"{where} is no layout of an archive: {error}") from error
    known_only(where, found, ("tables", "files", "sidecar", "columns"))
    tables = found.get("tables", ())
    columns = {str(k): str(v) for k, v in found.get("columns", {}).items()}
    known_only(f"columns of {where}", columns, NAMES)
    return _Layout(
        (tables,) if isinstance(tables, str) else tuple(tables),
        found.get("files", ""),
        found.get("sidecar", ""),
        tuple(sorted(columns.items())),
    )


def known_only(where: str, found: Iterable[str], known: Iterable[str]) -> None:
    """Raise ValueError, with what there is, for the first name that is not known."""
    for name in found:
        if name not in known:
            raise ValueError(f"{where}: there is no {name!r}; there are: {', '.join(known)}")


def _picture_column(names: Mapping[str, str], known: Iterable[str]) -> str:
    """Name the column of the pictures."""
    first = next((name for name in NAMES["file"] if name in known), NAMES["file"][0])
    return names.get("file", first)


def _rows(
    inside: Folder | Zip, layout: _Layout, names: Mapping[str, str], source: str
) -> tuple[list[str], list[Row]]:
    """List the columns and the rows of an archive, each with its `PLACE`."""
    known: dict[str, None] = {}
    rows: list[Row] = []
    if layout.tables or not layout.files:
        for name in _tables(inside, layout.tables, source):
            columns, found = _read(inside, name)
            known |= dict.fromkeys(columns)
            rows += found if layout.files else _placed(name, columns, found, names, source)
    if not layout.files:
        return list(known), rows
    pattern = re.compile(layout.files)
    matches = [match for name in inside.names() if (match := pattern.fullmatch(name))]
    named: list[Row] = [
        {**match.groupdict(""), "file": match.string, PLACE: (match.string, -1, -1)}
        for match in matches
    ]
    if not layout.tables:
        return [*pattern.groupindex, "file"], named
    shared = [name for name in pattern.groupindex if name in known]
    if not shared:
        raise ValueError(
            f"the files and tables of the archive {source} share no column; files have: "
            f"{', '.join(pattern.groupindex)}; tables have: {', '.join(known)}"
        )
    owner = {tuple(str(row.get(name)) for name in shared): row for row in rows}
    keys = [tuple(str(row[name]) for name in shared) for row in named]
    joined = [owner[key] | row for key, row in zip(keys, named, strict=True) if key in owner]
    return list(known | dict.fromkeys([*pattern.groupindex, "file"])), joined


def _tables(inside: Folder | Zip, patterns: tuple[str, ...], source: str) -> list[str]:
    """List the tables that the patterns mean, or the first of `TABLES`; LookupError for none."""
    found: list[str] = []
    for pattern in patterns or TABLES:
        if inside.exists(pattern):
            found.append(pattern)
        else:
            found += [name for name in inside.names() if fnmatch(name, pattern)]
        if found and not patterns:
            break
    if not found:
        raise LookupError(
            f"no archive at {source}; expected a CSV table, or a folder or zip with one: "
            f"{', '.join(patterns or TABLES)}"
        )
    return list(dict.fromkeys(found))


def _read(inside: Folder | Zip, name: str) -> tuple[list[str], list[Row]]:
    """Read the columns and rows of a table; of an Arrow one without what is no text or number."""
    try:
        if name.endswith(ARROW):
            return _read_arrow(inside, name)
        text = inside.read(name).decode("utf-8-sig")
        if name.endswith(".jsonl"):
            rows = [json.loads(line) for line in text.split("\n") if line.strip()]
            return list(dict.fromkeys(key for row in rows for key in row)), rows
        reader = csv.DictReader(io.StringIO(text, newline=""))
        return list(reader.fieldnames or []), list(reader)
    except (ValueError, TypeError, OSError, csv.Error) as error:
        raise ValueError(f"the table {name} of the archive cannot be read: {error}") from error


def _placed(
    table: str, columns: list[str], rows: list[Row], names: Mapping[str, str], source: str
) -> list[Row]:
    """Tell where the picture of each row lies."""
    column = _picture_column(names, columns)
    if column not in columns:
        raise ValueError(
            f"the archive {source} lacks the column {column!r}; it has: {', '.join(columns)}"
        )
    for row in rows:
        if row.get(column) is not None:
            row[PLACE] = (_relative(table, str(row[column])), -1, -1)
    return [row for row in rows if PLACE in row]


def _relative(table: str, file: str) -> str:
    return posixpath.join(posixpath.dirname(table), file)


def _beside_picture(inside: Folder | Zip, ending: str) -> Callable[[Row], str | None]:
    """Return what reads the prompt beside a picture; None where there is none."""

    def read(row: Row) -> str | None:
        try:
            name = str(PurePosixPath(row[PLACE][0]).with_suffix(ending))
            return inside.read(name).decode("utf-8-sig").strip()
        except images.ImageError:
            return None

    return read


def _read_arrow(inside: Folder | Zip, name: str) -> tuple[list[str], list[Row]]:
    """Read the columns, and of the rows what is text or a number; the rest by `_part`."""
    digest = inside.digest(name)
    schema, _, count = _parts(inside, name, digest)
    plain = tuple(each.name for each in schema if not _holds_pictures(each.type))
    rows = [
        {**row, PLACE: (name, part, number)}
        for part in range(count)
        for number, row in enumerate(_part(inside, name, digest, part, plain).to_pylist())
    ]
    return schema.names, rows


def _holds_pictures(kind: Any) -> bool:
    """Tell whether a type of Arrow is none of text and numbers."""
    import pyarrow as pa

    return pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


@lru_cache(maxsize=4)
def _parts(inside: Folder | Zip, name: str, _digest: str) -> tuple[Any, Any, int]:
    """Open a table: its schema, the file or its batches, and how many groups of rows it has."""
    import pyarrow as pa
    from pyarrow import parquet

    place = inside.open(name)
    if name.endswith(".parquet"):
        file = parquet.ParquetFile(place)
        return file.schema_arrow, file, file.num_row_groups
    source = pa.memory_map(str(place)) if isinstance(place, Path) else pa.PythonFile(place)
    try:
        table = pa.ipc.open_stream(source).read_all()
    except pa.ArrowInvalid:
        table = pa.ipc.open_file(source).read_all()
    batches = table.to_batches()
    return table.schema, batches, len(batches)


@lru_cache(maxsize=2)
def _part(inside: Folder | Zip, name: str, digest: str, part: int, columns: tuple[str, ...]) -> Any:
    """Read some columns of one group of rows of a table."""
    parts = _parts(inside, name, digest)[1]
    if isinstance(parts, list):
        return parts[part].select(list(columns))
    return parts.read_row_group(part, columns=list(columns))


def _number(seed: Any) -> float:
    """Read a seed for sorting; no seed comes last."""
    try:
        return int(str(seed))
    except ValueError:
        return float("inf")
