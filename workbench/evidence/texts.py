"""The texts inside a picture's file, wherever they lie.

They are gathered here for all readers: sd-parsers remembers an EXIF comment by its picture's
address in memory, and so takes it for the next picture's too.
"""

from __future__ import annotations

import html
import json
import re
import zlib
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

EXIF = 0x8769
COMMENT = 0x9286
"""EXIF's own directory, and the tag UserComment."""
TAGS = {0x010E: "ImageDescription", 0x9C9B: "XPTitle", 0x9C9C: "XPComment", 0x9C9F: "XPSubject"}
MAKERS = {0x0131: "Software", 0x000B: "ProcessingSoftware"}
"""EXIF tags with a text about the picture, and about what made it."""
MAKER_NOTE = 0x927C
CAPTION = (2, 120)
IPTC = {(2, 65): "Originating program", (2, 110): "Credit", (2, 115): "Source"}
XMP = "XML:com.adobe.xmp"
LONGEST_XMP = 1_000_000
"""Characters of XMP that are read."""
DEEPEST = 100
"""Properties within properties of XMP that are told apart."""
HIDDEN = 4_000_000
"""Bytes of a hidden text that are read at most."""


def gather(opened: Image) -> dict[str, str]:
    """Gather the texts of a picture file, by the names that PNG gives them."""
    texts = {str(name): _as_utf8(text) for name, text in getattr(opened, "text", {}).items()}
    exif = opened.getexif()
    for value in map(str, exif.values()):  # ComfyUI writes "prompt:{…}" into any tag
        if match := re.match(r"(?i)(prompt|workflow):\s*(?={)", value):
            texts.setdefault(match[1].lower(), value[match.end() :])
    fields = xmp(opened)
    places: dict[str, Any] = {
        "comment": exif.get_ifd(EXIF).get(COMMENT) or exif.get(COMMENT),
        "file comment": opened.info.get("comment"),
        "XMP comment": fields.get("usercomment"),
        **{name: exif.get(tag) for tag, name in TAGS.items()},
        "XMP description": fields.get("description"),
        "IPTC caption": iptc(opened).get(CAPTION),
    }
    for place, written in places.items():
        text = _decoded(written).strip(" \t\r\n\0") if written else ""
        if text and not re.match(r"(?i)(prompt|workflow):\s*{", text):
            texts.setdefault(place, text)
    for name in (XMP, "xmp"):
        texts.pop(name, None)
    return _hidden(opened) | texts


def makers(opened: Image) -> dict[str, str]:
    """Gather what names the maker of a picture file: EXIF's, IPTC's and PNG's notes by name."""
    exif, notes = opened.getexif(), {}
    for tag, name in MAKERS.items():
        notes[f"EXIF {name}"] = _decoded(exif.get(tag) or "")
    note = exif.get_ifd(EXIF).get(MAKER_NOTE)
    if isinstance(note, (bytes, str)):
        notes["EXIF MakerNote"] = _decoded(note)
    for record, value in iptc(opened).items():
        if record in IPTC:
            notes[f"IPTC {IPTC[record]}"] = _decoded(value)
    for name, text in getattr(opened, "text", {}).items():
        if str(name).lower() in ("software", "credit", "generator", "creator", "source"):
            notes[f"PNG {name}"] = _as_utf8(text)
    cut = {name: text.strip(" \t\r\n\0") for name, text in notes.items()}
    clear = {name: text for name, text in cut.items() if text and text.isprintable()}
    return {name: text for name, text in clear.items() if "\ufffd" not in text}  # of cameras


def iptc(opened: Image) -> dict[tuple[int, int], Any]:
    """Return the records of IPTC's older form (IIM) by number; none where there are none."""
    from PIL import IptcImagePlugin

    if opened.format not in ("JPEG", "MPO", "TIFF"):
        return {}
    try:
        records: Any = IptcImagePlugin.getiptcinfo(cast("ImageFile", opened))
    except Exception:  # of a file of anybody's
        return {}
    return {key: x[0] if isinstance(x, list) else x for key, x in (records or {}).items()}


def xmp(opened: Image) -> dict[str, str]:
    """Return the properties of XMP by their names in small letters, without a namespace."""
    return xmp_fields(getattr(opened, "text", {}).get(XMP) or opened.info.get("xmp") or b"")


def xmp_fields(packet: str | bytes) -> dict[str, str]:
    """Return the properties of an XMP packet by name, as `xmp` does."""
    if isinstance(packet, bytes):
        wide = packet[:2] in (b"\xff\xfe", b"\xfe\xff") or packet[1:2] == b"\0"
        packet = packet[: 4 * LONGEST_XMP].decode("utf-16" if wide else "utf-8", "replace")
    if "<" not in packet:
        return {}
    reader = _Properties()
    reader.feed(packet[:LONGEST_XMP])
    properties = {name: "".join(parts).strip() for name, parts in reader.found.items()}
    inside = packet.partition("UserComment>")[2].partition("UserComment>")[0]
    if "{" in inside:  # Draw Things; a "<" in it may be left as it is
        properties["usercomment"] = html.unescape(inside[inside.find("{") : inside.rfind("}") + 1])
    return {name: text for name, text in properties.items() if text}


