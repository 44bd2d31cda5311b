"""What was done to a picture last is estimated, and done to another."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.evidence.making import bytes_of
from workbench import images
from workbench.evidence import treatment
from workbench.evidence.treatment import KERNELS, Treatment, enlargement, estimate, of_tables
from workbench.paths import data_folder


def scene(seed: int, side: int = 256) -> Image.Image:
    """Paint smooth shapes and edges under the grain of a sensor: detail at every scale."""
    rng = np.random.default_rng(seed)
    value = np.zeros((side, side, 3))
    for cells in (4, 8, 16, 32, 64, side):
        coarse = rng.random((cells, cells, 3)).astype(np.float32)
        grown = [
            np.asarray(Image.fromarray(c).resize((side, side), Image.Resampling.BICUBIC))
            for c in np.moveaxis(coarse, 2, 0)
        ]
        value += np.stack(grown, axis=2) * (40 if cells < side else 12)
    value += 60 * (value[..., :1] > value[..., :1].mean())
    return Image.fromarray((value - value.min()).clip(0, 255).astype(np.uint8))


SCENES = [scene(seed) for seed in range(6)]


def ours() -> list[Image.Image]:
    """Open a third of the 112 pictures that come with the project, none of them ever treated."""
    files = [p for name in ("samples", "world") for p in (data_folder() / name).glob("*.png")]
    return [Image.open(path).convert("RGB") for path in sorted(files)[::3]]


def compressed(picture: Image.Image, quality: int) -> Image.Image:
    return Image.open(io.BytesIO(bytes_of(picture, "JPEG", quality=quality))).convert("RGB")


def again(picture: Image.Image, factor: float, kernel: str = "bicubic") -> Image.Image:
    by = Image.Resampling[kernel.upper()]
    sides = [max(round(side * factor), 1) for side in picture.size]
    return picture.resize(tuple(sides), by).resize(picture.size, by)


@pytest.mark.parametrize("quality", [50, 60, 70, 80, 90])
def test_the_quality_of_a_jpeg_saved_as_png_is_found_within_three(quality):
    found = [estimate(compressed(picture, quality)) for picture in SCENES]
    assert max(abs(each.quality - quality) for each in found) <= 3
    assert {each.inner for each in found} == {None}


@pytest.mark.parametrize("quality", [50, 70, 90])
def test_at_64_pixels_the_quality_of_all_of_ours_is_still_found(quality):
    small = ours()
    found = [estimate(compressed(picture, quality)).quality for picture in small]
    assert {picture.size for picture in small} == {(64, 64)}
    assert sum(each is not None and abs(each - quality) <= 3 for each in found) == len(small) == 38


def test_nothing_is_found_where_nothing_was_done():
    assert all(each.plain for each in map(estimate, [*SCENES, *ours()]))
    assert estimate(Image.new("RGB", (64, 64), "teal")) == Treatment(64)
    assert estimate(Image.new("RGB", (5, 7))) == Treatment(5)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("factor", [0.35, 0.5, 0.75, 0.9])
def test_the_size_before_an_enlargement_is_found_with_its_filter(factor, kernel):
    for picture in SCENES[:3]:
        found = estimate(again(picture, factor, kernel))
        assert (found.inner, found.kernel) == (round(256 * factor), kernel)


def test_a_picture_enlarged_once_is_like_one_made_smaller_first():
    small = SCENES[0].resize((160, 200), Image.Resampling.LANCZOS)
    assert enlargement(small.resize((240, 300), Image.Resampling.BICUBIC)) == (2 / 3, "bicubic")
    assert enlargement(SCENES[0].resize((200, 200), Image.Resampling.BICUBIC)) is None
    assert enlargement(SCENES[0].crop((0, 0, 256, 31))) is None
    assert enlargement(again(scene(0, 64), 0.9)) is None  # too little is left free


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("height", "size"), [(64, 32), (100, 37), (256, 200)])
def test_the_matrix_of_a_filter_is_pillows(kernel, height, size):
    ones = Image.fromarray(np.eye(size, dtype=np.float32))
    grown = np.asarray(ones.resize((size, height), Image.Resampling[kernel.upper()]))
    matrix, band = treatment._enlarging(height, size, kernel)
    assert np.abs(matrix.toarray() - grown).max() < 1e-6
    gram = matrix.toarray().T @ matrix.toarray()
    width = len(band) - 1
    for offset in range(width + 1):
        assert np.allclose(band[width - offset, offset:], np.diagonal(gram, offset))
    assert np.allclose(np.triu(gram, width + 1), 0)


@pytest.mark.parametrize("quality", [30, 70, 95, 100])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_a_jpeg_file_tells_its_quality_by_its_tables(quality, subsampling):
    data = bytes_of(SCENES[0], "JPEG", quality=quality, subsampling=subsampling)
    assert of_tables(data) == (quality, subsampling)
    assert estimate(SCENES[0], data) == Treatment(256, quality=quality, subsampling=subsampling)
    assert of_tables(bytes_of(SCENES[0], "PNG")) is None
    assert of_tables(data[:20]) is None
    assert of_tables(b"") is None


def test_another_picture_goes_the_same_way():
    other = SCENES[1]
    assert images.digest(Treatment(256)(other)) == images.digest(other)
    done = Treatment(256, quality=70)(other)
    assert images.digest(done) == images.digest(
        Image.open(io.BytesIO(bytes_of(other, "JPEG", quality=70, subsampling="4:2:0")))
    )
    resized = Treatment(256, 128)(other)
    assert images.digest(resized) == images.digest(again(other, 0.5))
    assert Treatment(100, 40, "lanczos", 50)(other.crop((0, 0, 256, 180))).size == (100, 100)
    assert estimate(done).quality == 70
    assert estimate(resized).inner == 128


def test_a_treatment_says_what_it_does():
    assert Treatment(64).plain
    assert not Treatment(64, quality=90).plain
    assert repr(Treatment(64, 32, "lanczos")) == 'Treatment(64, inner=32, kernel="lanczos")'
    assert Treatment(64, 32, quality=70).sentence() == (
        "As the picture seems to have been, candidates were brought to 32 pixels a side and "
        "enlarged to 64 and compressed with JPEG of quality 70"
    )
    assert Treatment(64).sentence().endswith("candidates stay as drawn")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"kernel": "box"}, r"^no filter 'box'; there are: bicubic, bilinear, lanczos$"),
        ({"quality": 0}, r"^the quality of JPEG runs from 1 to 100; seen 0$"),
        ({"inner": 0}, r"^a size is at least 1 pixel; seen 64 and 0$"),
    ],
)
def test_what_cannot_be_done_is_refused(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        Treatment(64, **fields)
