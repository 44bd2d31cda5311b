"""Archives of pictures: where those of each prompt lie, in whatever layout somebody chose."""

from __future__ import annotations

import math
import posixpath
import re
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path, PurePosixPath
from string import Template
from typing import Any, TypeAlias

from workbench import images
from workbench.generators import _archive_tables as tables
from workbench.generators import _archive_tar
from workbench.generators._archive_files import Folder, Zip, single_top
from workbench.generators._archive_tables import PLACE, Row
from workbench.paths import data_folder, from_home
from workbench.text import brief

LAYOUT = "archive.toml"
MAX_LAYOUT = 64 * 2**10
"""Bytes that a layout may have."""
MAX_PATTERN = 1000
"""Letters that its regular expression may have."""
PATIENCE = 10.0
"""Seconds that all names of an archive may take to be matched."""
TABLES = (
    *("generations.csv", "*metadata.csv", "*metadata.jsonl", "*.parquet", "*.arrow"),
    *("generations.tsv", "generations.jsonl", "generations.json"),
    *("*metadata.tsv", "*metadata.json", "*.tar", "*.tar.gz", "*.tgz", "*.tar.zst", "*.tzst"),
    *("*.feather", "*.csv", "*.tsv", "*.jsonl"),
)
"""Tables looked for where the layout names none; the first pattern that is met counts."""
NAMES = {
    "file": tables.FILE,
    "prompt": ("prompt",),
    "generator": ("generator",),
    "seed": ("seed",),
}
"""What a column may be called without a mapping."""
Place: TypeAlias = tuple[str, int, int]
"""Where a picture lies: a file, -1, -1; or a table, one of its parts, and the row in that; or a
tar file, the number of its member, -1."""


@dataclass(frozen=True)
class Shelf:
    """An archive that was read: its files, and where the pictures of each prompt lie, in order.

    `column` is what a table of Arrow calls the pictures that lie in it; `makers` are all models
    that its rows name, sorted, whichever was asked for.
    """

    inside: Folder | Zip
    column: str
    places: dict[str, list[Place]]
    makers: tuple[str, ...] = ()

    def read(self, place: Place) -> bytes:
        """Read the picture at a place; ImageError, with a sentence, where it cannot be."""
        name, part, _ = place
        if part < 0:
            return self.inside.read(name)
        cell = tables.picture(self.inside, place, self.column)
        if isinstance(cell, dict):
            cell = cell.get("bytes") or cell.get("path")
        if isinstance(cell, str):
            return self.inside.read(_relative(name, cell))
        if not isinstance(cell, bytes) or not cell:
            raise images.ImageError("there is no picture in it")
        return cell

    def digest(self, place: Place) -> str:
        """Identify the file in which a picture lies: in a packed tar file, its member."""
        name, part, _ = place
        if name.endswith(_archive_tar.GZIP):
            return _archive_tar.digest(self.inside, name, part)
        return self.inside.digest(name)


def shelve(
    source: str, generator: str | None, columns: tuple[tuple[str, str], ...], layout: str = ""
) -> Shelf:
    """Read an archive (see `generators.archive`), once for each state of its source and layout.

    Raises LookupError where there is none, or no such `layout`; ValueError for one without the
    columns, a layout or table that cannot be read, or a zip that is meant to harm.
    """
    path = from_home(source)
    given = _named(layout) if layout else None
    try:
        files = (path, path / TABLES[0], path / LAYOUT, given or _beside(path))
        states = [file.stat() for file in files if file.exists()]
    except (OSError, ValueError) as error:  # a name that no path can have
        raise LookupError(f"no archive at {source[:200]!r}: {error}") from None
    stamp = tuple((state.st_mtime_ns, state.st_size) for state in states)
    return _shelve(source, generator, columns, given, stamp)


def _named(layout: str) -> Path:
    """Return a layout by its name among the shipped ones, or by its path; LookupError for none."""
    shipped = data_folder() / "catalogue" / "archives"
    known = {path.stem: path for path in sorted(shipped.glob("*.toml"))}
    path = known.get(layout, from_home(layout))
    if not path.is_file():
        raise LookupError(
            f"no layout of an archive named {brief(layout, 100)!r}; there are: "
            f"{', '.join(known)}, and any file like {LAYOUT}"
        )
    return path


