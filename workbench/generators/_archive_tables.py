"""Tables of archives: CSV and its kin, JSON, Parquet, Arrow, and the tar files of WebDataset.

Whoever made a table, it is read within bounds: only the columns asked for, no more rows than its
bytes can tell, and a row or cell that cannot be read is left out, and logged, but ends nothing.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from workbench import images
from workbench.generators import _archive_bounds, _archive_tar
from workbench.generators._archive_files import MAX_BYTES, Folder, Zip
from workbench.text import brief, first_line

ARROW = (".parquet", ".arrow", ".feather")
JSON = (".json", ".jsonl", ".ndjson")
MAX_ROWS = 2**21
"""Rows a table may have."""
FEW_ROWS, ROWS_A_BYTE = 10_000, 4
"""So many rows any table may have, and so many for each of its bytes, packed."""
MAX_GROUP = 512 * 2**20
"""Bytes of pictures, unpacked, that are kept to read the next one from."""
AT_ONCE = 1024
"""Rows that are read at once, where they are small."""
PLACE = ""
"""The column that tells where the picture of a row lies, added to all others."""
FILE = ("file", "file_name", "image")
"""What a column of pictures may be called; the latter two are those of datasets."""
PICTURES = tuple(sorted(each[1:] for each in images.EXTENSIONS))
"""Endings of the pictures of a WebDataset."""
SENTENCES = ("txt", "text", "caption")
"""Endings of the prompts of a WebDataset, and columns that its JSON may tell them in."""
Row: TypeAlias = dict[str, Any]
Wanted: TypeAlias = frozenset[str]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Table:
    """The columns of a table, and its rows with the columns asked for.

    A row of a table that may hold its picture tells under `PLACE` where.
    """

    columns: list[str]
    rows: list[Row]


def read(inside: Folder | Zip, name: str, wanted: Wanted) -> Table:
    """Read a table, of whatever kind its name says; ValueError, in a sentence, where it cannot be.

    Of a table of Arrow, only columns of text and numbers are read.
    """
    try:
        if name.endswith(ARROW):
            return _read_arrow(inside, name, wanted)
        if name.endswith(_archive_tar.TAR):
            return _read_tar(inside, name, wanted)
        text, size = decode(inside.read(name)), inside.size(name)
        if name.endswith(JSON):
            return _read_json(name, text, size, wanted)
        return _read_csv(name, text, size, wanted)
    except MemoryError:
        raise
    except RecursionError:
        raise _unread(name, "it is nested too deeply") from None
    except Exception as error:  # whatever a reader of damaged bytes raises
        raise _unread(name, brief(first_line(error), 300)) from error


def decode(data: bytes) -> str:
    """Decode text by its mark: UTF-16 where it begins with that of UTF-16, else UTF-8.

    >>> decode("ü".encode("utf-16")), decode("ü".encode("utf-8-sig"))
    ('ü', 'ü')
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    if data[1:2] == b"\0" or data[:1] == b"\0":  # of a text that begins with a plain letter
        return data.decode("utf-16-le" if data[1:2] == b"\0" else "utf-16-be")
    return data.decode("utf-8-sig")


def _unread(name: str, why: str) -> ValueError:
    return ValueError(f"the table {name} of the archive cannot be read: {why}")


def _most(size: int) -> int:
    """Count the rows that a table of `size` bytes can tell."""
    return min(MAX_ROWS, FEW_ROWS + ROWS_A_BYTE * size)


def _bounded(rows: Iterable[Any], size: int) -> Iterator[Any]:
    """Yield rows; ValueError beyond what a table of `size` bytes can tell."""
    most = _most(size)
    for count, row in enumerate(rows, 1):
        if count > most:
            raise ValueError(f"it has more than {most:,} rows, in {size:,} bytes")
        yield row


def _tell_lost(name: str, lost: int, what: str) -> None:
    if lost:
        log.warning("%d %s of the table %s cannot be read, and are left out", lost, what, name)


