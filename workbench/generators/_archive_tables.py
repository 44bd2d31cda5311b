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
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, TypeAlias

from workbench import images
from workbench.generators._archive_files import MAX_BYTES, Folder, Zip

ARROW = (".parquet", ".arrow")
TAR = (".tar",)
JSON = (".json", ".jsonl", ".ndjson")
MAX_ROWS = 2**21
"""Rows a table may have."""
FEW_ROWS, ROWS_A_BYTE = 10_000, 4
"""So many rows any table may have, and so many for each of its bytes, packed."""
MAX_GROUP = 512 * 2**20
"""Bytes of pictures, unpacked, that are kept to read the next one from."""
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
        if name.endswith(TAR):
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
        raise _unread(name, str(error) or type(error).__name__) from error


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


def _bounded(rows: Iterable[Any], size: int) -> Iterator[Any]:
    """Go through rows; ValueError beyond what a table of `size` bytes can tell."""
    most = min(MAX_ROWS, FEW_ROWS + ROWS_A_BYTE * size)
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
    found, lost = None, 0
    if not name.endswith((".jsonl", ".ndjson")):
        try:
            found = json.loads(text)
        except ValueError:
            if "\n" not in text.strip():
                raise
    if found is None:
        found = []
        for line in _bounded((each for each in text.split("\n") if each.strip()), size):
            try:
                found.append(json.loads(line))
            except (ValueError, RecursionError):
                lost += 1
    listed = list(_bounded(_json_rows(found, wanted), size))
    rows = [row for row in listed if isinstance(row, dict)]
    lost += len(listed) - len(rows)
    if lost and not rows:
        raise ValueError('it holds no row: each is an object such as {"file": …, "prompt": …}')
    _tell_lost(name, lost, "rows")
    columns = dict.fromkeys(str(key) for row in rows for key in row)
    kept = [{key: row[key] for key in row if key in wanted} for row in rows]
    return Table(list(columns), kept)


def _json_rows(found: Any, wanted: Wanted) -> Iterable[Any]:
    """List the rows of a JSON value."""
    if not isinstance(found, dict):
        return found if isinstance(found, list) else [found]
    values = list(found.values())
    if any(isinstance(each, list) for each in values) and not wanted & found.keys():
        return next(each for each in values if isinstance(each, list))  # {"data": [rows]}
    if not wanted & found.keys():  # rows, or prompts, by the name of their file
        return [
            {"file": key, **(row if isinstance(row, dict) else {"prompt": row})}
            for key, row in found.items()
        ]
    if all(isinstance(each, (list, dict)) for each in values):  # columns, by place or by number
        columns = {
            key: dict(enumerate(v)) if isinstance(v, list) else v for key, v in found.items()
        }
        places = dict.fromkeys(place for column in columns.values() for place in column)
        kept = {key: column for key, column in columns.items() if key in wanted}
        return [{key: column.get(place) for key, column in kept.items()} for place in places]
    return [found]


def _read_arrow(inside: Folder | Zip, name: str, wanted: Wanted) -> Table:
    """Read the columns, and of the rows what is asked for and is text or a number."""
    digest, size = inside.digest(name), inside.size(name)
    schema, parts, count = _parts(inside, name, digest)
    columns = [each.name for each in schema if not _holds_pictures(each.type)]
    columns = [column for column in columns if column in wanted]
    rows: list[Row] = []
    seen: dict[str, str] = {}
    budget = MAX_BYTES

    def every() -> Iterator[tuple[int, int, Row]]:
        for part in range(count):
            number = 0
            for batch in _batches(parts, part, columns, size):
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
    return Table(schema.names, rows)


def _batches(parts: Any, part: int, columns: list[str], size: int) -> Iterator[Any]:
    """Go through the rows of a part, some at a time, so that a lie about its size is seen early."""
    if isinstance(parts, list):
        yield parts[part].select(columns)
        return
    if not columns:
        return
    group = parts.metadata.row_group(part)
    if group.num_rows > min(MAX_ROWS, FEW_ROWS + ROWS_A_BYTE * size):
        raise ValueError(f"it tells of {group.num_rows:,} rows, in {size:,} bytes")
    if (unpacked := _unpacked(group, columns)) > MAX_BYTES:
        raise ValueError(f"it tells of {unpacked / 2**20:,.0f} MiB of text")
    yield from parts.iter_batches(batch_size=1024, row_groups=[part], columns=columns)


