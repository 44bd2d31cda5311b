"""What every attack must obey."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.contracts.laws_of_models import digests
from tests.contracts.plugins import pictures
from workbench import catalogue, images


def _attacked(plugin: Any, seed: int = 0, **fields: Any) -> list[Image.Image]:
    attack = dataclasses.replace(plugin, **fields)
    return [attack(test, np.random.default_rng(seed)) for test in pictures(3)]


def _distance(plugin: Any, **fields: Any) -> float:
    """Measure the mean squared error of attacked pictures, over two seeds."""
    made = [*_attacked(plugin, 0, **fields), *_attacked(plugin, 1, **fields)]
    pairs = zip(pictures(3) * 2, made, strict=True)
    errors = [(images.array(x) - images.array(a.resize(x.size))) ** 2 for x, a in pairs]
    return float(np.mean(errors))


def leaves_the_picture_itself_at_intensity_0(plugin: Any) -> None:
    calm = dataclasses.replace(plugin, intensity=0)
    for test in pictures(2):
        assert calm(test, np.random.default_rng(0)) is test


def answers_rgb_of_the_same_shape(plugin: Any) -> None:
    for side in (33, 64):
        wide = pictures(1, side)[0].resize((2 * side, side))
        for intensity in (1, 100):
            attack = dataclasses.replace(plugin, intensity=intensity)
            made = attack(wide, np.random.default_rng(0))
            assert made.mode == "RGB"
            width, height = made.size
            assert abs(width - 2 * height) <= max(0.1 * width, 2)


def draws_from_its_rng_alone(plugin: Any) -> None:
    """Equal numbers give equal pixels; and where numbers were drawn, others give others."""
    expected = digests(_attacked(plugin))
    np.random.seed(1)
    assert digests(_attacked(plugin)) == expected
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    plugin(pictures(1)[0], rng)
    drawn = rng.bit_generator.state != before
    others = {tuple(digests(_attacked(plugin, seed))) for seed in range(6)}
    assert (len(others) > 1) == drawn


def draws_the_same_at_every_intensity(plugin: Any) -> None:
    def after(intensity: float) -> Any:
        rng = np.random.default_rng(0)
        dataclasses.replace(plugin, intensity=intensity)(pictures(1)[0], rng)
        return rng.bit_generator.state

    assert after(20) == after(80)


def goes_farther_at_higher_intensity(plugin: Any) -> None:
    """On average; the tenth is for tiny models, whose every picture is far from any other."""
    intensities = (40, 70, 100)
    low, middle, high = (_distance(plugin, intensity=x) for x in intensities)
    assert 0 < low <= 1.1 * middle
    assert middle <= 1.1 * high
    assert len({tuple(digests(_attacked(plugin, intensity=x))) for x in intensities}) == 3


def leaves_picture_and_torch_alone(plugin: Any) -> None:
    import torch

    tests = pictures(2)
    before = torch.random.get_rng_state(), torch.get_num_threads(), torch.is_grad_enabled()
    for test in tests:
        plugin(test, np.random.default_rng(0))
    assert tests == pictures(2)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == before[1:]


def refuses_what_is_no_intensity(plugin: Any) -> None:
    name = type(plugin).__name__
    for wrong in (-1, 100.5, float("nan"), "much"):
        sentence = f"the intensity of {name} runs from 0 to 100; seen {wrong}"
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
            dataclasses.replace(plugin, intensity=wrong)


def has_a_default_of_50(plugin: Any) -> None:
    (field,) = (field for field in dataclasses.fields(plugin) if field.name == "intensity")
    assert field.default == 50


def its_repr_reads_back_at_any_intensity(plugin: Any) -> None:
    for intensity in (0, 12.5, 25.0, np.float64(30), np.float32(62.5), 100):
        attack = dataclasses.replace(plugin, intensity=intensity)
        again = catalogue.parse(repr(attack))
        assert again == attack
        assert repr(again) == repr(attack)
        assert repr(attack) == repr(dataclasses.replace(plugin, intensity=float(intensity)))