def _read_csv(name: str, text: str, size: int, wanted: Wanted) -> Table:
    """Read a table of cells between commas, semicolons or tabs, whichever its head shows."""
    first, _, rest = text.partition("\n")
    sign = ""
    if first.lower().startswith("sep=") and len(first.strip()) == 5:  # as spreadsheets write it
        sign, text = first.strip()[4], rest
    sign = sign or _separator(text, name, wanted)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=sign)
    columns = next(reader, [])
    places = {column: place for place, column in enumerate(columns) if column in wanted}
    lost = [0]

    def lines() -> Iterator[list[str]]:
        while True:
            try:
                if cells := next(reader):
                    yield cells
            except StopIteration:
                return
            except csv.Error:  # a cell without end, say
                lost[0] += 1

    rows = [
        {column: cells[i] if i < len(cells) else None for column, i in places.items()}
        for cells in _bounded(lines(), size)
    ]
    _tell_lost(name, lost[0], "lines")
    return Table(columns, rows)


def _separator(text: str, name: str, wanted: Wanted) -> str:
    """Choose what separates cells: what shows most of the columns asked for in the head."""

    def shown(sign: str) -> tuple[int, bool]:
        head = next(csv.reader(io.StringIO(text, newline=""), delimiter=sign), [])
        return sum(cell in wanted for cell in head), len(head) > 1

    signs = "\t,;" if name.endswith(".tsv") else ",;\t"
    return max(signs, key=shown)  # the first of equals


def _read_json(name: str, text: str, size: int, wanted: Wanted) -> Table:
    """Read JSON lines; or JSON: a list of rows, columns, or a table of rows by file."""
    value, lost = None, 0
    if not name.endswith((".jsonl", ".ndjson")):
        try:
            value = json.loads(text)
        except ValueError:
            if "\n" not in text.strip():
                raise
    if value is None:
        value = []
        for line in _bounded((each for each in text.split("\n") if each.strip()), size):
            try:
                value.append(json.loads(line))
            except (ValueError, RecursionError):
                lost += 1
    listed = list(_bounded(_json_rows(value, wanted), size))
    rows = [row for row in listed if isinstance(row, dict)]
    lost += len(listed) - len(rows)
    if lost and not rows:
        raise ValueError('it holds no row: each is an object such as {"file": …, "prompt": …}')
    _tell_lost(name, lost, "rows")
    columns = dict.fromkeys(str(key) for row in rows for key in row)
    kept = [{key: row[key] for key in row if key in wanted} for row in rows]
    return Table(list(columns), kept)


def _json_rows(value: Any, wanted: Wanted) -> Iterable[Any]:
    """Return the rows of a JSON value."""
    if not isinstance(value, dict):
        return value if isinstance(value, list) else [value]
    values = list(value.values())
    if any(isinstance(each, list) for each in values) and not wanted & value.keys():
        return next(each for each in values if isinstance(each, list))  # {"data": [rows]}
    if not wanted & value.keys():  # rows, or prompts, by the name of their file
        return [
            {"file": key, **(row if isinstance(row, dict) else {"prompt": row})}
            for key, row in value.items()
        ]
    if all(isinstance(each, (list, dict)) for each in values):  # columns, by place or by number
        columns = {
            key: dict(enumerate(v)) if isinstance(v, list) else v for key, v in value.items()
        }
        places = dict.fromkeys(place for column in columns.values() for place in column)
        kept = {key: column for key, column in columns.items() if key in wanted}
        return [{key: column.get(place) for key, column in kept.items()} for place in places]
    return [value]


def _read_arrow(inside: Folder | Zip, name: str, wanted: Wanted) -> Table:
    """Read the columns, and of the rows what is asked for and is text or a number."""
    digest, size = inside.digest(name), inside.size(name)
    table = _parts(inside, name, digest)
    columns = [each.name for each in table.schema if not _holds_pictures(each.type)]
    columns = [column for column in columns if column in wanted]
    rows: list[Row] = []
    seen: dict[str, str] = {}
    budget = MAX_BYTES

    def every() -> Iterator[tuple[int, int, Row]]:
        for part in range(table.count):
            number = 0
            for batch in _batches(table, part, columns, size):
                for row in _cells(batch):
                    yield part, number, row
                    number += 1

    for part, number, row in _bounded(every(), size):
        for column, cell in row.items():
            if isinstance(cell, str):
                if cell not in seen:
                    budget -= len(cell)
                row[column] = seen.setdefault(cell, cell)  # equal prompts take room once
        if budget < 0:
            raise ValueError(f"it holds more than {MAX_BYTES // 2**20} MiB of text")
        rows.append({**row, PLACE: (name, part, number)})
    return Table(table.schema.names, rows)


