"""Pixels of every depth and layout are what was written, and plain ones are as ever."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.images.making import chunk, encoded, grey_profile, opened, png, scene
from workbench import images

WHITE = (255, 255, 255)


def packed(values: list[int], bits: int) -> bytes:
    """Write one row of values, its filter byte first."""
    text = "".join(f"{value:0{bits}b}" for value in values)
    text += "0" * (-len(text) % 8)
    return b"\0" + bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("which", [0, 1])
def test_the_transparent_grey_of_every_depth_is_white(bits, which, tmp_path):
    most = (1 << bits) - 1
    values = [0, most]
    clear = chunk(b"tRNS", values[which].to_bytes(2, "big"))
    got = opened(tmp_path, png(2, 1, bits, 0, packed(values, bits), clear))
    want = [(0, 0, 0), WHITE]
    want[which] = WHITE
    assert [tuple(each) for each in got[0]] == want


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_grey_in_between_can_be_the_transparent_one(bits, tmp_path):
    most = (1 << bits) - 1
    clear = chunk(b"tRNS", (1).to_bytes(2, "big"))
    got = opened(tmp_path, png(3, 1, bits, 0, packed([0, 1, 2], bits), clear))
    assert got[0, :, 0].tolist() == [0, 255, 2 * 255 // most]


def test_the_transparent_colour_of_16_bits_is_compared_in_all_of_them(tmp_path):
    colours = np.array([[0x1234, 0x5678, 0x9ABC], [0x1234, 0x5678, 0x9ABD], [0x1235, 0, 0]], ">u2")
    clear = chunk(b"tRNS", colours[0].tobytes())
    got = opened(tmp_path, png(3, 1, 16, 2, b"\0" + colours.tobytes(), clear))
    np.testing.assert_array_equal(got[0], [WHITE, (0x12, 0x56, 0x9A), (0x12, 0, 0)])


def test_only_the_low_bits_of_a_transparent_colour_count(tmp_path):
    rows = b"\0" + bytes([1, 2, 3, 4, 5, 6])
    clear = chunk(b"tRNS", bytes([9, 1, 9, 2, 9, 3]))
    got = opened(tmp_path, png(2, 1, 8, 2, rows, clear))
    np.testing.assert_array_equal(got[0], [WHITE, (4, 5, 6)])


@pytest.mark.parametrize("colour", [0, 2, 4, 6])
def test_16_bits_of_every_colour_type_keep_their_upper_byte(colour, tmp_path):
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    values = np.random.default_rng(1).integers(0, 65536, (5, 7, channels)).astype(">u2")
    if colour >= 4:
        values[..., -1] = 0xFFFF
    rows = b"".join(b"\0" + line.tobytes() for line in values)
    got = opened(tmp_path, png(7, 5, 16, colour, rows))
    want = (values[..., : 1 if channels < 3 else 3] >> 8).astype(int)
    np.testing.assert_array_equal(got, np.broadcast_to(want, (5, 7, 3)))


def written(pixels: np.ndarray, planar: bool, **options: object) -> bytes:
    buffer = io.BytesIO()
    there = np.moveaxis(pixels, -1, 0) if planar else pixels
    plan = {"planarconfig": "separate" if planar else "contig"} if pixels.ndim == 3 else {}
    tifffile.imwrite(buffer, np.ascontiguousarray(there), **plan, **options)
    return buffer.getvalue()


def noise(shape: tuple[int, ...], kind: str) -> np.ndarray:
    return np.random.default_rng(2).integers(0, np.iinfo(kind).max, shape).astype(kind)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packing", [None, "zlib"])
@pytest.mark.parametrize("kind", ["uint8", "uint16"])
class TestTiff:
    """Every layout that tifffile writes comes back as it was."""

    @pytest.mark.parametrize("zero", ["minisblack", "miniswhite"])
    def test_grey(self, order, packing, kind, zero, tmp_path):
        pixels = noise((40, 32), kind)
        data = written(pixels, False, photometric=zero, compression=packing, byteorder=order)
        want = pixels.astype(int) >> (8 if kind == "uint16" else 0)
        want = 255 - want if zero == "miniswhite" else want
        np.testing.assert_array_equal(opened(tmp_path, data), np.dstack([want] * 3))

    @pytest.mark.parametrize("planar", [False, True])
    @pytest.mark.parametrize("tile", [None, (16, 16)])
    @pytest.mark.parametrize("channels", [3, 4])
    def test_colour(self, order, packing, kind, planar, tile, channels, tmp_path):
        pixels = noise((40, 32, channels), kind)
        pixels[..., 3:] = np.iinfo(kind).max
        options = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
        options |= {"photometric": "rgb", "compression": packing, "byteorder": order, "tile": tile}
        got = opened(tmp_path, written(pixels, planar, **options))
        want = pixels[..., :3].astype(int) >> (8 if kind == "uint16" else 0)
        np.testing.assert_array_equal(got, want)

    @pytest.mark.parametrize("planar", [False, True])
    def test_inks(self, order, packing, kind, planar, tmp_path):
        pixels = noise((40, 32, 4), kind)
        options = {"photometric": "separated", "compression": packing, "byteorder": order}
        got = opened(tmp_path, written(pixels, planar, **options))
        upper = (pixels >> (8 if kind == "uint16" else 0)).astype(np.uint8)
        plain = Image.frombytes("CMYK", (32, 40), upper.tobytes()).convert("RGB")
        np.testing.assert_array_equal(got, np.asarray(plain))


def test_grey_of_12_bits_uses_the_whole_range(tmp_path):
    values = [0, 0x123, 0x800, 0xFFF]
    row = int("".join(f"{value:03x}" for value in values), 16).to_bytes(6, "big")
    tags = [(256, 4), (257, 1), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1)]
    tags.append((279, 6))
    data = b"II*\0" + struct.pack("<I", 14) + row + struct.pack("<H", len(tags))
    data += b"".join(struct.pack("<HHII", name, 4, 1, value) for name, value in tags) + bytes(4)
    assert opened(tmp_path, data)[0, :, 0].tolist() == [0, 0x12, 0x80, 0xFF]


def test_a_grey_tiff_with_alpha_lies_over_white(tmp_path):
    pixels = np.dstack([noise((8, 8), "uint16"), np.zeros((8, 8), np.uint16)])
    data = written(pixels, False, photometric="minisblack", extrasamples=["unassalpha"])
    assert (opened(tmp_path, data) == 255).all()


def test_a_tiff_of_other_numbers_gets_a_sentence(tmp_path):
    data = written(noise((8, 8, 3), "uint8").astype("f4"), False, photometric="rgb")
    with pytest.raises(images.ImageError, match=r"a TIFF of 32 bits, photometric 2"):
        opened(tmp_path, data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_a_plain_picture_keeps_the_pixels_that_name_it_in_stores(kind, mode, tmp_path):
    """The digest of the pixels is a picture's name: what was read rightly must stay as it was."""
    picture = scene().convert(mode)
    try:
        data = encoded(picture, kind, **({"lossless": True} if kind == "WEBP" else {}))
    except (OSError, KeyError, ValueError):
        pytest.skip(f"{kind} holds no {mode}")
    with Image.open(io.BytesIO(data)) as there:
        plain = there.convert("RGBA") if there.has_transparency_data else there.convert("RGB")
    if plain.mode == "RGBA":
        pixels = np.asarray(plain).astype(np.uint16)
        cover = pixels[..., 3:]
        plain = (pixels[..., :3] * cover + 255 * (255 - cover) + 127) // 255
    np.testing.assert_array_equal(opened(tmp_path, data), np.asarray(plain))
    inks = "its inks (CMYK) were converted by the plain formula, without a profile"
    with Image.open(io.BytesIO(data)) as there:
        assert images.notes(tmp_path / "picture.png") == ((inks,) if there.mode == "CMYK" else ())


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_the_bits_that_are_left_out_are_told(kind, tmp_path):
    grey = Image.fromarray(np.arange(0, 64 * 1000, 1000, dtype=np.uint16).reshape(8, 8))
    (tmp_path / "picture.png").write_bytes(encoded(grey, kind))
    told = "the upper 8 of the 16 bits of each channel were kept"
    assert images.notes(tmp_path / "picture.png") == (told,)
    if kind == "PNG":
        wide = encoded(grey, kind, icc_profile=grey_profile(1.0))
        (tmp_path / "picture.png").write_bytes(wide)
        colours = "its colours were converted to sRGB from those that it tells (grey)"
        assert images.notes(tmp_path / "picture.png") == (colours, told)