@dataclass(frozen=True)
class _Layout:
    """The layout that archive.toml describes."""

    tables: tuple[str, ...] = ()
    files: str = ""
    sidecar: str = ""
    columns: tuple[tuple[str, str], ...] = ()


@lru_cache(maxsize=8)
def _shelve(
    source: str, generator: str | None, columns: Any, given: Path | None, _stamp: Any
) -> Shelf:
    """Read an archive: prompt to its pictures, in order."""
    inside, layout = _open(source, given)
    names = {**dict(layout.columns), **dict(columns)}
    known, rows = _rows(inside, layout, names, source)

    def column(role: str) -> Callable[[Row], Any]:
        """Return what reads a role's value from a row."""
        column_name = names.get(role)
        if column_name is None:
            column_name = next((name for name in NAMES[role] if name in known), NAMES[role][0])
        template = Template(column_name)
        needed = template.get_identifiers() if "$" in column_name else [column_name]
        if missing := [name for name in needed if name not in known]:
            raise ValueError(
                f"the archive {source} lacks the column {missing[0]!r}; it has: {_listed(known)}"
            )

        def read(row: Row) -> Any:
            if any(row.get(name) is None for name in needed):
                return None
            return template.substitute(row) if "$" in column_name else row[column_name]

        return read

    prompt = _beside_picture(inside, layout.sidecar) if layout.sidecar else column("prompt")
    maker = None if generator is None else column("generator")
    seed = column("seed") if "seed" in [*known, *names] else lambda row: None
    makers = (
        {str(column("generator")(row)) for row in rows} if _names_makers(names, known) else set()
    )
    entries = []
    for row in rows:
        if maker is None or str(maker(row)) == generator:
            text = prompt(row)
            if text is not None:
                entries.append((str(text), _number(seed(row)), row[PLACE]))
    places: dict[str, list[Place]] = {}
    for text, _, place in sorted(entries, key=lambda each: each[1:]):
        places.setdefault(text, []).append(place)
    return Shelf(inside, _picture_column(names, known), places, tuple(sorted(makers)))


def _names_makers(names: Mapping[str, str], known: Iterable[str]) -> bool:
    """Return whether the rows name the model of each picture."""
    return "generator" in names or any(name in known for name in NAMES["generator"])


def _open(source: str, given: Path | None) -> tuple[Folder | Zip, _Layout]:
    """Open what a source names, and read its layout: the one given, else its own."""
    path = from_home(source)
    if not (path.is_file() or path.is_dir()):
        raise LookupError(
            f"no archive at {source}; expected a CSV table, or a folder or zip with one"
        )
    inside: Folder | Zip = Folder(path if path.is_dir() else path.parent)
    if path.suffix.lower() == ".zip":
        inside = Zip(path)
    table = path.is_file() and isinstance(inside, Folder)
    if given is not None:
        layout = _layout(images.read_bytes(given), str(given))
        return inside, (_Layout((path.name,), columns=layout.columns) if table else layout)
    text = None
    if not table and not _beside(path).is_file():
        inside = _within_top(inside)
    if inside.exists(LAYOUT) and not table:
        text, where = inside.read(LAYOUT), f"{LAYOUT} of {source}"
    elif _beside(path).is_file():
        text, where = images.read_bytes(_beside(path)), str(_beside(path))
    layout = _Layout() if text is None else _layout(text, where)
    return inside, (_Layout((path.name,), columns=layout.columns) if table else layout)


def _within_top(inside: Folder | Zip) -> Folder | Zip:
    """Go into the one folder that holds all, if its layout or table is not found from above."""
    while not any(inside.exists(name) for name in (LAYOUT, TABLES[0])):
        names = inside.names()
        top = single_top(names)
        if not top or not inside.exists(f"{top}/{LAYOUT}"):
            has_table = any(fnmatch(name, pattern) for pattern in TABLES[:5] for name in names)
            if not top or has_table:
                break
        inside = inside.below(top)
    return inside


