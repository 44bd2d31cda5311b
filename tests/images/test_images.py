"""images: golden digests, the one way in, and a table of bad files, each with its sentence."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import os
import random
import struct
import warnings
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from workbench import images
from workbench.images import ImageError, open_image

RED, WHITE = (255, 0, 0), (255, 255, 255)
pictures = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))


def noise(height: int = 24, width: int = 16, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """Write a PNG by hand, with what Pillow cannot write (16-bit colour, absurd sizes)."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = [chunk(b"IHDR", head), *(chunk(e[:4], e[4:]) for e in extra)]
    chunks += [chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def opened(folder: Path, data: bytes, name: str = "picture.png") -> Image.Image:
    (folder / name).write_bytes(data)
    return open_image(folder / name)


# What a picture is


def test_digest_is_sha256_of_size_and_bytes() -> None:
    image = Image.new("RGB", (3, 2), (1, 2, 3))
    plain = bytes([0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 2]) + bytes([1, 2, 3]) * 6
    assert images.digest(image) == hashlib.sha256(plain).hexdigest()
    assert (
        images.digest(image) == "cd0829dd493f1bde1ec9d44577d0c2f673c1b7c2c99d7e19cbd1e9fe5b55f540"
    )
    assert images.digest(image) != images.digest(Image.new("RGB", (2, 3), (1, 2, 3)))
    with pytest.raises(ValueError, match=r"^a picture must be RGB here, not L; see images.open_"):
        images.digest(Image.new("L", (3, 2)))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "PPM", "GIF"])
def test_the_same_pixels_are_the_same_picture_in_every_lossless_kind(kind: str, tmp_path) -> None:
    image = Image.fromarray(noise() // 64 * 85)  # at most 64 colours, which a GIF can hold
    options = {"lossless": True} if kind == "WEBP" else {}
    stored = image.convert("P", palette=Image.Palette.ADAPTIVE) if kind == "GIF" else image
    again = opened(tmp_path, encoded(stored, kind, **options))
    assert images.digest(again) == images.digest(image)
    assert images.image_id(tmp_path / "picture.png")[0] == images.digest(image)


@settings(deadline=None)
@given(pictures)
def test_png_bytes_are_lossless(pixels: np.ndarray) -> None:
    image = Image.fromarray(pixels)
    assert images.digest(images.decode(images.png_bytes(image))) == images.digest(image)


@settings(deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(4))))
def test_alpha_lies_over_white(pixels: np.ndarray) -> None:
    got = np.asarray(images.decode(encoded(Image.fromarray(pixels), "PNG"))).astype(float)
    alpha = pixels[..., 3:] / 255
    np.testing.assert_allclose(got, pixels[..., :3] * alpha + 255 * (1 - alpha), atol=0.5001)
    assert (got[pixels[..., 3] == 0] == 255).all()


def test_16_bits_are_scaled_not_clipped(tmp_path) -> None:
    values = np.array([[0, 255, 256, 0x1234], [0x8000, 0x80FF, 0xFF00, 0xFFFF]], dtype=">u2")
    rows = b"".join(b"\0" + line.tobytes() for line in values)
    grey = opened(tmp_path, png(4, 2, 16, 0, rows))
    rows = b"".join(b"\0" + np.repeat(line, 3).astype(">u2").tobytes() for line in values)
    colour = opened(tmp_path, png(4, 2, 16, 2, rows))
    upper = [[0, 0, 1, 0x12], [0x80, 0x80, 0xFF, 0xFF]]
    np.testing.assert_array_equal(np.asarray(grey)[..., 0], upper)
    assert images.digest(grey) == images.digest(colour)
    tiff = opened(tmp_path, encoded(Image.fromarray(values.astype(np.uint16)), "TIFF"), "x.tiff")
    pgm = opened(tmp_path, b"P5 4 2 65535\n" + values.tobytes(), "x.pgm")
    assert images.digest(tiff) == images.digest(pgm) == images.digest(grey)


def test_a_transparent_grey_of_16_bits_is_white(tmp_path) -> None:
    rows = b"\0" + np.array([0x1234, 0x1235], dtype=">u2").tobytes()
    image = opened(tmp_path, png(2, 1, 16, 0, rows, b"tRNS\x12\x34"))
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [WHITE, (0x12,) * 3]


