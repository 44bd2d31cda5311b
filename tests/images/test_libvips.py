"""Odd files are opened as libvips opens them: another library, with codecs of its own.

Where the two differ, `WHY` says by how much and why; what libvips leaves undone (gAMA, CMYK without
a profile) is done to its raw pixels by the formula of the standard. Its wheel reads no HEIC, LAB
TIFF or JPEG 2000.
"""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image

from tests.images.making import (
    ADOBE,
    chunk,
    encoded,
    grey_profile,
    ink_profile,
    png,
    profile,
    scene,
    to_profile,
    with_chunks,
)
from workbench import images

HEIGHT, WIDTH = 48, 64
ROUNDING = "libvips cuts the fraction where a colour is laid over white; here it is rounded"
STEPS = "Little CMS is called with other intermediate steps: colours may round to the next one"
CHROMA = "libheif and libavif interpolate halved chroma differently"
MATRIX = "libheif and libavif round YCbCr to RGB differently"
WHY: dict[str, tuple[int, str]] = {
    "png, 16-bit grey and alpha": (1, ROUNDING),
    "png, palette with alpha": (1, ROUNDING),
    "png, alpha": (1, ROUNDING),
    "webp, alpha": (1, ROUNDING),
    "tiff, alpha": (1, ROUNDING),
    "tiff, alpha that is multiplied in": (1, ROUNDING),
    "png, Display P3": (1, STEPS),
    "png, Adobe RGB": (1, STEPS),
    "png, profile of grey": (1, STEPS),
    "jpeg, Display P3": (1, STEPS),
    "avif, 4:2:0": (4, CHROMA),
    "avif, 4:4:4": (1, MATRIX),
}
"""The largest difference in a channel, of 255, and its reason; any other file has none at all."""