class _Properties(HTMLParser):
    """Collect XMP's properties, in attribute and in element form, of packets that are no XML too.

    A parser of XML would refuse what lacks a namespace, and follow entities.
    """

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: dict[str, list[str]] = {}
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        name = tag.rpartition(":")[2]
        for key, value in attrs:
            prefix, _, local = key.rpartition(":")
            if local == "resource" and not tag.startswith("rdf:"):
                self.found.setdefault(name, []).append(value or "")
            elif prefix not in ("", "xmlns", "rdf", "xml", "x"):
                self.found.setdefault(local, [value or ""])
        if not tag.startswith(("rdf:", "x:")) and len(self.open) < DEEPEST:
            self.open.append(name)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        depth = len(self.open)
        self.handle_starttag(tag, attrs)
        del self.open[depth:]

    def handle_endtag(self, tag: str) -> None:
        name = tag.rpartition(":")[2]
        if name in self.open:
            while self.open.pop() != name:
                pass

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.found.setdefault(self.open[-1], []).append(data)


def _hidden(opened: Image) -> dict[str, str]:
    """Read the text that front ends hide in the lowest bits of the alpha channel, or of colours.

    Column by column: a name, the length in bits (4 bytes), and the text, or gzip of it.
    """
    import numpy as np

    if opened.mode not in ("RGB", "RGBA") or opened.format in ("JPEG", "MPO", "GIF"):
        return {}
    pixels = np.asarray(opened)
    layers = {"png": pixels[..., 3:], "rgb": pixels[..., :3]}
    for place, layer in layers.items():
        for mark in (f"stealth_{place}comp", f"stealth_{place}info"):
            start = len(mark) + 4
            head = _lowest(layer, start)
            if head[:-4] != mark.encode():
                continue
            length = min(int.from_bytes(head[-4:], "big") // 8, HIDDEN)
            body = _lowest(layer, start + length)[start:]
            if mark.endswith("comp"):
                try:
                    body = zlib.decompressobj(31).decompress(body, HIDDEN)
                except zlib.error:
                    return {}
            return _named_texts(body.decode("utf-8", "replace"))
    return {}


def _lowest(layer: Any, count: int) -> bytes:
    """Return the first bytes that the lowest bits of a layer (H, W, channels) make up."""
    import numpy as np

    height, width, channels = layer.shape
    columns = -(-8 * count // (height * channels)) if channels else 0
    if not 0 < columns <= width:
        return b""
    bits = layer[:, :columns].swapaxes(0, 1).reshape(-1)[: 8 * count] & 1
    return bytes(np.packbits(bits).tobytes())


def _named_texts(text: str) -> dict[str, str]:
    """Return the texts that a hidden JSON object holds by name, or a hidden text as parameters."""
    try:
        named = json.loads(text) if text.startswith("{") else None
    except ValueError:
        named = None
    if not isinstance(named, dict):
        return {"parameters": text}
    return {str(k): x if isinstance(x, str) else json.dumps(x) for k, x in named.items()}


def _as_utf8(text: str) -> str:
    """Read as UTF-8 what PNG's tEXt has, against its rule, and Pillow took for Latin-1."""
    from PIL.PngImagePlugin import iTXt

    if isinstance(text, iTXt):
        return str(text)
    try:
        return text.encode("latin-1").decode("utf-8")
    except ValueError:
        return str(text)


def _decoded(comment: Any) -> str:
    """Decode a comment; EXIF's begins with eight bytes for its letters, but not for their order."""
    if isinstance(comment, (tuple, list)) and all(isinstance(x, int) for x in comment):
        comment = bytes(x & 255 for x in comment)  # XPComment
    if not isinstance(comment, bytes):
        return _as_utf8(str(comment))
    head, rest = comment[:8].upper(), comment[8:]
    if head == b"UNICODE\0":
        return _unicode(rest)
    if head.startswith(b"JIS\0"):
        return rest.decode("iso2022_jp", "replace")
    text = rest if head in (b"ASCII\0\0\0", bytes(8)) else comment
    if text[1:2] == b"\0" or text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _unicode(text)
    return text.decode("utf-8", "replace")


def _unicode(data: bytes) -> str:
    """Decode what is said to be Unicode: UTF-16 of either order, or UTF-8."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    even, odd = data[0::2], data[1::2]
    zeros = even.count(0) - odd.count(0)
    if b"\0" not in data.strip(b"\0"):
        try:
            return data.strip(b"\0").decode("utf-8")
        except UnicodeDecodeError:
            zeros = len(set(odd)) - len(set(even))  # the upper bytes of a script are few
    return data.decode("utf-16-be" if zeros >= 0 else "utf-16-le", "replace")
