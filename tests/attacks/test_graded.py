"""What every attack has from its base: the intensity checked, and nothing done at 0."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops

from workbench import attacks
from workbench.attacks import GradedAttack
from workbench.catalogue.registry import plugin_class

GREY = Image.new("RGB", (8, 8), (100, 100, 100))


@dataclass(frozen=True, repr=False)
class Negative(GradedAttack):
    """Turn every value round."""

    strong: bool = False
    intensity: float = 50

    def attacked(self, image, rng):
        rng.random()
        return ImageChops.invert(image)


def test_an_attack_of_its_own_needs_only_what_it_does():
    attack = Negative(intensity=25.0)
    assert repr(attack) == "Negative(intensity=25)"
    assert attack(GREY, np.random.default_rng(0)).getpixel((0, 0)) == (155, 155, 155)


def test_at_intensity_0_the_picture_itself_comes_back_and_nothing_is_drawn():
    rng = np.random.default_rng(0)
    assert Negative(intensity=0)(GREY, rng) is GREY
    assert rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("intensity", [-1, 101, float("nan"), None])
def test_an_intensity_out_of_range_is_refused_by_the_name_of_the_attack(intensity):
    sentence = f"^the intensity of Negative runs from 0 to 100; seen {intensity}$"
    with pytest.raises(ValueError, match=sentence):
        Negative(intensity=intensity)


def test_an_attack_that_does_nothing_cannot_be_made():
    @dataclass(frozen=True, repr=False)
    class Idle(GradedAttack):
        intensity: float = 50

    with pytest.raises(TypeError, match="attacked"):
        Idle()


def test_every_attack_of_the_folder_leaves_the_range_and_the_0_to_the_base():
    files = sorted(Path(attacks.__file__).parent.glob("[!_]*.py"))
    assert len(files) >= 12
    for file in files:
        kind = plugin_class(file.stem, "attack")
        assert kind.__call__ is GradedAttack.__call__, file.stem
