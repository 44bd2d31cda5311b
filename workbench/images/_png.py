"""PNG chunks, read as browsers read them: what is broken beside the pixels does not matter.

PNG specification, third edition, sections 5 (chunks), 11.3.2 (colour space) and 13.1 (errors).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR = (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM")
TURNS = (b"Raw profile type exif", b"XML:com.adobe.xmp")
"""Keys of the texts that may hold the orientation."""
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
LONGEST_TURN, LONGEST_TEXT, ALL_TEXTS = 2**20, 2**23, 2**25
"""Bytes, unpacked, of a text that may hold the orientation, of any that is read, and of all."""
LONGEST_PROFILE = 2**25


@dataclass(frozen=True)
class Png:
    """The bytes that are decoded, and the chunks that tell of colour, by name."""

    data: bytes
    colour: dict[bytes, bytes] = field(default_factory=dict)


def read(data: bytes) -> Png:
    """Return a PNG without the ancillary chunks that do not matter to its first picture.

    A wrong checksum, an overlong text or nonsense in one of them then cannot matter either.
    Raises ValueError for a wrong checksum in a critical chunk of the head.
    """
    colour: dict[bytes, bytes] = {}
    kept, begun, end = [SIGNATURE], False, len(SIGNATURE)
    for name, start, stop in _chunks(data):
        end = stop
        body = memoryview(data)[start + 8 : stop - 4]
        if name in (b"IHDR", b"PLTE") and not _sound(data, start, stop):
            raise ValueError(f"the checksum of its {name.decode()} chunk is wrong")
        begun |= name == b"IDAT"
        if name in COLOUR and not begun and _sound(data, start, stop):
            colour.setdefault(name, bytes(body))
        if not name[0] & 0x20 or (_matters(name, body) and _sound(data, start, stop)):
            kept.append(data[start:stop])
    return Png(b"".join([*kept, data[end:]]), colour)


def with_texts(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return a PNG with its sound texts, unpacked, and EXIF, without any other ancillary chunk.

    A text of more than `LONGEST_TEXT` bytes is left out, and so are those after the first
    `ALL_TEXTS` bytes; what is left out is returned too, each as "name" (why).
    """
    kept, omitted, end, room = [SIGNATURE], [], len(SIGNATURE), ALL_TEXTS
    for name, start, stop in _chunks(data):
        end = stop
        if not name[0] & 0x20 or (name == b"eXIf" and _sound(data, start, stop)):
            kept.append(data[start:stop])
        if name not in TEXTS:
            continue
        body = data[start + 8 : stop - 4]
        try:
            if not _sound(data, start, stop):
                raise ValueError("its checksum is wrong")
            head, text = _text(name, body, LONGEST_TEXT)
            if len(text) > room:
                raise ValueError(f"with those before it there are more than {ALL_TEXTS:,} bytes")
        except ValueError as error:
            key = body[:79].partition(b"\0")[0].decode("latin-1")
            omitted.append(f"“{key}” ({error})")
            continue
        room -= len(text)
        kept.append(chunk(b"iTXt" if name == b"iTXt" else b"tEXt", head + text))
    return b"".join([*kept, data[end:]]), tuple(omitted)


def chunk(name: bytes, body: bytes) -> bytes:
    """Write a chunk."""
    check = zlib.crc32(body, zlib.crc32(name))
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", check)


def profile(body: bytes) -> bytes:
    """Return the ICC profile of an iCCP chunk, up to `LONGEST_PROFILE` bytes of it.

    Raises ValueError for one that is longer, or cannot be unpacked.
    """
    name, _, packed = body.partition(b"\0")
    if not name or packed[:1] != b"\0":
        raise ValueError("it is not packed as it should be")
    return _unpacked(packed[1:], LONGEST_PROFILE)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of each whole chunk, up to IEND or to where there is none."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        stop = at + 12 + length
        if stop > len(data) or not name.isalpha():
            return
        yield name, at, stop
        if name == b"IEND":
            return
        at = stop


def _sound(data: bytes, start: int, stop: int) -> bool:
    """Return whether the checksum of a chunk is right."""
    view = memoryview(data)
    return zlib.crc32(view[start + 4 : stop - 4]) == int.from_bytes(view[stop - 4 : stop], "big")


def _matters(name: bytes, body: memoryview) -> bool:
    """Return whether an ancillary chunk can change the pixels: transparency and orientation."""
    if name in (b"tRNS", b"eXIf"):
        return True
    key = bytes(body[:80]).partition(b"\0")[0]
    if name not in TEXTS or key not in TURNS:
        return False
    try:
        _text(name, bytes(body), LONGEST_TURN)
    except ValueError:
        return False
    return True


def _text(name: bytes, body: bytes, longest: int) -> tuple[bytes, bytes]:
    """Return what stands before a text in an unpacked chunk, and the text, unpacked.

    Raises ValueError for what is damaged or longer than `longest` bytes.
    """
    key, mark, rest = body.partition(b"\0")
    if not mark:
        raise ValueError("it is damaged")
    head, packed = key + mark, False
    if name == b"zTXt":
        if rest[:1] != b"\0":
            raise ValueError("it is packed in a way that is not known")
        packed, rest = True, rest[1:]
    elif name == b"iTXt":
        parts = rest[2:].split(b"\0", 2)
        if len(rest) < 2 or len(parts) < 3:
            raise ValueError("it is damaged")
        packed, head, rest = rest[0] == 1, head + b"\0\0" + b"\0".join(parts[:2]) + b"\0", parts[2]
    if packed:
        return head, _unpacked(rest, longest)
    if len(rest) > longest:
        raise ValueError(f"it has more than {longest:,} bytes")
    return head, rest


def _unpacked(packed: bytes, longest: int) -> bytes:
    """Decompress, or raise ValueError for what is damaged or longer than `longest` bytes."""
    tool = zlib.decompressobj()
    try:
        unpacked = tool.decompress(packed, longest + 1)
    except zlib.error as error:
        raise ValueError("it is damaged") from error
    if len(unpacked) > longest:
        raise ValueError(f"it has more than {longest:,} bytes")
    if not tool.eof:
        raise ValueError("it is cut short")
    return unpacked