def _beside(path: Path) -> Path:
    """Return the name of the layout beside a folder, zip or table."""
    return path.with_name(f"{path.name if path.is_dir() else path.stem}.toml")


def _layout(text: bytes, where: str) -> _Layout:
    """Read a layout; ValueError for what it cannot hold."""
    try:
        if len(text) > MAX_LAYOUT:
            raise ValueError(f"it has {len(text):,} bytes, more than {MAX_LAYOUT:,}")
        layout = tomllib.loads(text.decode("utf-8-sig"))
        _check_types(layout)
        if len(layout.get("files", "")) > MAX_PATTERN:
            raise ValueError(f"files is longer than {MAX_PATTERN} letters")
        re.compile(layout.get("files", ""))
    except RecursionError:
        raise ValueError(f"{where} is no layout of an archive: it is nested too deeply") from None
    except (ValueError, TypeError, OverflowError, re.error) as error:
        raise ValueError(f"{where} is no layout of an archive: {error}") from error
    known_only(where, layout, ("tables", "files", "sidecar", "columns"))
    patterns = layout.get("tables", ())
    columns = {str(k): str(v) for k, v in layout.get("columns", {}).items()}
    known_only(f"columns of {where}", columns, NAMES)
    return _Layout(
        (patterns,) if isinstance(patterns, str) else tuple(patterns),
        layout.get("files", ""),
        layout.get("sidecar", ""),
        tuple(sorted(columns.items())),
    )


def _check_types(layout: Mapping[str, Any]) -> None:
    """Raise ValueError for a value of a layout that is of another type than it needs."""
    patterns = layout.get("tables", "")
    listed = patterns if isinstance(patterns, list) else [patterns]
    if not all(isinstance(each, str) for each in listed):
        raise ValueError(f"tables should be text, or a list of texts; it is {patterns!r}")
    for name in ("files", "sidecar"):
        if not isinstance(layout.get(name, ""), str):
            raise ValueError(f"{name} should be text; it is {layout[name]!r}")
    if layout.get("sidecar") and not re.fullmatch(r"\.[^/\\\0]+", layout["sidecar"]):
        raise ValueError(
            f"sidecar should be an ending such as .txt; it is {layout['sidecar'][:100]!r}"
        )
    if not isinstance(layout.get("columns", {}), dict):
        raise ValueError(
            f'columns should be a table such as {{prompt = "caption"}}; it is {layout["columns"]!r}'
        )


