"""MS-SSIM: closed form, the number of scales, and torchmetrics must agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tests.contracts.plugins import pictures
from workbench.similarities.ms_ssim import MSSSIM, WEIGHTS, scales


def _tensor(images):
    return torch.from_numpy(np.stack([np.asarray(x) for x in images])).permute(0, 3, 1, 2) / 255.0


def _noisy(images):
    rng = np.random.default_rng(3)
    noise = [rng.normal(0, 25, (image.height, image.width, 3)) for image in images]
    return [
        Image.fromarray((np.asarray(image) + n).clip(0, 255).astype(np.uint8))
        for image, n in zip(images, noise, strict=True)
    ]


@pytest.mark.parametrize("side", [64, 47, 176])
def test_it_equals_torchmetrics(side):
    from torchmetrics.image import MultiScaleStructuralSimilarityIndexMeasure

    tests = pictures(2, side)
    candidates = [*pictures(4, side), *_noisy(tests)]
    values = MSSSIM()(tests, candidates)
    for x, row in zip(tests, values, strict=True):
        betas = {} if side == 176 else {"betas": scales(side, side)}
        metric = MultiScaleStructuralSimilarityIndexMeasure(
            data_range=1.0, reduction="none", **betas
        )
        expected = metric(_tensor([x] * len(candidates)), _tensor(candidates)).numpy()
        assert np.allclose(row, expected, atol=1e-4)
        assert ((row > 0.1) & (row < 0.999)).any()


def test_two_flat_pictures_in_closed_form():
    """Only the luminance of the coarsest scale is left: ((2μν + C₁) / (μ² + ν² + C₁)) ^ w₃."""
    dark, light = (Image.new("RGB", (64, 64), (x, x, x)) for x in (51, 204))
    c1 = 0.01**2
    luminance = (2 * 0.2 * 0.8 + c1) / (0.2**2 + 0.8**2 + c1)
    expected = luminance ** (0.3001 / (0.0448 + 0.2856 + 0.3001))
    assert MSSSIM()([dark], [light])[0, 0] == pytest.approx(expected, abs=1e-6)


def test_a_negative_is_at_the_bottom():
    image = pictures(1, 64)[0]
    negative = Image.fromarray(255 - np.asarray(image))
    assert MSSSIM()([image], [negative]).tolist() == [[0.0]]


@pytest.mark.parametrize(
    ("side", "count"), [(11, 1), (21, 1), (22, 2), (44, 3), (64, 3), (87, 3), (88, 4), (176, 5)]
)
def test_every_scale_holds_the_window_and_the_weights_sum_to_one(side, count):
    found = scales(side, side + 9)
    assert len(found) == count
    assert sum(found) == pytest.approx(1, abs=1e-3)
    assert np.allclose(np.divide(found, WEIGHTS[:count]), found[0] / WEIGHTS[0])
    assert np.allclose(MSSSIM()(*[pictures(1, side)] * 2), 1)


def test_it_needs_the_room_of_its_window():
    small = Image.new("RGB", (10, 12))
    sentence = "^MS-SSIM needs pictures of at least 11×11; they are 10×12$"
    with pytest.raises(ValueError, match=sentence):
        MSSSIM()([small], [small])


def test_pictures_of_two_sizes_are_refused():
    sentence = "^the pictures must have one size to be compared; there are 16×16, 40×40$"
    with pytest.raises(ValueError, match=sentence):
        MSSSIM()(pictures(1), [Image.new("RGB", (16, 16))])
