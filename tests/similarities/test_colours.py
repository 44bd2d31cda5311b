"""Colours alone: the histogram of numpy, and nothing of where a colour stands."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from workbench.similarities.colours import Colours


@pytest.fixture
def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))


@pytest.mark.parametrize("bins", [1, 4, 64])
def test_the_cells_are_those_of_a_histogram(picture, bins):
    values = np.asarray(picture, float).reshape(-1, 3)
    counts = np.histogramdd(values, bins=bins, range=[(0, 256)] * 3)[0].ravel()
    (found,) = Colours(bins=bins).roots([picture])
    assert np.allclose(found**2, counts / 256)


def test_what_is_moved_stays_equal_and_other_colours_share_nothing(picture):
    turned = picture.transpose(Image.Transpose.ROTATE_180)
    red, blue = (Image.new("RGB", (16, 16), name) for name in ("red", "blue"))
    values = Colours()([picture, red], [turned, blue, red])
    assert values[0, 0] == pytest.approx(1)
    assert values[1].tolist() == [pytest.approx(values[1, 0]), 0, 1]


def test_it_takes_a_channel_of_whole_bins():
    with pytest.raises(ValueError, match=r"^a channel has 1 to 256 bins; seen 0$"):
        Colours(bins=0)
