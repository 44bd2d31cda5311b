"""The invisible watermark of the Stable Diffusion scripts."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage import data

from workbench import evidence
from workbench.evidence.watermark import bits, read_watermark


def test_watermarks_are_named_and_counted(files):
    v1, xl = (evidence.inspect(files / f"watermark-{name}.png")[2] for name in ("v1", "xl"))
    assert v1.source.startswith("Stable Diffusion 1")
    assert "136 of 136 bits" in v1.text
    assert xl.source.startswith("SDXL")
    assert "48 of 48 bits" in xl.text


def unmarked(count: int):
    """Yield pictures without a watermark: photographs, noise, flat ones, ramps, stripes, waves."""
    rng = np.random.default_rng(0)
    photos = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    for number in range(count):
        colours, turn = rng.random((2, 3)) * 255, rng.integers(2)
        across = np.arange(320) / rng.uniform(4, 320) + rng.random()
        if number % 6 == 0:
            photo = photos[rng.integers(4)]
            top, left = (rng.integers(0, side - 256) for side in photo.shape[:2])
            pixels = photo[top : top + 256, left : left + 256]
        elif number % 6 == 1:
            pixels = rng.random((256, 320, 3)) * 255
        else:
            share = [0 * across, across % 1, across % 1 < 0.5, np.sin(across * 6.283) / 2 + 0.5]
            mixed = np.multiply.outer(share[number % 6 - 2], colours[0] - colours[1]) + colours[1]
            pixels = np.broadcast_to(mixed, (256, 320, 3))
        made = np.ascontiguousarray(pixels.swapaxes(0, 1) if turn else pixels)
        yield Image.fromarray(made.astype(np.uint8))


def test_pictures_without_a_watermark_seldom_seem_to_have_one():
    found = [read_watermark(each).state for each in unmarked(24)]
    assert found == ["absent"] * 24


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("size", [(256, 256), (259, 301), (260, 255)])
def test_bits_are_those_that_the_library_reads_block_by_block(size, kind):
    from imwatermark import WatermarkDecoder

    pixels = np.random.default_rng(3).integers(0, 256, (*size, 3)).astype(kind)
    blocks = (size[0] // 8) * (size[1] // 8)
    assert size[0] * size[1] >= 256 * 256
    found = WatermarkDecoder("bits", blocks).decode(pixels, "dwtDct")
    np.testing.assert_array_equal(bits(pixels), found)
