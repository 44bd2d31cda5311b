"""Cosine, SSIM and negative MSE: closed forms, and second implementations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tests.contracts.plugins import pictures
from tests.support.models import tiny
from workbench.encoders.open_clip import OpenClip
from workbench.similarities.cosine import Cosine
from workbench.similarities.mse import NegativeMSE
from workbench.similarities.ssim import SSIM


class Pixels:
    """An encoder of somebody else: the mean colour."""

    def __call__(self, images):
        rows = np.stack([np.asarray(x, np.float32).mean((0, 1)) for x in images])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def __repr__(self):
        return "Pixels()"


def _tensor(images):
    return torch.from_numpy(np.stack([np.asarray(x) for x in images])).permute(0, 3, 1, 2) / 255.0


def test_cosine_in_closed_form():
    red, grey = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "grey")
    values = Cosine(Pixels())([red], [red, grey])
    assert values == pytest.approx(np.array([[1, 1 / np.sqrt(3)]]), abs=1e-6)


def test_cosine_equals_torch():
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(n, 7)).astype(np.float32) for n in (3, 5))
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    expected = torch.nn.functional.cosine_similarity(
        torch.from_numpy(a)[:, None], torch.from_numpy(b)[None], dim=-1
    )
    assert np.allclose(Cosine(Pixels()).compare(a, b), expected.numpy(), atol=1e-6)


def test_equal_candidates_tie_exactly():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 129)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    values = Cosine(Pixels()).compare(rows, np.concatenate([rows, rows]))
    assert np.array_equal(values[:, :40], values[:, 40:])
    assert np.array_equal(Cosine(Pixels()).compare(rows[:1], rows), values[:1, :40])


def test_cosine_refuses_features_of_two_encoders():
    sentence = "^features of one width are needed; there are 3 and 4$"
    with pytest.raises(ValueError, match=sentence):
        Cosine(Pixels()).compare(np.ones((1, 3)), np.ones((1, 4)))


def test_cosine_is_named_by_the_row_of_its_encoder():
    row = tiny.checkpoint("tiny-clip")
    named = Cosine(OpenClip(row, layer=2, pooling="mean"))
    assert repr(named) == 'Cosine("tiny-clip", layer=2, pooling="mean")'
    assert repr(Cosine(Pixels())) == "Cosine(Pixels())"


def test_ssim_equals_torchmetrics():
    """Over the places where the window lies inside: torchmetrics averages a mirrored margin too."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    values = SSIM()(pictures(2), pictures())
    for i in range(2):
        tests = _tensor([pictures()[i]] * 6)
        _, everywhere = structural_similarity_index_measure(
            tests, _tensor(pictures()), data_range=1.0, return_full_image=True, reduction="none"
        )
        expected = everywhere[:, :, 5:-5, 5:-5].mean((1, 2, 3))
        assert np.allclose(values[i], expected.numpy(), atol=1e-4)


def test_ssim_of_two_flat_pictures_in_closed_form():
    """Without variance only the luminance term is left: (2μν + C₁) / (μ² + ν² + C₁), C₁ = .01²."""
    dark, light = (Image.new("RGB", (16, 16), (x, x, x)) for x in (51, 204))
    c1 = 0.01**2
    expected = (2 * 0.2 * 0.8 + c1) / (0.2**2 + 0.8**2 + c1)
    assert SSIM()([dark], [light])[0, 0] == pytest.approx(expected, abs=1e-6)


def test_ssim_needs_the_room_of_its_window():
    small = Image.new("RGB", (10, 12))
    sentence = "^SSIM needs pictures of at least 11×11; they are 10×12$"
    with pytest.raises(ValueError, match=sentence):
        SSIM()([small], [small])


def test_negative_mse_equals_scikit_learn():
    from sklearn.metrics import mean_squared_error

    values = NegativeMSE()(pictures(2), pictures())
    flat = [np.asarray(x).ravel() / 255 for x in pictures()]
    for i in range(2):
        for j in range(6):
            assert values[i, j] == pytest.approx(-mean_squared_error(flat[i], flat[j]))


@pytest.mark.parametrize("similarity", [SSIM(), NegativeMSE()])
def test_pictures_of_two_sizes_are_refused(similarity):
    sentence = "^the pictures must have one size to be compared; there are 16×16, 40×40$"
    with pytest.raises(ValueError, match=sentence):
        similarity(pictures(1), [Image.new("RGB", (16, 16))])