@pytest.mark.parametrize(
    ("stored", "options", "expected"),
    [
        (Image.new("1", (2, 2), 1), {}, WHITE),
        (Image.new("L", (2, 2), 9), {}, (9, 9, 9)),
        (Image.new("LA", (2, 2), (9, 0)), {}, WHITE),
        (Image.new("LA", (2, 2), (9, 255)), {}, (9, 9, 9)),
        (Image.new("RGBA", (2, 2), (0, 0, 0, 0)), {}, WHITE),
        (Image.new("RGB", (2, 2), RED), {"transparency": RED}, WHITE),
        (Image.new("L", (2, 2), 9), {"transparency": 9}, WHITE),
        (Image.new("P", (2, 2), 3), {"transparency": 3}, WHITE),
        (Image.new("P", (2, 2), 3), {"transparency": bytes([255, 255, 255, 0])}, WHITE),
        (Image.new("1", (2, 2), 0), {"transparency": 0}, WHITE),
    ],
)
def test_every_mode_becomes_rgb_over_white(stored, options, expected, tmp_path) -> None:
    if stored.mode == "P":
        stored.putpalette([0, 0, 0] * 3 + [255, 0, 0])
    image = opened(tmp_path, encoded(stored, "PNG", **options))
    assert image.mode == "RGB"
    assert image.getpixel((1, 1)) == expected


def test_cmyk_jpeg_keeps_its_colours(tmp_path) -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    image = opened(tmp_path, encoded(red, "JPEG", quality=100), "x.jpg")
    np.testing.assert_allclose(np.asarray(image)[8, 8], RED, atol=3)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_is_its_first_frame(kind: str, tmp_path) -> None:
    first, second = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), (0, 0, 255))
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(first, kind, save_all=True, append_images=[second], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 2
    assert images.digest(opened(tmp_path, data)) == images.digest(first)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_turns_the_picture(kind: str, turn: int, tmp_path) -> None:
    corners = np.zeros((16, 32, 3), dtype=np.uint8)
    corners[:8, :16] = RED  # red is top left, as EXIF's value 1 has it
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = turn
    lying = Image.fromarray(np.ascontiguousarray(undo[turn](corners)))
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0}
    image = opened(tmp_path, encoded(lying, kind, exif=exif, **options))
    assert image.size == (32, 16)
    np.testing.assert_allclose(np.asarray(image), corners, atol=4)


def test_broken_exif_does_not_matter(tmp_path) -> None:
    image = Image.fromarray(noise())
    data = encoded(image, "PNG", exif=b"Exif\0\0MM\0\x2a\0\0\0\x08\xff\xff garbage")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow's remarks stay inside
        assert images.digest(opened(tmp_path, data)) == images.digest(image)


@pytest.mark.parametrize(
    "name",
    [
        'it\'s "quoted".png',
        "two\nlines\tand a tab.png",
        "<img src=x onerror=alert(1)>.png",
        "naïve Bär 🐻.png",
        "-rf.png",
        "no extension",
        "wrong.jpg",
        b"not \xff utf-8.png",
    ],
)
def test_a_name_is_only_a_name(name: str | bytes, tmp_path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + os.fsencode(name)))
    image = Image.fromarray(noise())
    path.write_bytes(images.png_bytes(image))
    kept: list[str] = []
    table = images.frame(images.index([path], keep=lambda seen: kept.append(images.digest(seen))))
    assert table.image_id.tolist() == kept == [images.digest(image)]
    assert table.failure.isna().all()
    table.path.str.encode("utf-8")


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (64, 64), (65, 64), (7, 5)])
def test_any_size_fits(size: tuple[int, int], tmp_path) -> None:
    image = opened(tmp_path, encoded(Image.new("RGB", size, RED), "PNG"))
    assert image.size == size
    small = images.fit(image, 64)
    assert small.size == (64, 64)
    assert small.getcolors() == [(64 * 64, RED)]


# What is none


