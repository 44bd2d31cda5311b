"""PGD: corners of the ball, a second implementation, and a real tower that is misled."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.contracts.plugins import pictures
from tests.support import toys
from tests.support.models import tiny
from workbench.attacks.pgd import PGD
from workbench.encoders.open_clip import OpenClip
from workbench.weights import loading


@dataclass(frozen=True)
class Angle:
    """Encode as the point of the unit circle whose angle is the mean of all values."""

    def differentiable(self, pixels):
        mean = pixels.mean(dim=(1, 2, 3))
        return torch.stack([mean.cos(), mean.sin()], dim=1)


@dataclass(frozen=True)
class Linear:
    """Encode by a fixed random matrix."""

    def matrix(self, width: int) -> np.ndarray:
        return np.random.default_rng(3).standard_normal((5, width)) / width

    def differentiable(self, pixels):
        flat = pixels.flatten(1).double()
        return flat @ torch.from_numpy(self.matrix(flat.shape[1])).T


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def change(attack, picture, seed: int = 0) -> np.ndarray:
    made = attack(picture, rng(seed))
    return np.asarray(made, np.int64) - np.asarray(picture, np.int64)


def test_a_single_direction_leads_to_a_corner_of_the_ball():
    """The mean alone counts, so that all values go as far as they may, and one way."""
    grey = Image.new("RGB", (6, 4), (128, 128, 128))
    seen = {tuple(np.unique(change(PGD(Angle(), intensity=50), grey, seed))) for seed in range(8)}
    assert seen == {(-8,), (8,)}
    assert set(np.unique(change(PGD(Angle(), intensity=100), grey))) <= {-16, 16}


def test_no_value_leaves_the_ball_or_the_range():
    for picture in [*pictures(3), Image.new("RGB", (5, 5), "white")]:
        for intensity in (10, 37.5, 100):
            attack = PGD(Linear(), intensity=intensity)
            assert np.abs(change(attack, picture)).max() <= int(intensity * 0.16)


def test_less_than_a_grey_level_changes_nothing():
    (picture,) = pictures(1)
    assert not change(PGD(Linear(), intensity=6.2), picture).any()
    assert change(PGD(Linear(), intensity=6.3), picture).any()


@pytest.mark.parametrize("steps", [1, 4])
def test_numpy_with_the_gradient_written_out_agrees(steps):
    """For φ(x) = W x the gradient of the squared distance at δ is 2 Wᵀ W δ."""
    picture = pictures(1, 8)[0]
    clean = np.asarray(picture).transpose(2, 0, 1).ravel() / 255
    epsilon, matrix = 8 / 255, Linear().matrix(clean.size)
    start = rng().uniform(-8, 8, (8, 8, 3)) / 255
    delta = start.transpose(2, 0, 1).ravel()
    for _ in range(steps):
        delta = np.clip(clean + delta, 0, 1) - clean
        gradient = 2 * matrix.T @ (matrix @ delta)
        delta = np.clip(delta + 2.5 * epsilon / steps * np.sign(gradient), -epsilon, epsilon)
    expected = np.clip(clean * 255 + np.clip(np.rint(delta * 255), -8, 8), 0, 255)
    made = PGD(Linear(), intensity=50, steps=steps)(picture, rng())
    found = np.asarray(made).transpose(2, 0, 1).ravel()
    assert np.mean(np.abs(found - expected) <= 1) == 1
    assert np.mean(found == expected.round()) > 0.98


@pytest.mark.parametrize("layer", [None, 2])
def test_a_real_tower_is_misled_more_than_by_noise_of_the_same_size(layer):
    encoder = OpenClip(tiny.checkpoint("tiny-clip"), layer=layer)
    tests = pictures(3, tiny.SIZE)
    clean = encoder(tests)
    attack = PGD(encoder, intensity=50)
    attacked = encoder([attack(test, rng(i)) for i, test in enumerate(tests)])
    signs = [8 * rng(i).choice([-1, 1], (tiny.SIZE, tiny.SIZE, 3)) for i in range(3)]
    noisy = [
        Image.fromarray((np.asarray(x, np.int64) + s).clip(0, 255).astype(np.uint8))
        for x, s in zip(tests, signs, strict=True)
    ]
    far = 1 - (clean * attacked).sum(1)
    near = 1 - (clean * encoder(noisy)).sum(1)
    assert (far > 3 * near).all()


def test_it_works_where_gradients_are_off_and_leaves_the_weights_without_any():
    encoder = OpenClip(tiny.checkpoint("tiny-clip"))
    (picture,) = pictures(1)
    expected = PGD(encoder, steps=2)(picture, rng())
    for off in (torch.no_grad, torch.inference_mode):
        with off():
            assert PGD(encoder, steps=2)(picture, rng()).tobytes() == expected.tobytes()
    from workbench.encoders.open_clip import _load

    model = loading.load_weights(encoder.checkpoint, _load)[0]
    assert all(weight.grad is None for weight in model.parameters())


def test_what_cannot_be_attacked_is_told():
    with pytest.raises(ValueError, match=r"^PGD takes at least 1 step; seen 0$"):
        PGD(Angle(), steps=0)
    sentence = (
        r"^PGD needs gradients, so an encoder with differentiable\(pixels\), as OpenClip has; "
        r"Mean\(layer=None\) has none$"
    )
    with pytest.raises(ValueError, match=sentence):
        PGD(toys.Mean())
    deep = replace(OpenClip(tiny.checkpoint("tiny-clip")), layer=9)
    with pytest.raises(ValueError, match=r"^'tiny-clip' has the layers 1 to 3; layer 9 was asked"):
        PGD(deep)(pictures(1)[0], rng())