def _unpacked(group: Any, columns: Iterable[str]) -> int:
    """Count the bytes, unpacked, that a group of rows tells of for some columns."""
    chunks = (group.column(i) for i in range(group.num_columns))
    named = set(columns)
    return sum(
        each.total_uncompressed_size
        for each in chunks
        if each.path_in_schema.partition(".")[0] in named
    )


def _cells(batch: Any) -> list[Row]:
    """List the rows of a batch; a cell that cannot be read is None."""
    columns = [_column(each) for each in batch.columns]
    return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


def _column(values: Any) -> list[Any]:
    """List the cells of a column; those that a dictionary tells once take room once."""
    if hasattr(values, "dictionary"):
        known = _column(values.dictionary)
        return [None if i is None else known[i] for i in values.indices.to_pylist()]
    try:
        return list(values.to_pylist())
    except (ValueError, OverflowError):
        return [_cell(value) for value in values]


def _cell(value: Any) -> Any:
    try:
        return value.as_py()
    except (ValueError, OverflowError):
        return None


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
        schema = parquet.ParquetFile(place).schema_arrow
        texts = [each.name for each in schema if pa.types.is_string(each.type)]
        file = parquet.ParquetFile(place, read_dictionary=texts)
        return schema, file, file.num_row_groups
    source = pa.memory_map(str(place)) if isinstance(place, Path) else pa.PythonFile(place)
    try:
        table = pa.ipc.open_stream(source).read_all()
    except pa.ArrowInvalid:
        table = pa.ipc.open_file(source).read_all()
    batches = table.to_batches()
    return table.schema, batches, len(batches)


@lru_cache(maxsize=2)
def _part(inside: Folder | Zip, name: str, digest: str, part: int, column: str) -> Any:
    """Read a column of one group of rows of a table."""
    parts = _parts(inside, name, digest)[1]
    if isinstance(parts, list):
        return parts[part].column(column)
    return parts.read_row_group(part, columns=[column]).column(0)


def picture(inside: Folder | Zip, place: tuple[str, int, int], column: str) -> Any:
    """Read what a table holds for the picture of a row; ImageError where it does not give it."""
    name, part, row = place
    try:
        if name.endswith(TAR):
            return _tar_bytes(inside, name, part)
        digest = inside.digest(name)
        parts = _parts(inside, name, digest)[1]
        if not isinstance(parts, list):
            large = _unpacked(parts.metadata.row_group(part), [column]) > MAX_GROUP
            if large:
                return _one_of(parts, part, row, column)
        return _part(inside, name, digest, part, column)[row].as_py()
    except (images.ImageError, MemoryError):
        raise
    except Exception as error:  # whatever a reader of damaged bytes raises
        raise images.ImageError(f"the table does not give it ({error})") from error


def _one_of(parts: Any, part: int, row: int, column: str) -> Any:
    """Read one row of a group that is too large to be kept."""
    left = row
    for batch in parts.iter_batches(batch_size=8, row_groups=[part], columns=[column]):
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
    for number, (member, _, _) in enumerate(_members(inside, name, inside.digest(name))):
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
        found = json.loads(decode(_tar_bytes(inside, name, files["json"])))
        row = dict(found) if isinstance(found, dict) else {}
    told = next((files[ending] for ending in SENTENCES if ending in files), None)
    if told is not None:
        row.setdefault("prompt", decode(_tar_bytes(inside, name, told)).strip())
    return row


def _tar_bytes(inside: Folder | Zip, name: str, number: int) -> bytes:
    """Read member `number` of a tar file; ImageError where it cannot or must not be."""
    member, offset, size = _members(inside, name, inside.digest(name))[number]
    if size > MAX_BYTES:
        raise images.ImageError(f"{member} has more than {MAX_BYTES // 2**20} MiB")
    with _binary(inside.open(name)) as file:
        file.seek(offset)
        data = file.read(size)
    if len(data) < size:
        raise images.ImageError(f"the tar file ends before {member} does")
    return data


@lru_cache(maxsize=4)
def _members(inside: Folder | Zip, name: str, _digest: str) -> list[tuple[str, int, int]]:
    """List the regular files of a tar file: their names, places and sizes."""
    with _binary(inside.open(name)) as file, tarfile.open(fileobj=file, mode="r:") as found:
        return [
            (each.name, each.offset_data, each.size)
            for each in found
            if each.isreg() and not each.issparse()
        ]


def _binary(place: Path | IO[bytes]) -> IO[bytes]:
    return place.open("rb") if isinstance(place, Path) else place