def raw_png(bits: int, colour: int, samples: np.ndarray, *extra: bytes) -> bytes:
    """Write samples, (H, W) or (H, W, C), as rows of a PNG."""
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    return png(WIDTH, HEIGHT, bits, colour, rows, *extra)


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def files() -> dict[str, bytes]:
    """Write the odd files, by Pillow, tifffile, libvips, or by hand."""
    chance, smooth = np.random.default_rng(3), scene(HEIGHT, WIDTH)
    noise = chance.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    deep = (x * 1000 + y * 13).astype(np.uint16)
    colour = np.dstack([deep, deep[::-1], 65535 - deep])
    clear, few = smooth.copy(), smooth.quantize(32)
    clear.putalpha(Image.fromarray((x * 4).astype(np.uint8)))
    wide, adobe, inks = profile(), profile(ADOBE), ink_profile((150, 190, 90))
    covered = np.asarray(clear).astype(float)
    covered[..., :3] *= covered[..., 3:] / 255
    covered = covered.round().astype(np.uint8)
    one = struct.pack(">H", int(deep[5, 5]))
    return {
        "png": encoded(Image.fromarray(noise), "PNG"),
        "png, interlaced": pyvips.Image.new_from_array(noise).write_to_buffer(".png", interlace=1),
        "png, 1 bit": encoded(smooth.convert("1"), "PNG"),
        "png, 2 bits": raw_png(2, 0, noise[:, : WIDTH // 4, 0]),
        "png, palette": encoded(few, "PNG"),
        "png, palette with alpha": encoded(few, "PNG", transparency=bytes(range(0, 256, 8))),
        "png, 16-bit grey": raw_png(16, 0, deep.astype(">u2")),
        "png, 16-bit RGB": raw_png(16, 2, colour.astype(">u2")),
        "png, 16-bit grey and alpha": raw_png(16, 4, np.dstack([deep, deep[::-1]]).astype(">u2")),
        "png, tRNS of grey": encoded(smooth.convert("L"), "PNG", transparency=120),
        "png, tRNS of RGB": encoded(smooth, "PNG", transparency=smooth.getpixel((9, 9))),
        "png, tRNS of 16-bit grey": raw_png(16, 0, deep.astype(">u2"), chunk(b"tRNS", one)),
        "png, alpha": encoded(clear, "PNG"),
        "png, gAMA of sRGB": gamma(45_455),
        "png, Display P3": encoded(to_profile(smooth, wide), "PNG", icc_profile=wide),
        "png, Adobe RGB": encoded(to_profile(smooth, adobe), "PNG", icc_profile=adobe),
        "png, profile of grey": encoded(smooth.convert("L"), "PNG", icc_profile=grey_profile(1.8)),
        **{f"jpeg, {each}": encoded(smooth, "JPEG", subsampling=each, quality=80)
           for each in ("4:4:4", "4:2:2", "4:2:0")},
        **{f"jpeg, turned {way}": encoded(smooth, "JPEG", exif=turned(way)) for way in range(1, 9)},
        "jpeg, progressive": encoded(Image.fromarray(noise), "JPEG", progressive=True),
        "jpeg, grey": encoded(smooth.convert("L"), "JPEG"),
        "jpeg, CMYK with a profile": encoded(smooth.convert("CMYK"), "JPEG", icc_profile=inks),
        "jpeg, Display P3": encoded(to_profile(smooth, wide), "JPEG", icc_profile=wide),
        "webp, lossy": encoded(smooth, "WEBP", quality=70),
        "webp, lossless": encoded(Image.fromarray(noise), "WEBP", lossless=True),
        "webp, alpha": encoded(clear, "WEBP", lossless=True),
        "gif": encoded(few, "GIF"),
        "tiff, LZW": encoded(smooth, "TIFF", compression="tiff_lzw"),
        "tiff, JPEG": encoded(smooth, "TIFF", compression="jpeg", quality=90),
        "tiff, palette": encoded(few, "TIFF"),
        "tiff, planar": tiff(np.moveaxis(noise, -1, 0), photometric="rgb", planarconfig="separate"),
        "tiff, 16-bit RGB": tiff(colour, photometric="rgb"),
        "tiff, 16-bit planar": tiff(
            np.moveaxis(colour, -1, 0), photometric="rgb", planarconfig="separate"
        ),
        "tiff, 16-bit grey": tiff(deep, photometric="minisblack"),
        "tiff, white is zero": tiff(noise[..., 0], photometric="miniswhite"),
        "tiff, 16 bits, white is zero": tiff(deep, photometric="miniswhite"),
        "tiff, alpha": tiff(np.asarray(clear), photometric="rgb", extrasamples=["unassalpha"]),
        "tiff, alpha that is multiplied in": tiff(
            covered, photometric="rgb", extrasamples=["assocalpha"]
        ),
        "avif, 4:2:0": encoded(smooth, "AVIF", quality=80),
        "avif, 4:4:4": encoded(smooth, "AVIF", quality=90, subsampling="4:4:4"),
    }  # fmt: skip


def turned(way: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = way
    return exif


def gamma(value: int) -> bytes:
    """Write a PNG that tells its exponent, in hundred thousandths."""
    return with_chunks(
        encoded(scene(HEIGHT, WIDTH), "PNG"), chunk(b"gAMA", struct.pack(">I", value))
    )


def ours(data: bytes) -> np.ndarray:
    return np.asarray(images.decode(data)).astype(int)


def theirs(data: bytes) -> np.ndarray:
    """Open as libvips does: turned, in sRGB (perceptual), over white, 8 bits."""
    found = pyvips.Image.new_from_buffer(data, "").autorot()
    if found.get_typeof("icc-profile-data"):
        found = found.icc_transform("srgb", intent="perceptual", embedded=True)
    elif found.format != "uchar":
        found = found.colourspace("srgb")
    if found.hasalpha():
        found = found.flatten(background=[255] * (found.bands - 1))
    pixels = found.colourspace("srgb").cast("uchar").numpy().astype(int)
    return pixels.reshape(*pixels.shape[:2], -1)


FILES = files()


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_opened_as_by_libvips_but_for_what_is_explained(name):
    one, two = ours(FILES[name]), theirs(FILES[name])
    assert one.shape == two.shape == (*one.shape[:2], 3)
    most, why = WHY.get(name, (0, ""))
    assert np.abs(one - two).max() <= most
    if why == ROUNDING:
        assert ((one - two) >= 0).all()


def test_every_explanation_is_of_a_difference_that_there_is():
    differ = {name for name, data in FILES.items() if (ours(data) != theirs(data)).any()}
    assert differ == WHY.keys()


@pytest.mark.parametrize("value", [100_000, 55_556])
def test_a_gamma_that_libvips_leaves_aside_is_applied_by_the_formula_of_png(value):
    data = gamma(value)
    linear = (theirs(data) / 255) ** (100_000 / value)
    low = linear <= 0.0031308
    wanted = 255 * np.where(low, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(ours(data) - wanted).max() <= 1
    assert np.abs(ours(data) - theirs(data)).max() > 10


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_inks_without_a_profile_go_by_the_plain_formula_where_libvips_takes_a_press_for_granted(
    kind,
):
    data = encoded(scene(HEIGHT, WIDTH).convert("CMYK"), kind)
    raw = pyvips.Image.new_from_buffer(data, "").numpy().astype(float)
    wanted = (255 - raw[..., :3]) * (255 - raw[..., 3:]) / 255
    assert np.abs(ours(data) - wanted).max() <= 1
    assert np.abs(ours(data) - theirs(data)).max() > 10