@cache
def bad_files() -> dict[str, tuple[bytes, str]]:
    """Name → the file's bytes and the sentence they deserve."""
    picture = Image.fromarray(noise(200, 200))
    damaged = r"the picture is damaged or cut short \(.+\)"
    unknown = r"it is not a picture of a known kind \(PNG, JPEG, .+\)"
    cut = {
        f"{kind} cut at {part:.0%}": (data[: int(len(data) * part)], damaged)
        for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
        for data in [encoded(picture, kind)]
        for part in (0.5, 0.9)
    }
    good = encoded(picture, "PNG")
    middle = len(good) // 2
    return cut | {
        "empty": (b"", "the file is empty"),
        "text": (b"this is no picture, but its name ends with .png", unknown),
        "only a head": (b"\x89PNG\r\n\x1a\n", unknown + "|" + damaged),
        "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', unknown),
        "pdf": (b"%PDF-1.7\n", unknown),
        "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", unknown),
        "html": (b"<html><script>alert(1)</script></html>", unknown),
        "zip": (b"PK\x03\x04" + bytes(100), unknown),
        "random": (random.Random(0).randbytes(5000), unknown),
        "damaged inside": (good[:middle] + b"damage" + good[middle + 6 :], damaged),
        "no pixels": (png(0, 5, 8, 2, b""), "it has no pixels.*|" + damaged + "|" + unknown),
        "a bomb": (
            png(100_000, 1_000, 1, 0, bytes(12_501 * 1_000)),
            "it has 100000×1000 pixels, more than the 80,000,000 that are opened",
        ),
        "a huge bomb": (
            png(2**31 - 1, 2**31 - 1, 8, 2, b""),
            "it has far more than the 80,000,000 pixels that are opened",
        ),
        "floats": (
            encoded(Image.fromarray(np.zeros((4, 4), dtype=np.float32)), "TIFF"),
            "its pixels are floating-point numbers; save it with 8 or 16 bits",
        ),
        "32 bits": (
            encoded(Image.fromarray(np.full((4, 4), 2**20, dtype=np.int32)), "TIFF"),
            "its pixels have more than 16 bits; save it with 8 or 16 bits",
        ),
    }


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", bad_files())
def test_a_bad_file_gets_its_sentence_and_the_id_of_its_bytes(name: str, tmp_path) -> None:
    data, sentence = bad_files()[name]
    path = tmp_path / "suspect.png"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=f"^({sentence})$") as caught:
        open_image(path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    expected = "file:" + hashlib.sha256(data).hexdigest()
    assert images.image_id(path) == (expected, None, str(caught.value))


def path_id(path: Path) -> str:
    return "path:" + hashlib.sha256(os.fsencode(path)).hexdigest()


def test_what_cannot_be_read_gets_its_sentence_and_the_id_of_its_path(tmp_path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "dangling.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "file").write_bytes(b"x")
    sentences = {
        "missing.png": "there is no such file",
        "missing/deeper.png": "there is no such file",
        "folder.png": "it is a folder that holds no picture",
        "dangling.png": "it is a link to a file that does not exist",
        "loop.png": "it could not be read (Too many levels of symbolic links)",
        "pipe.png": "it is not a regular file",
        "file/inside.png": "it could not be read (Not a directory)",
        "x" * 300 + ".png": "it could not be read (File name too long)",
        "null\0.png": "it cannot be a path (embedded null byte)",
    }
    for name, sentence in sentences.items():
        path = tmp_path / name
        assert images.image_id(path) == (path_id(path), None, sentence)
    told = images.image_id("https://example.org/cat.png")[2]
    assert told == "nothing is fetched: save the picture, and give its path"


def as_nobody(question) -> str:
    """Return in a child that may not do everything, as root may."""
    if os.getuid() != 0:
        return question()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setuid(65534)
            os.write(writing, question().encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as answer:
        return answer.read()


def test_no_permission(tmp_path) -> None:
    for parent in [tmp_path, *tmp_path.parents[:3]]:
        parent.chmod(0o755)
    path, folder = tmp_path / "secret.png", tmp_path / "closed"
    path.write_bytes(images.png_bytes(Image.new("RGB", (2, 2))))
    folder.mkdir()
    path.chmod(0)
    folder.chmod(0)
    images.image_id(path)  # Pillow's plug-ins are imported before rights are given up
    assert as_nobody(lambda: repr(images.image_id(path))) == repr(
        (path_id(path), None, "there is no permission to read it")
    )
    found = as_nobody(lambda: repr([(e.path.name, e.failure) for e in images.index([tmp_path])]))
    folder.chmod(0o755)
    assert found == repr(
        [
            ("closed", "there is no permission to read this folder"),
            ("secret.png", "there is no permission to read it"),
        ]
    )


def test_no_memory_is_a_sentence_too(tmp_path, monkeypatch) -> None:
    def starved(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", starved)
    with pytest.raises(ImageError, match=r"^there is not enough memory to open it$"):
        opened(tmp_path, b"x")


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "TIFF"]), st.randoms(use_true_random=False))
def test_damage_gives_a_picture_or_a_sentence_but_never_a_crash(kind: str, chance) -> None:
    data = bytearray(encoded(Image.fromarray(noise()), kind))
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    with contextlib.suppress(ImageError):
        assert images.decode(bytes(data[: chance.randint(1, len(data))])).mode == "RGB"


# Finding


def test_the_same_pixels_are_one_row_but_every_path_is_answered(tmp_path) -> None:
    image = Image.fromarray(noise())
    (tmp_path / "a.png").write_bytes(encoded(image, "PNG"))
    (tmp_path / "b.bmp").write_bytes(encoded(image, "BMP"))
    (tmp_path / "c.png").write_bytes(b"no picture")
    (tmp_path / "d.png").write_bytes(b"no picture")
    entries = images.index([tmp_path, tmp_path / "e.png"])
    assert [entry.path.name for entry in entries] == ["a.png", "b.bmp", "c.png", "d.png", "e.png"]
    table = images.frame(entries)
    assert [Path(path).name for path in table.path] == ["a.png", "c.png", "e.png"]
    assert table.failure.isna().tolist() == [True, False, False]
    assert table.attack.tolist() == ["none"] * 3
    assert {entry.image_id for entry in entries} == set(table.image_id)


# The one resize path


def test_fit_is_pillows_antialiased_bicubic_of_the_centred_square() -> None:
    image = Image.fromarray(noise(90, 61))
    square = image.crop((0, 14, 61, 75))
    expected = square.resize((16, 16), Image.Resampling.BICUBIC)
    assert images.digest(images.fit(image, 16)) == images.digest(expected)
    assert images.fit(expected, 16) is expected
    assert (
        images.digest(images.fit(image, 16))
        == "219eee775317a46c4c4e13db7d8a92b6de404611f0554df94066e72ae4dbce91"
    )
    with pytest.raises(ValueError, match=r"^a size is at least 1 pixel, not 0$"):
        images.fit(image, 0)


def test_fit_agrees_with_torch() -> None:
    torch = pytest.importorskip("torch")
    image = Image.fromarray(noise(64, 64))
    tensor = torch.from_numpy(images.array(image)).permute(2, 0, 1)[None]
    other = torch.nn.functional.interpolate(
        tensor, (24, 24), mode="bicubic", antialias=True, align_corners=False
    )
    ours = images.array(images.fit(image, 24))
    np.testing.assert_allclose(ours, other[0].permute(1, 2, 0).clamp(0, 1), atol=2 / 255)


@settings(deadline=None)
@given(pictures)
def test_array_is_in_zero_one(pixels: np.ndarray) -> None:
    values = images.array(Image.fromarray(pixels))
    assert values.dtype == np.float32
    assert values.shape == pixels.shape
    np.testing.assert_array_equal(np.round(values * 255).astype(np.uint8), pixels)


def test_data_uri_holds_a_png_no_larger_than_asked() -> None:
    head, data = images.data_uri(Image.new("RGB", (300, 100), RED), max_side=30).split(",")
    assert head == "data:image/png;base64"
    assert images.decode(base64.b64decode(data)).size == (30, 10)
    assert images.decode(
        base64.b64decode(images.data_uri(Image.new("RGB", (3, 1))).split(",")[1])
    ).size == (3, 1)