@dataclass(frozen=True)
class _Parts:
    """An open table of Arrow: a Parquet file, by groups of rows, or the batches of Arrow IPC."""

    schema: Any
    place: Any
    file: Any
    batches: tuple[Any, ...]

    @property
    def count(self) -> int:
        """How many parts there are."""
        return len(self.batches) if self.file is None else self.file.num_row_groups

    def sizes(self, part: int, columns: Iterable[str]) -> list[int]:
        """Return the bytes, unpacked, of the pages that a group of rows has for some columns."""
        group = self.file.metadata.row_group(part)
        return _archive_bounds.page_sizes(self.place, group, frozenset(columns))


def _batches(table: _Parts, part: int, columns: list[str], size: int) -> Iterator[Any]:
    """Yield the rows of a part, so many at a time that they take no more than `MAX_BYTES`."""
    if table.file is None:
        batch = table.batches[part].select(columns)
        _refuse_rows(batch.num_rows, size)
        for start in range(0, batch.num_rows, AT_ONCE):
            rows = batch.slice(start, AT_ONCE)
            for column in rows.columns:
                _check(column)
            yield rows
        return
    if not columns:
        return
    _refuse_rows(table.file.metadata.row_group(part).num_rows, size)
    pages = table.sizes(part, columns)
    if sum(pages) > MAX_BYTES:
        raise ValueError(f"it holds {sum(pages) / 2**20:,.0f} MiB of text")
    some = _at_once(pages, AT_ONCE)
    yield from table.file.iter_batches(batch_size=some, row_groups=[part], columns=columns)


def _refuse_rows(count: int, size: int) -> None:
    if count > _most(size):
        raise ValueError(f"it tells of {count:,} rows, in {size:,} bytes")


