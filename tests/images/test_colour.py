"""Colours are those that the file means: profiles, gAMA, cHRM and cICP, brought to sRGB."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from tests.images.making import (
    ADOBE,
    P3,
    chunk,
    encoded,
    grey_profile,
    ink_profile,
    opened,
    profile,
    scene,
    to_profile,
    with_chunks,
)
from workbench import images

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
P3_PLACES = (0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)


def gamma_chunk(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def places_chunk(*values: float) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in values)))


@pytest.mark.parametrize("columns", [P3, ADOBE])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("TIFF", {}),
        ("WEBP", {"lossless": True}),
        ("JPEG", {"quality": 100, "subsampling": 0}),
        ("AVIF", {"quality": 100}),
    ],
)
def test_a_wide_profile_gives_the_colours_of_its_author(kind, options, columns, tmp_path):
    wide = profile(columns)
    data = encoded(to_profile(scene(), wide), kind, icc_profile=wide, **options)
    apart = np.abs(opened(tmp_path, data) - np.asarray(scene()))
    assert apart.mean() < 2
    assert apart.max() <= 8
    (note,) = images.notes(tmp_path / "picture.png")
    assert note == "its colours were converted to sRGB from those that it tells (wide)"


def test_the_profile_of_a_bmp_is_found(tmp_path):
    wide = profile()
    plain = encoded(to_profile(scene(), wide), "BMP")
    start = int.from_bytes(plain[10:14], "little")
    size = len(plain) - start
    head = struct.pack("<I", 124) + plain[18:54] + bytes(16) + b"DEBM" + bytes(36 + 12)
    head += struct.pack("<IIII", 4, 124 + size, len(wide), 0)
    data = b"BM" + struct.pack("<III", 138 + size + len(wide), 0, 138) + head + plain[start:] + wide
    assert np.abs(opened(tmp_path, data) - np.asarray(scene())).mean() < 2


def test_the_profile_of_a_jpeg_2000_is_found(tmp_path):
    wide = profile()
    plain = encoded(to_profile(scene(), wide), "JPEG2000")
    at, head = plain.index(b"colr") - 4, plain.index(b"jp2h") - 4
    told = struct.pack(">I4sBBB", 11 + len(wide), b"colr", 2, 0, 0) + wide
    size = int.from_bytes(plain[head : head + 4], "big") - 15 + len(told)
    data = plain[:head] + struct.pack(">I", size) + plain[head + 4 : at] + told + plain[at + 15 :]
    assert np.abs(opened(tmp_path, data) - np.asarray(scene())).mean() < 2
    (note,) = images.notes(tmp_path / "picture.png")
    assert note == "its colours were converted to sRGB from those that it tells (wide)"


@pytest.mark.parametrize("columns", [P3, ADOBE])
def test_the_profile_of_a_heic_is_found(columns, tmp_path):
    wide = profile(columns)
    picture = to_profile(scene(), wide)
    pillow_heif.from_pillow(picture).save(tmp_path / "a.heic", quality=100, icc_profile=wide)
    got = np.asarray(images.open_image(tmp_path / "a.heic")).astype(int)
    assert np.abs(got - np.asarray(scene())).mean() < 3
    assert images.notes(tmp_path / "a.heic")[0].endswith("(wide)")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_a_profile_of_more_than_a_mebibyte_is_read_too(kind, tmp_path):
    wide = profile(filler=3 * 2**20)
    data = encoded(to_profile(scene(), wide), kind, icc_profile=wide)
    assert len(data) > 3 * 2**20
    assert np.abs(opened(tmp_path, data) - np.asarray(scene())).mean() < 2


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_a_profile_of_srgb_itself_changes_no_pixel(kind, tmp_path):
    random = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(Image.fromarray(random), kind, icc_profile=SRGB, **options)
    np.testing.assert_array_equal(opened(tmp_path, data), random)
    assert images.notes(tmp_path / "picture.png") == ()


def test_alpha_lies_over_the_white_of_srgb_after_the_conversion(tmp_path):
    wide = profile(gamma=1.0)
    picture = Image.new("RGBA", (4, 4), (55, 55, 55, 128))
    got = opened(tmp_path, encoded(picture, "PNG", icc_profile=wide))
    grey = 255 * (1.055 * (55 / 255) ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(got, (grey * 128 + 255 * 127) / 255, atol=1.5)


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_a_grey_profile_is_applied_to_grey(mode, tmp_path):
    pixels = np.tile(np.arange(256, dtype=np.uint8), (2, 1))
    picture = Image.fromarray(pixels)
    if mode == "LA":
        picture = picture.convert("LA")
    if mode == "I;16":
        picture = Image.fromarray(pixels.astype(np.uint16) * 257)
    got = opened(tmp_path, encoded(picture, "PNG", icc_profile=grey_profile(1.0)))
    linear = np.arange(256) / 255
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(got[0, :, 0], 255 * curve, atol=1.5)
    assert (got[..., 0] == got[..., 2]).all()


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_goes_through_its_profile(kind, tmp_path):
    """A cyan of L* = 150 / 2.55 is the grey of luminance ((L* + 16) / 116)³."""
    picture = Image.new("CMYK", (24, 16), (0, 0, 0, 0))
    picture.paste((255, 0, 0, 0), (8, 0, 16, 16))
    picture.paste((0, 0, 0, 255), (16, 0, 24, 16))
    options = {"quality": 100} if kind == "JPEG" else {}
    data = encoded(picture, kind, icc_profile=ink_profile((150, 128, 128)), **options)
    got = opened(tmp_path, data)
    luminance = ((150 / 2.55 + 16) / 116) ** 3
    cyan = 255 * (1.055 * luminance ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(got[8, 4:24:8], np.repeat([[255], [cyan], [0]], 3, axis=1), atol=3)


def test_a_gamma_chunk_is_obeyed_and_that_of_srgb_changes_nothing(tmp_path):
    plain = encoded(scene(), "PNG")
    np.testing.assert_array_equal(
        opened(tmp_path, with_chunks(plain, gamma_chunk(0.45455))), np.asarray(scene())
    )
    linear = opened(tmp_path, with_chunks(plain, gamma_chunk(1.0)))
    values = np.asarray(scene()) / 255
    np.testing.assert_allclose(linear, 255 * (1.055 * values ** (1 / 2.4) - 0.055), atol=1.5)
    (note,) = images.notes(tmp_path / "picture.png")
    assert note == "its colours were converted to sRGB from those that it tells (gAMA)"


def test_chromaticities_mean_what_the_profile_of_the_same_primaries_means(tmp_path):
    plain = encoded(scene(), "PNG")
    told = opened(tmp_path, with_chunks(plain, places_chunk(*P3_PLACES), gamma_chunk(1 / 1.8)))
    there = encoded(scene(), "PNG", icc_profile=profile(P3, gamma=1.8))
    assert np.abs(told - opened(tmp_path, there)).max() <= 2
    assert np.abs(told - np.asarray(scene())).mean() > 4
    srgb = places_chunk(0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
    np.testing.assert_array_equal(opened(tmp_path, with_chunks(plain, srgb)), np.asarray(scene()))


def test_code_points_come_first_then_a_profile_then_srgb_then_gamma(tmp_path):
    plain = encoded(scene(), "PNG")
    icc = chunk(b"iCCP", b"wide\0\0" + zlib.compress(profile(ADOBE)))
    srgb, cicp = chunk(b"sRGB", b"\0"), chunk(b"cICP", bytes([12, 13, 0, 1]))
    linear = gamma_chunk(1.0)

    def read(*chunks: bytes) -> np.ndarray:
        return opened(tmp_path, with_chunks(plain, *chunks))

    np.testing.assert_array_equal(read(srgb, linear), np.asarray(scene()))
    np.testing.assert_array_equal(read(icc, srgb, linear), read(icc))
    np.testing.assert_array_equal(read(icc, linear, cicp), read(cicp))
    assert np.abs(read(icc) - np.asarray(scene())).mean() > 2
    np.testing.assert_array_equal(
        read(chunk(b"cICP", bytes([1, 13, 0, 1])), icc), np.asarray(scene())
    )


@pytest.mark.parametrize(
    ("chunks", "reason"),
    [
        ([chunk(b"iCCP", b"x\0\0" + zlib.compress(b"no profile"))], "cannot open profile"),
        ([chunk(b"iCCP", b"x\0\0no zlib")], "it is damaged"),
        ([chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(2**26)))], "more than 33,554,432 bytes"),
        ([chunk(b"gAMA", bytes(4))], "a gamma of 0"),
        ([chunk(b"cHRM", bytes(32))], "has no brightness"),
        ([chunk(b"gAMA", b"\1")], "4 bytes"),
        ([chunk(b"cICP", bytes([9, 16, 0, 1]))], "HDR"),
        ([chunk(b"cICP", b"")], "2 bytes"),
    ],
)
def test_a_damaged_profile_is_left_aside_and_said(chunks, reason, tmp_path):
    tracemalloc.start()
    got = opened(tmp_path, with_chunks(encoded(scene(), "PNG"), *chunks))
    assert tracemalloc.get_traced_memory()[1] < 2**27
    tracemalloc.stop()
    np.testing.assert_array_equal(got, np.asarray(scene()))
    (note,) = images.notes(tmp_path / "picture.png")
    assert note.startswith("its colour profile cannot be read and was left aside (")
    assert reason in note


def test_a_profile_of_other_inks_than_the_pixels_is_left_aside_and_said(tmp_path):
    data = encoded(scene(), "PNG", icc_profile=ink_profile((150, 190, 90)))
    np.testing.assert_array_equal(opened(tmp_path, data), np.asarray(scene()))
    (note,) = images.notes(tmp_path / "picture.png")
    assert note == "its colour profile (ink, CMYK) does not fit its pixels (RGB) and was left aside"
