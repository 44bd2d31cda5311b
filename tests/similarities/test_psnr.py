"""PSNR: closed form, finite for equal pictures, and scikit-image must agree."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from tests.contracts.plugins import pictures
from workbench.similarities.mse import NegativeMSE
from workbench.similarities.psnr import PSNR


def test_psnr_in_closed_form():
    """A difference of a tenth everywhere is an error of 0.01, so 20 dB."""
    black, dim = Image.new("RGB", (4, 4)), Image.new("RGB", (4, 4), (51, 51, 51))
    assert PSNR()([black], [dim])[0, 0] == pytest.approx(-20 * np.log10(0.2))
    assert PSNR()([black], [Image.new("RGB", (4, 4), "white")]).tolist() == [[0.0]]


def test_equal_pictures_are_finite_and_above_all_others():
    image = Image.new("RGB", (64, 64), "grey")
    other = image.copy()
    other.putpixel((0, 0), (129, 128, 128))
    same, near = PSNR()([image], [image, other])[0]
    assert same == 100
    assert near == pytest.approx(10 * np.log10(255**2 * 64 * 64 * 3))
    assert near < 89.1


def test_psnr_equals_scikit_image():
    tests, candidates = pictures(2), pictures()[2:]
    for i, x in enumerate(tests):
        for j, c in enumerate(candidates):
            expected = peak_signal_noise_ratio(np.asarray(x), np.asarray(c))
            assert PSNR()(tests, candidates)[i, j] == pytest.approx(expected, abs=1e-4)


def test_psnr_orders_as_the_error_does():
    psnr, error = PSNR()(pictures(2), pictures()), NegativeMSE()(pictures(2), pictures())
    assert np.array_equal(psnr.argsort(axis=1), error.argsort(axis=1))