def _at_once(pages: Iterable[int], most: int) -> int:
    """Return how many rows to read at once: no value is larger than its page."""
    return max(1, min(most, MAX_BYTES // max(*pages, 1, 1)))


def _check(values: Any) -> None:
    """Raise ValueError where values of Arrow IPC lead out of their buffers; text may be none."""
    import pyarrow as pa

    if pa.types.is_string(values.type):
        values = values.view(pa.binary())
    elif pa.types.is_large_string(values.type):
        values = values.view(pa.large_binary())
    values.validate(full=True)


def _cells(batch: Any) -> Iterator[Row]:
    """Yield the rows of a batch; a cell that cannot be read is None."""
    columns = [_column(each) for each in batch.columns]
    for row in zip(*columns, strict=True):
        yield dict(zip(batch.schema.names, row, strict=True))


def _column(values: Any) -> Iterator[Any]:
    """Yield the cells of a column; those that a dictionary tells once take room once."""
    if not hasattr(values, "dictionary"):
        return map(_cell, values)
    known = [*_column(values.dictionary)]
    return (None if i is None else known[i] for i in values.indices.to_pylist())


def _cell(value: Any) -> Any:
    try:
        return value.as_py()
    except (ValueError, OverflowError):
        return None


def _holds_pictures(kind: Any) -> bool:
    """Return whether a type of Arrow is none of text and numbers."""
    import pyarrow as pa

    return pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


@lru_cache(maxsize=4)
def _parts(inside: Folder | Zip, name: str, _digest: str) -> _Parts:
    """Open a table; ValueError for one of Arrow IPC that holds more than `MAX_GROUP`, unpacked."""
    import pyarrow as pa
    from pyarrow import parquet

    place = inside.open(name)
    if name.endswith(".parquet"):
        first = parquet.ParquetFile(place)
        schema, repeated = first.schema_arrow, _archive_bounds.repeatable(first)
        file = parquet.ParquetFile(place, read_dictionary=repeated)
        return _Parts(schema, place, file, ())
    source = (
        pa.memory_map(str(place)) if isinstance(place, Path) else pa.PythonFile(place, mode="r")
    )
    start = 8 if source.read(6) == b"ARROW1" else 0  # a file is a stream between two marks
    left = MAX_GROUP
    source.seek(start)
    for message in pa.ipc.MessageReader.open_stream(source):
        for length in _archive_bounds.buffer_sizes(message):
            left -= length
            if left < 0:
                raise ValueError(
                    f"unpacked it has more than {MAX_GROUP // 2**20} MiB: save it without "
                    "compression, or as Parquet"
                )
    source.seek(start)
    with pa.ipc.open_stream(source) as reader:
        return _Parts(reader.schema, place, None, tuple(reader))


@lru_cache(maxsize=2)
def _part(inside: Folder | Zip, name: str, digest: str, part: int, column: str) -> Any:
    """Read a column of one group of rows of a table; None where that is too large to be kept."""
    table = _parts(inside, name, digest)
    if table.file is None:
        return table.batches[part].column(column)
    if sum(table.sizes(part, [column])) > MAX_GROUP:
        return None
    return table.file.read_row_group(part, columns=[column]).column(0)


def picture(inside: Folder | Zip, place: tuple[str, int, int], column: str) -> Any:
    """Read what a table holds for the picture of a row; ImageError where it does not give it."""
    name, part, row = place
    try:
        if name.endswith(_archive_tar.TAR):
            return _archive_tar.member(inside, name, part)
        digest = inside.digest(name)
        kept = _part(inside, name, digest, part, column)
        if kept is None:
            return _one_of(_parts(inside, name, digest), part, row, column)
        cell = kept.slice(row, 1)
        cell.validate(full=True)
        return cell[0].as_py()
    except (images.ImageError, MemoryError):
        raise
    except Exception as error:  # whatever a reader of damaged bytes raises
        raise images.ImageError(
            f"the table does not give it ({brief(first_line(error), 300)})"
        ) from error


def _one_of(table: _Parts, part: int, row: int, column: str) -> Any:
    """Read one row of a group that is too large to be kept."""
    left, some = row, _at_once(table.sizes(part, [column]), 8)
    for batch in table.file.iter_batches(batch_size=some, row_groups=[part], columns=[column]):
        if left < batch.num_rows:
            return batch.column(0)[left].as_py()
        left -= batch.num_rows
    raise IndexError(f"there is no row {row}")


def _read_tar(inside: Folder | Zip, name: str, wanted: Wanted) -> Table:
    """Read a shard of a WebDataset: files of the same name before the first dot are one row.

    A picture, a text that is its prompt, and JSON that tells the other columns.
    """
    size, lost = inside.size(name), 0
    groups: dict[str, dict[str, int]] = {}
    for number, (member, _, _) in enumerate(_archive_tar.members(inside, name)):
        folder, base = posixpath.split(member)
        key, _, ending = base.partition(".")
        groups.setdefault(posixpath.join(folder, key), {})[ending.lower()] = number
    rows: list[Row] = []
    columns = {"file": None}
    for files in _bounded(groups.values(), size):
        pictures = [files[ending] for ending in PICTURES if ending in files]
        if not pictures:
            continue
        try:
            row = _told(files, inside, name)
        except (ValueError, RecursionError):
            lost += 1
            continue
        columns |= dict.fromkeys(map(str, row))
        kept = {name: cell for name, cell in row.items() if name in wanted and name not in FILE}
        rows.append({**kept, PLACE: (name, pictures[0], -1)})
    _tell_lost(name, lost, "rows")
    return Table(list(columns), rows)


def _told(files: dict[str, int], inside: Folder | Zip, name: str) -> Row:
    """Read what the files of one row tell; ValueError for one that cannot be read."""
    row: Row = {}
    if "json" in files:
        fields = json.loads(decode(_archive_tar.member(inside, name, files["json"])))
        row = dict(fields) if isinstance(fields, dict) else {}
    prompt_file = next((files[ending] for ending in SENTENCES if ending in files), None)
    if prompt_file is not None:
        row.setdefault("prompt", decode(_archive_tar.member(inside, name, prompt_file)).strip())
    return row