def known_only(where: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raise ValueError, with what there is, for the first name that is not known."""
    for name in names:
        if name not in known:
            raise ValueError(f"{where}: there is no {name!r}; there are: {', '.join(known)}")


def _listed(columns: Iterable[str]) -> str:
    """Return columns in a sentence, however many somebody wrote."""
    names = [brief(name, 50) for name in columns]
    return ", ".join(names[:30]) + (f" and {len(names) - 30} more" if len(names) > 30 else "")


def _picture_column(names: Mapping[str, str], known: Iterable[str]) -> str:
    """Return the name of the column of the pictures."""
    first = next((name for name in NAMES["file"] if name in known), NAMES["file"][0])
    return names.get("file", first)


def _rows(
    inside: Folder | Zip, layout: _Layout, names: Mapping[str, str], source: str
) -> tuple[list[str], list[Row]]:
    """Return the columns and the rows of an archive, each with its `PLACE`."""
    known: dict[str, None] = {}
    rows: list[Row] = []
    pattern = re.compile(layout.files)
    if layout.tables or not layout.files:
        wanted = _wanted(names, pattern.groupindex)
        for name in _tables(inside, layout.tables, source):
            table = tables.read(inside, name, wanted)
            known |= dict.fromkeys(table.columns)
            rows += table.rows if layout.files else _placed(name, table, names, source)
    if not layout.files:
        return list(known), rows
    named: list[Row] = [
        {**groups, "file": name, PLACE: (name, -1, -1)}
        for name, groups in _matches(layout.files, inside.names(), source)
    ]
    if not layout.tables:
        return [*pattern.groupindex, "file"], named
    shared = [name for name in pattern.groupindex if name in known]
    if not shared:
        raise ValueError(
            f"the files and tables of the archive {source} share no column; files have: "
            f"{', '.join(pattern.groupindex)}; tables have: {_listed(known)}"
        )
    owner = {tuple(str(row.get(name)) for name in shared): row for row in rows}
    keys = [tuple(str(row[name]) for name in shared) for row in named]
    joined = [owner[key] | row for key, row in zip(keys, named, strict=True) if key in owner]
    return list(known | dict.fromkeys([*pattern.groupindex, "file"])), joined


def _wanted(names: Mapping[str, str], groups: Iterable[str]) -> frozenset[str]:
    """Return the columns that will be read from a table."""
    columns = {name for several in NAMES.values() for name in several} | set(groups)
    for name in names.values():
        columns |= set(Template(name).get_identifiers()) if "$" in name else {name}
    return frozenset(columns)


def _matches(
    pattern: str, names: Iterable[str], source: str
) -> Iterator[tuple[str, dict[str, str]]]:
    """Match whole names, within `PATIENCE` for all of them: a pattern may be meant to harm."""
    import regex

    until = time.monotonic() + PATIENCE
    try:
        ready = regex.compile(pattern)
        for name in names:
            match = ready.fullmatch(name, timeout=max(until - time.monotonic(), 0.001))
            if match:
                yield name, match.groupdict("")
    except TimeoutError:
        raise ValueError(
            f"files of the layout of {source} takes more than {PATIENCE:.0f} s to match: write it "
            "without a repetition inside of a repetition"
        ) from None
    except regex.error as error:
        raise ValueError(f"files of the layout of {source} cannot be read: {error}") from error


def _tables(inside: Folder | Zip, patterns: tuple[str, ...], source: str) -> list[str]:
    """Return the tables that the patterns mean, or the first of `TABLES`; LookupError for none."""
    listed: list[str] = []
    for pattern in patterns or TABLES:
        if inside.exists(pattern):
            listed.append(pattern)
        else:
            listed += [name for name in inside.names() if fnmatch(name, pattern)]
        if listed and not patterns:
            break
    if not listed:
        raise LookupError(
            f"no archive at {source}; expected a CSV table, or a folder or zip with one: "
            f"{', '.join(patterns or TABLES)}"
        )
    return list(dict.fromkeys(listed))


def _placed(table: str, content: tables.Table, names: Mapping[str, str], source: str) -> list[Row]:
    """Return where the picture of each row lies: by its name, or in the table itself."""
    column = _picture_column(names, content.columns)
    if column not in content.columns:
        raise ValueError(
            f"the archive {source} lacks the column {column!r}; it has: {_listed(content.columns)}"
        )
    for row in content.rows:
        if row.get(column) is not None:
            row[PLACE] = (_relative(table, str(row[column])), -1, -1)
    return [row for row in content.rows if PLACE in row]


def _relative(table: str, file: str) -> str:
    return posixpath.join(posixpath.dirname(table), file)


def _beside_picture(inside: Folder | Zip, ending: str) -> Callable[[Row], str | None]:
    """Return what reads the prompt beside a picture; None where there is none."""

    def read(row: Row) -> str | None:
        try:
            name = str(PurePosixPath(row[PLACE][0]).with_suffix(ending))
            return tables.decode(inside.read(name)).strip()
        except ValueError:  # an ImageError, or no text
            return None

    return read


def _number(seed: Any) -> float:
    """Read a seed for sorting, one written as a float too; no seed comes last.

    >>> _number("10"), _number(9.0), _number("2.0"), _number(None)
    (10, 9.0, 2.0, inf)
    """
    for kind in (int, float):
        try:
            number = kind(str(seed))
        except (ValueError, OverflowError):
            continue
        if not math.isnan(number):
            return number
    return float("inf")
