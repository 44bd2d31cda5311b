"""Pictures of others: bombs, endless frames, texts that tire a parser, links.

Damaged and huge pictures: test_images and system/test_bad_inputs; zips and tables that point
outside: generators/test_archive.
"""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import pytest
from PIL import GifImagePlugin, Image
from PIL.PngImagePlugin import PngInfo

from workbench import evidence, images


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*chunks, side=16):
    """Write a PNG of one colour, with chunks after its pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes((side * 3 + 1) * side)))
    return b"\x89PNG\r\n\x1a\n" + head + pixels + b"".join(chunks) + chunk(b"IEND", b"")


def encoded(kind):
    made = io.BytesIO()
    Image.new("RGB", (4, 4)).save(made, kind)
    return bytearray(made.getvalue())


def huge(kind):
    """Write a picture of 4×4 that claims 60,000×60,000."""
    data, side = encoded(kind), 60_000
    if kind == "JPEG":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", side, side)
    elif kind == "GIF":
        data[6:10] = struct.pack("<HH", side, side)
    elif kind == "BMP":
        data[18:26] = struct.pack("<ii", side, side)
    elif kind == "PPM":
        data = bytearray(data.replace(b"4 4", b"%d %d" % (side, side)))
    else:
        data[16:24] = struct.pack(">II", side, side)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


ZEROS = zlib.compress(bytes(2**26))
MANY = zlib.compress(bytes(2**20 - 9))
HUGE = {kind: huge(kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "PPM")}
FOLDED = {
    "zTXt": png(chunk(b"zTXt", b"parameters\0\0" + ZEROS)),
    "iTXt": png(chunk(b"iTXt", b"parameters\0\1\0\0\0" + ZEROS)),
    "iCCP": png(chunk(b"iCCP", b"profile\0\0" + ZEROS)),
    "many": png(*[chunk(b"zTXt", b"k%d\0\0" % n + MANY) for n in range(80)]),
}


@pytest.mark.parametrize("name", HUGE)
def test_a_picture_of_too_many_pixels_is_not_unpacked(tmp_path, name):
    assert len(HUGE[name]) < 150_000
    (tmp_path / "bomb.png").write_bytes(HUGE[name])
    table = evidence.frame([tmp_path / "bomb.png"])
    assert table["state"].tolist() == ["unchecked"]
    reason = "far more than the 80,000,000 pixels"
    assert reason in table["text"][0]
    with pytest.raises(images.ImageError, match=reason):
        images.open_image(tmp_path / "bomb.png")


@pytest.mark.parametrize("name", FOLDED)
def test_a_bomb_beside_the_pixels_is_not_unpacked_and_the_picture_is_read(tmp_path, name):
    assert len(FOLDED[name]) < 150_000
    (tmp_path / "bomb.png").write_bytes(FOLDED[name])
    evidence.frame([tmp_path / "bomb.png"])  # what is imported now does not count
    tracemalloc.start()
    states = set(evidence.frame([tmp_path / "bomb.png"])["state"])
    picture = images.open_image(tmp_path / "bomb.png")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (2**28 if name == "many" else 2**25)  # 64 MiB a text, or 80 texts of 1 MiB
    assert states <= {"absent", "claimed", "unchecked"}
    assert picture.mode == "RGB"


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "{" * 100_000, '{"a": ' * 5_000 + "9" * 10_000, "Steps: " + "9" * 100_000],
    ids=["brackets", "braces", "digits", "steps"],
)
def test_text_that_tires_a_parser_is_no_evidence(tmp_path, text):
    told = PngInfo()
    for name in ("parameters", "prompt", "workflow", "Comment"):
        told.add_text(name, text)
    Image.new("RGB", (16, 16)).save(tmp_path / "deep.png", pnginfo=told)
    states = [each.state for each in evidence.inspect(tmp_path / "deep.png")]
    assert states[0] == states[2] == "absent"
    assert states[1] in ("absent", "unchecked")


def test_of_a_gif_with_a_million_frames_the_first_is_read(tmp_path, monkeypatch):
    data = bytes(encoded("GIF"))
    start = data.index(b",\0\0\0\0")
    (tmp_path / "long.gif").write_bytes(data[:-1] + data[start:-1] * 1_000_000 + b";")
    read, seek = [], GifImagePlugin.GifImageFile._seek
    monkeypatch.setattr(
        GifImagePlugin.GifImageFile,
        "_seek",
        lambda self, *more: (read.append(1), seek(self, *more))[1],
    )
    assert images.open_image(tmp_path / "long.gif").size == (4, 4)
    assert len(evidence.inspect(tmp_path / "long.gif")) == 3
    assert 1 <= len(read) < 20


def test_a_folder_is_read_with_its_links_to_files_but_not_to_folders(pictures, tmp_path):
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "link.png").symlink_to(pictures / "one.png")
    (tmp_path / "box" / "folder").symlink_to(pictures)
    (tmp_path / "box" / "round").symlink_to(tmp_path / "box")
    (entry,) = images.index([tmp_path / "box"])
    assert (entry.path.name, entry.failure) == ("link.png", None)
