"""What is handed over as a picture: a path, a PIL picture, an array, bytes, a file, or a list."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

import workbench as wb
from tests.images.making import chunk, encoded, profile, scene, to_profile, with_chunks
from workbench import images

DATA = encoded(scene(), "PNG")
PARAMETERS = "a red kettle\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 64x48"


def marked() -> Image.Image:
    """Return a picture as Pillow opens one from memory, with parameters in its text."""
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", PARAMETERS)
    return Image.open(io.BytesIO(encoded(scene(), "PNG", pnginfo=text)))


def digests(given: object) -> list[str]:
    return [entry.image_id for entry in images.index(images.given(given))]


@pytest.mark.parametrize(
    "given",
    [
        scene(),
        scene().convert("RGBA"),
        np.asarray(scene()),
        np.asarray(scene())[:, ::-1][:, ::-1],
        DATA,
        bytearray(DATA),
        memoryview(DATA),
        io.BytesIO(DATA),
        [scene()],
        (np.asarray(scene()),),
        iter([DATA]),
    ],
    ids=lambda given: type(given).__name__,
)
def test_every_form_is_the_same_picture(given):
    assert digests(given) == [images.digest(scene())]


def test_a_path_a_string_and_an_array_of_strings_are_paths(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(DATA)
    for given in (path, str(path), [str(path)], np.array([str(path)]), (p for p in [path])):
        assert images.given(given) == [path]
    with path.open("rb") as file:
        assert [entry.image_id for entry in images.index(images.given(file))] == digests(path)


def test_what_is_no_path_is_named_by_its_place():
    entries = images.index(images.given([DATA, np.asarray(scene()), scene()]))
    assert [images.written(entry.path) for entry in entries] == [f"picture {n}" for n in (1, 2, 3)]


def test_a_file_object_is_read_from_its_start_and_left_where_it_was():
    file = io.BytesIO()
    scene().save(file, "PNG")
    place = file.tell()
    assert digests(file) == [images.digest(scene())]
    assert file.tell() == place


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "I", "CMYK", "YCbCr", "HSV"])
def test_a_pil_picture_of_every_mode_is_what_its_file_would_be(mode):
    picture = scene().convert("L" if mode.startswith("I") else mode)
    if mode.startswith("I"):
        pixels = np.asarray(picture).astype(np.uint16 if mode == "I;16" else np.int32) * 257
        picture = Image.fromarray(pixels)
    want = scene().convert("L").convert("RGB") if mode.startswith("I") else picture.convert("RGB")
    assert digests(picture) == [images.digest(want)]


def test_the_profile_and_the_turn_of_a_pil_picture_count():
    wide = profile()
    exif = Image.Exif()
    exif[0x0112] = 3
    data = encoded(to_profile(scene(), wide), "PNG", icc_profile=wide, exif=exif)
    assert digests(Image.open(io.BytesIO(data))) == digests(data) != digests(scene())


def test_the_gamma_and_the_primaries_of_a_pil_picture_count():
    places = [0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06]
    numbers = struct.pack(">8I", *(round(each * 100_000) for each in places))
    told = chunk(b"gAMA", struct.pack(">I", 55_556)) + chunk(b"cHRM", numbers)
    data = with_chunks(DATA, told)
    assert digests(Image.open(io.BytesIO(data))) == digests(data) != digests(scene())


def test_of_an_untouched_pil_picture_the_file_is_looked_into_and_of_another_its_pixels(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(scene(), "JPEG"))
    picture = Image.open(path)
    assert images.given(picture) == [path]
    picture.paste((255, 0, 0), (0, 0, 9, 9))
    (other,) = images.given(picture)
    assert other.name == "picture 1"
    assert images.decode(other.data).getpixel((4, 4)) == (255, 0, 0)


ONE = "a picture is given as a path, a PIL picture, an .H, W, 3. uint8 array, bytes, a file object "
ONE += "opened for bytes, or a list of these; seen "
ARRAY = r"an array of pixels is .H, W, 3. uint8, red, green and blue; seen "


@pytest.mark.parametrize(
    ("given", "kind", "sentence"),
    [
        (3, TypeError, ONE + "int"),
        (None, TypeError, ONE + "NoneType"),
        ({"a": 1}, TypeError, ONE + "dict"),
        ([Path("a"), 3.5], TypeError, ONE + "float"),
        ([[DATA]], TypeError, ONE + "list"),
        (
            io.StringIO("x"),
            TypeError,
            r"a file object is opened for bytes \('rb'\); reading gave str",
        ),
        (np.zeros((4, 4, 3)), ValueError, ARRAY + "4×4×3 of float64"),
        (np.zeros((4, 4), np.uint8), ValueError, ARRAY + "4×4 of uint8"),
        (np.zeros((4, 4, 4), np.uint8), ValueError, ARRAY + "4×4×4 of uint8"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, ARRAY + "0×4×3 of uint8"),
        (np.uint8(3) + np.zeros((), np.uint8), TypeError, ONE + "numpy.uint8"),
        (Image.new("RGB", (0, 3)), ValueError, "a PIL picture has pixels; seen 0×3"),
    ],
)
@pytest.mark.parametrize("job", [wb.attribute, wb.inspect], ids=["attribute", "inspect"])
def test_anything_else_gets_one_sentence(job, given, kind, sentence):
    with pytest.raises(kind, match=f"^{sentence}$"):
        job(given)


@pytest.mark.parametrize(
    "url",
    ["https://example.org/a.png", "HTTP://example.org/a.png", "s3://bucket/a.png", "file:///a.png"],
)
def test_a_url_is_not_fetched_and_told(url):
    (entry,) = images.index(images.given(url))
    assert entry.failure == "nothing is fetched: save the picture, and give its path"
    found = wb.inspect([url])
    assert found["text"].tolist() == [
        "It cannot be opened: nothing is fetched: save the picture, and give its path."
    ]


def test_empty_or_broken_bytes_are_a_row_that_tells_why():
    entries = images.index(images.given([b"", b"text", scene().convert("F")]))
    failures = [entry.failure for entry in entries]
    assert failures[0] == "the file is empty"
    assert failures[1].startswith("it is not a picture of a known kind (PNG, ")
    assert failures[2] == "its pixels are floating-point numbers; save it with 8 or 16 bits"
    assert [entry.image_id[:5] for entry in entries] == ["file:"] * 3


def test_inspect_takes_every_form_and_tells_what_each_carries(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(DATA)
    found = wb.inspect([path, marked(), np.asarray(scene()), DATA])
    assert found["path"].drop_duplicates().tolist() == [
        str(path), "picture 2", "picture 3", "picture 4",
    ]  # fmt: skip
    prompts = found.loc[found["kind"] == "parameters"].set_index("path")["prompt"]
    assert prompts["picture 2"] == "a red kettle"
    assert prompts.isna().sum() == 3


def test_attribute_takes_every_form(tiny, store):
    given = [marked(), np.asarray(scene()), DATA]
    result = wb.attribute(given, gamma=1, store=store)
    names = [name for name, _ in result.paths]
    assert names == ["picture 1", "picture 2", "picture 3"]
    assert {image_id for _, image_id in result.paths} == {images.digest(scene())}
    assert result.attributions["predicted"].notna().all()
    assert result.images["path"].isna().all()
    assert [record["error"] for record in result.records()] == [None] * 3


def test_warnings_of_libraries_do_not_reach_the_caller(caplog):
    exif = b"Exif\0\0II*\0\x08\0\0\0\x09\0" + b"\x0e\x01\x02\0\x28\0\0\0\x28\x23\0\0"
    data = encoded(scene(), "JPEG")
    size = (len(exif) + 2).to_bytes(2, "big")
    data = data[:2] + b"\xff\xe1" + size + exif + data[2:]
    with warnings.catch_warnings(record=True) as seen, caplog.at_level("DEBUG", "workbench.quiet"):
        warnings.simplefilter("always")
        wb.inspect(data)
    assert seen == []
    assert any("EXIF" in message for message in caplog.messages)
