"""Bounds of the memory a table of Arrow takes, from its own bytes, before it is unpacked.

The footer of a Parquet file may say anything; what a reader allocates is what the head of each page
says, so those are read (`PageHeader` of parquet-format, in the compact protocol of Thrift). Of
Arrow IPC, each packed buffer begins with its length (`RecordBatch` of Arrow's Message.fbs).
"""

from __future__ import annotations

import contextlib
import io
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STOP, TRUE, FALSE, BYTE, DOUBLE, BINARY, STRUCT = 0, 1, 2, 3, 7, 8, 12
INTEGERS = (4, 5, 6)
"""Types of Thrift's compact protocol; a head of a page has no lists."""
UNPACKED, PACKED = 2, 3
"""Fields of a PageHeader: the bytes of the page without and with its compression."""
KINDS = ((5, 2), (8, 4))
"""Fields of a PageHeader for a page of data, either version, and in that for its encoding."""
DIFFERENCES = (6, 7)
"""Encodings of text by lengths in differences: how many there are, their data tells alone."""
DEEP = 8
"""How deep a head of a page may be nested."""
HEADER, DATA, BUFFERS, COMPRESSION = 2, 1, 2, 3
"""Fields of a Message, of a DictionaryBatch in it, and of a RecordBatch in either."""


def repeatable(file: Any) -> list[str]:
    """Return the columns of an open Parquet file that are read into a dictionary.

    So text and bytes that are told once, and repeated, take room once.
    """
    return [path for each in file.schema_arrow for path in _texts(each.name, each.type)]


def _texts(path: str, kind: Any) -> Iterator[str]:
    """Yield the columns of text and bytes in a type."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        for field in kind.fields:
            yield from _texts(f"{path}.{field.name}", field.type)
    elif pa.types.is_string(kind) or pa.types.is_binary(kind):
        yield path


def page_sizes(place: Path | io.BytesIO, group: Any, named: frozenset[str]) -> list[int]:
    """Return the bytes, unpacked, of every page that a group of rows has for some columns.

    Args:
        place: the Parquet file.
        group: its metadata, as pyarrow reads it.
        named: columns; what is nested in one counts too.

    Raises ValueError where the head of a page cannot be read, or a page lies outside.
    """
    chunks = [group.column(i) for i in range(group.num_columns)]
    wanted = [each for each in chunks if each.path_in_schema.partition(".")[0] in named]
    try:
        with _held(place) as data:
            return [size for chunk in wanted for size in _of_chunk(data, chunk)]
    except IndexError:
        raise ValueError("the head of a page is cut") from None


def _of_chunk(data: memoryview, chunk: Any) -> Iterator[int]:
    """Yield the pages of a column of a group."""
    at = chunk.data_page_offset
    if chunk.has_dictionary_page and 0 < (chunk.dictionary_page_offset or 0) < at:
        at = chunk.dictionary_page_offset
    end, count = at + chunk.total_compressed_size, 0
    if not 0 < at <= end <= len(data):
        raise ValueError("a column lies outside of the file")
    while at < end:
        head, at = _fields(data, at, DEEP)
        sizes: tuple[Any, Any] = head.get(UNPACKED), head.get(PACKED)
        if not all(isinstance(size, int) and size >= 0 for size in sizes):
            raise ValueError("a page has no size")
        kinds = [(head.get(kind), field) for kind, field in KINDS]
        if any(isinstance(each, dict) and each.get(i) in DIFFERENCES for each, i in kinds):
            raise ValueError(
                "its text is written in differences (DELTA), which may unfold to any size: save it "
                "with plain or dictionary encoding, as most libraries do"
            )
        count += 1
        if count > chunk.num_values + 2:
            raise ValueError("a column has more pages than values")
        yield sizes[0]
        at += sizes[1]


def _fields(data: memoryview, at: int, deep: int) -> tuple[dict[int, Any], int]:
    """Read a struct of Thrift's compact protocol: field → value, and its end.

    A value is a whole number, such a struct, or None for anything else.
    """
    if not deep:
        raise ValueError("the head of a page is nested too deeply")
    fields: dict[int, Any] = {}
    number = 0
    while (byte := data[at]) & 0xF != STOP:
        at += 1
        if step := byte >> 4:
            number += step
        else:
            number, at = _signed(data, at)
        fields[number], at = _value(data, at, byte & 0xF, deep)
    return fields, at + 1


def _value(data: memoryview, at: int, kind: int, deep: int) -> tuple[Any, int]:
    """Read a whole number or a struct; skip any other value."""
    if kind in INTEGERS:
        return _signed(data, at)
    if kind in (TRUE, FALSE):
        return None, at
    if kind == BINARY:
        length, at = _whole(data, at)
        return None, at + length
    if kind in (BYTE, DOUBLE):
        return None, at + (1 if kind == BYTE else 8)
    if kind == STRUCT:
        return _fields(data, at, deep - 1)
    raise ValueError("the head of a page cannot be read")


def _whole(data: memoryview, at: int) -> tuple[int, int]:
    """Read a number without sign, seven bits a byte."""
    number = 0
    for shift in range(0, 64, 7):
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise ValueError("a number in the head of a page never ends")


def _signed(data: memoryview, at: int) -> tuple[int, int]:
    """Read a number with its sign in the lowest bit."""
    zigzag, at = _whole(data, at)
    return (zigzag >> 1) ^ -(zigzag & 1), at


@contextlib.contextmanager
def _held(place: Path | io.BytesIO) -> Iterator[memoryview]:
    """Open the bytes of a file; of one on a disk, only what is looked at is read."""
    if not isinstance(place, Path):
        with place.getbuffer() as view:
            yield view
        return
    with (
        place.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held,
        memoryview(held) as view,
    ):
        yield view


def buffer_sizes(message: Any) -> Iterator[int]:
    """Yield the bytes, unpacked, of each packed buffer of a message of Arrow IPC.

    Raises ValueError where it cannot be read.
    """
    if message.type not in ("record batch", "dictionary"):
        return
    try:
        data = memoryview(message.metadata)
        batch = _table(data, _number(data, 0, "<I"), HEADER)
        if message.type == "dictionary":
            batch = _table(data, batch, DATA)
        if _field(data, batch, COMPRESSION) is None or (at := _field(data, batch, BUFFERS)) is None:
            return
        at += _number(data, at, "<I")
        body = memoryview(message.body)
        for i in range(_number(data, at, "<I")):
            start, length = struct.unpack_from("<qq", data, at + 4 + 16 * i)
            if length >= 8:
                yield max(_number(body, start, "<q"), 0)  # −1: it is not packed
    except (struct.error, IndexError, TypeError):
        raise ValueError("a message of it cannot be read") from None


def _table(data: memoryview, table: int, field: int) -> int:
    """Return the table in a field of a table of a flatbuffer."""
    place = _field(data, table, field)
    if place is None:
        raise ValueError("a message of it holds nothing")
    return place + _number(data, place, "<I")


def _field(data: memoryview, table: int, field: int) -> int | None:
    """Return where a field of a table of a flatbuffer lies; None where it is left out."""
    listed = table - _number(data, table, "<i")
    if 4 + 2 * field >= _number(data, listed, "<H"):
        return None
    step = _number(data, listed + 4 + 2 * field, "<H")
    return table + step if step else None


def _number(data: memoryview, at: int, form: str) -> int:
    """Read a number; struct.error where it lies outside."""
    if at < 0:
        raise struct.error
    return int(struct.unpack_from(form, data, at)[0])
