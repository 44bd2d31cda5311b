"""The difference of two pictures: none of the same, what skimage says of others."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity

from workbench.widgets._difference import GAIN, LONGEST, difference


def noise(seed, size=(32, 24)):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_a_picture_differs_in_nothing_from_itself():
    same = difference(noise(0), noise(0))
    assert same.ssim == pytest.approx(1)
    assert same.mean == 0
    assert not np.asarray(same.amplified).any()
    assert not same.resized


def test_a_difference_is_amplified_and_cut_at_white():
    dark, light = (Image.new("RGB", (8, 8), (10, 10, grey)) for grey in (10, 40))
    gap = difference(dark, light)
    assert set(np.asarray(gap.amplified)[..., 2].ravel()) == {30 * GAIN}
    assert gap.mean == pytest.approx(10)
    white = difference(dark, Image.new("RGB", (8, 8), "white"))
    assert np.asarray(white.amplified).min() == 255


def test_its_ssim_is_that_of_skimage():
    one, other = noise(1), noise(2)
    expected = structural_similarity(np.asarray(one), np.asarray(other), channel_axis=2)
    assert difference(one, other).ssim == pytest.approx(expected, abs=1e-6)


def test_the_map_is_bright_where_pictures_are_unlike():
    one = noise(3, (64, 64))
    pixels = np.asarray(one).copy()
    pixels[32:, 32:] = 255 - pixels[32:, 32:]
    heat = np.asarray(difference(one, Image.fromarray(pixels)).unlike).sum(axis=2)
    assert heat[40:60, 40:60].mean() > 5 * max(heat[4:24, 4:24].mean(), 1)


def test_sizes_are_those_of_the_test_image_at_most():
    gap = difference(noise(4, (40, 20)), noise(5, (64, 64)))
    assert gap.resized
    assert gap.amplified.size == gap.unlike.size == (40, 20)
    assert max(difference(noise(6, (600, 300)), noise(6, (600, 300))).amplified.size) == LONGEST


def test_a_picture_of_few_pixels_has_no_ssim():
    tiny = difference(noise(7, (5, 5)), noise(8, (5, 5)))
    assert tiny.ssim is None
    assert tiny.unlike is None
    assert tiny.mean > 0
