"""What is broken beside the pixels of a PNG does not matter, as in every browser."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.images.making import SIGNATURE, chunk, encoded, opened, png, scene, with_chunks
from workbench import images

LONG = zlib.compress(b"QUJD" * 1_000_000)
MORE = "it has more than 8,388,608 bytes"
EXIF = Image.Exif()
EXIF[0x0112] = 3


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"tEXt", b"Comment\0a kettle", check=1),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a kettle"), check=1),
        chunk(b"iTXt", b"Comment\0\0\0\0\0a kettle", check=1),
        chunk(b"gAMA", struct.pack(">I", 100_000), check=1),
        chunk(b"iCCP", b"x\0\0" + zlib.compress(b"x"), check=1),
        chunk(b"tRNS", bytes(6), check=1),
        chunk(b"eXIf", EXIF.tobytes()[6:], check=1),
        chunk(b"prVt", b"private", check=1),
        chunk(b"zTXt", b"workflow\0\0" + LONG),
        chunk(b"iTXt", b"workflow\0\1\0\0\0" + LONG),
        chunk(b"tEXt", b"workflow\0" + b"QUJD" * 1_000_000),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + LONG),
        chunk(b"zTXt", b"Comment\0\0no zlib"),
        chunk(b"zTXt", b"Comment\0\7" + LONG),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0"),
        chunk(b"tEXt", b""),
        chunk(b"pHYs", b"\0"),
        chunk(b"tIME", b""),
        chunk(b"sRGB", b""),
        chunk(b"acTL", struct.pack(">II", 3, 0)) + chunk(b"fcTL", b"\0\0\0\7"),
        b"".join(chunk(b"tEXt", b"k%d\0" % n + b"x" * 900_000) for n in range(80)),
    ],
    ids=range(21),
)
def test_a_picture_is_read_whatever_stands_beside_it(extra, tmp_path):
    data = with_chunks(encoded(scene(), "PNG"), extra)
    np.testing.assert_array_equal(opened(tmp_path, data), np.asarray(scene()))


def test_a_text_that_unpacks_to_more_than_memory_is_not_unpacked(tmp_path):
    bomb = zlib.compress(bytes(2**27))
    data = with_chunks(
        encoded(scene(), "PNG"),
        chunk(b"zTXt", b"k\0\0" + bomb),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + bomb),
    )
    tracemalloc.start()
    opened(tmp_path, data)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


@pytest.mark.parametrize("name", [b"IHDR", b"PLTE"])
def test_a_wrong_checksum_of_the_head_gets_its_own_sentence(name, tmp_path):
    data = bytearray(encoded(scene().convert("P"), "PNG"))
    at = data.index(name)
    data[at + 4 + struct.unpack(">I", data[at - 4 : at])[0]] ^= 0xFF
    with pytest.raises(images.ImageError) as caught:
        opened(tmp_path, bytes(data))
    assert str(caught.value) == (
        f"the picture is damaged or cut short (the checksum of its {name.decode()} chunk is wrong)"
    )


@pytest.mark.parametrize("how", ["eXIf", "text"])
def test_orientation_is_still_found(how, tmp_path):
    if how == "eXIf":
        data = encoded(scene(), "PNG", exif=EXIF)
    else:
        body = EXIF.tobytes().hex().encode()
        text = b"\nexif\n%8d\n" % len(EXIF.tobytes()) + body
        packed = b"Raw profile type exif\0\0" + zlib.compress(text)
        data = with_chunks(encoded(scene(), "PNG"), chunk(b"zTXt", packed))
    np.testing.assert_array_equal(opened(tmp_path, data), np.asarray(scene())[::-1, ::-1])


def test_what_stands_behind_the_end_is_not_read(tmp_path):
    data = encoded(scene(), "PNG") + b"anything" + SIGNATURE
    np.testing.assert_array_equal(opened(tmp_path, data), np.asarray(scene()))


def test_a_palette_keeps_its_transparency(tmp_path):
    data = png(2, 1, 8, 3, b"\0\0\1", chunk(b"PLTE", bytes(6)), chunk(b"tRNS", b"\x80\xff"))
    np.testing.assert_array_equal(opened(tmp_path, data)[0], [[127] * 3, [0] * 3])


@pytest.mark.parametrize(
    "text",
    [
        chunk(b"zTXt", b"workflow\0\0" + LONG),
        chunk(b"iTXt", b"workflow\0\1\0en\0w\0" + LONG),
        chunk(b"tEXt", b"workflow\0" + b"QUJD" * 1_000_000),
    ],
    ids=["zTXt", "iTXt", "tEXt"],
)
def test_a_text_of_more_than_a_mebibyte_is_read(text):
    found = images.head(with_chunks(encoded(scene(), "PNG"), text))
    assert found.text == {"workflow": "QUJD" * 1_000_000}
    assert found.info[images.TEXTS_LEFT_OUT] == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(2**27))),
            MORE,
        ),
        (chunk(b"tEXt", b"k\0" + bytes(2**24 + 1)), MORE),
        (chunk(b"tEXt", b"k\0a kettle", check=1), "its checksum is wrong"),
        (chunk(b"zTXt", b"k\0\0no zlib"), "it is damaged"),
        (chunk(b"zTXt", b"k\0\0" + LONG[:-9]), "it is cut short"),
        (chunk(b"zTXt", b"k\0\7" + LONG), "it is packed in a way that is not known"),
        (chunk(b"iTXt", b"k\0\1\0"), "it is damaged"),
    ],
    ids=range(7),
)
def test_a_text_that_is_not_read_is_named_with_the_reason(text, why):
    found = images.head(with_chunks(encoded(scene(), "PNG"), text))
    assert found.text == {}
    assert found.info[images.TEXTS_LEFT_OUT] == (f"“k” ({why})",)


def test_all_texts_together_are_bounded_too():
    texts = (chunk(b"tEXt", b"k%d\0" % n + bytes(2**23)) for n in range(5))
    found = images.head(with_chunks(encoded(scene(), "PNG"), *texts))
    assert sorted(found.text) == ["k0", "k1", "k2", "k3"]
    assert found.info[images.TEXTS_LEFT_OUT] == (
        "“k4” (with those before it there are more than 33,554,432 bytes)",
    )
