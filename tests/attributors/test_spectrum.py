from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import median_filter

from tests.attributors.conftest import accuracy
from tests.support import toys
from workbench import pipeline
from workbench.attributors.spectrum import Spectrum, spectrum


@dataclass(frozen=True)
class Grid:
    """Paint a smooth scene of the prompt under a faint wave of a period, as upsampling leaves."""

    period: int

    def __call__(self, prompts, seeds):
        return [self._paint(*pair) for pair in zip(prompts, seeds, strict=True)]

    def _paint(self, prompt, seed):
        rng = np.random.default_rng(seed)
        scene = Image.fromarray((toys.pattern(prompt) * 255).astype(np.uint8))
        value = np.asarray(scene.resize((48, 48), Image.Resampling.BICUBIC), float)
        wave = 6 * np.cos(2 * np.pi * (np.arange(48) + rng.integers(12)) / self.period)
        value = value + wave[:, None, None] + 2 * rng.standard_normal(value.shape)
        return Image.fromarray(value.clip(0, 255).astype(np.uint8))


ZOO = {"two": Grid(2), "three": Grid(3), "four": Grid(4)}


def test_a_flat_picture_has_no_spectrum():
    assert not spectrum(Image.new("RGB", (16, 12), "teal")).any()
    assert spectrum(Image.new("RGB", (16, 12))).shape == (12 * 9,)


def test_the_spectrum_is_that_of_the_residual_by_numpy_too():
    pixels = np.random.default_rng(1).integers(0, 256, (10, 14, 3), dtype=np.uint8)
    logs = []
    for channel in np.moveaxis(pixels.astype(float), 2, 0):
        residual = channel - median_filter(channel, size=3, mode="reflect")
        amplitude = np.abs(np.fft.fft2(residual)) / np.sqrt(140)
        logs.append(np.log(1 + amplitude[:, :8]))
    assert np.allclose(spectrum(Image.fromarray(pixels)), np.mean(logs, axis=0).ravel())


def test_a_shift_around_the_edge_does_not_change_amplitudes_inside():
    rows = np.tile(np.array([0, 40, 0, 0], np.uint8), 8)
    one = np.broadcast_to(rows[:, None, None], (32, 32, 3)).copy()
    moved = np.roll(one, 4, axis=0)  # a whole period
    assert np.array_equal(spectrum(Image.fromarray(one)), spectrum(Image.fromarray(moved)))


def test_models_are_known_by_their_period_whatever_the_scene(store):
    training = pipeline.make_queries(["a", "b", "c", "d"], ZOO, store)[0]
    images = pipeline.make_queries(["e", "f", "g", "h", "i"], ZOO, store)[0]
    method = Spectrum(size=48).fit(training, ZOO, store=store)
    scores = method(images, ZOO, store=store).scores
    assert accuracy(scores, images) == 1
    assert scores["score"].between(-1 - 1e-9, 1 + 1e-9).all()
    stages = method(images, ZOO, store=store)
    assert stages.prompts.empty
    assert stages.candidates.empty


def test_a_residual_needs_a_window():
    with pytest.raises(ValueError, match=r"^a residual needs 3 pixels a side; seen the size 2$"):
        Spectrum(size=2)
