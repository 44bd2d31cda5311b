"""The attacks without weights: their closed forms, and other libraries that must agree."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as torchvision

from tests.contracts.plugins import pictures
from workbench import images
from workbench.attacks import own_rng, without_intensity
from workbench.attacks.blur import Blur
from workbench.attacks.brightness import Brightness
from workbench.attacks.contrast import Contrast
from workbench.attacks.crop import Crop
from workbench.attacks.jpeg import JPEG
from workbench.attacks.noise import Noise
from workbench.attacks.resize import Resize
from workbench.attacks.rotation import Rotation, turned
from workbench.attacks.social import PLATFORMS, Social
from workbench.attacks.webp import WebP

GREY = Image.new("RGB", (48, 32), (100, 100, 100))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def levels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.float64)


def error(one: Image.Image, two: Image.Image) -> float:
    """Return the root mean squared difference in grey levels."""
    return float(np.sqrt(np.mean((levels(one) - levels(two)) ** 2)))


def ramp(side: int = 200) -> Image.Image:
    """Draw red from 0 at the left to 200 at the right, and green so from top to bottom."""
    line = np.linspace(0, 200, side)
    planes = [np.tile(line, (side, 1)), np.tile(line, (side, 1)).T, np.zeros((side, side))]
    return Image.fromarray(np.stack(planes, 2).round().astype(np.uint8))


@pytest.mark.parametrize("kind", [JPEG, WebP, Blur, Resize, Crop, Rotation, Social, Contrast])
@pytest.mark.parametrize("intensity", [10, 60])
def test_an_even_picture_stays_even(kind, intensity):
    made = levels(kind(intensity=intensity)(GREY, rng()))
    assert np.ptp(made) <= 1
    assert np.abs(made - 100).max() <= 2


@pytest.mark.parametrize("intensity", [10, 20, 30, 99])
def test_jpeg_is_torchvisions_jpeg_of_quality_100_less_intensity(intensity):
    from torchvision.io import decode_jpeg, encode_jpeg

    for picture in pictures(3):
        tensor = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
        other = decode_jpeg(encode_jpeg(tensor, quality=100 - intensity)).permute(1, 2, 0).numpy()
        assert error(JPEG(intensity=intensity)(picture, rng()), Image.fromarray(other)) < 1


def test_jpeg_and_webp_reach_the_lowest_quality_and_not_below():
    (picture,) = pictures(1)
    for kind, attack in (("JPEG", JPEG), ("WEBP", WebP)):
        buffer = io.BytesIO()
        picture.save(buffer, kind, quality=1)
        with Image.open(buffer) as expected:
            assert attack(intensity=100)(picture, rng()).tobytes() == expected.tobytes()


def test_a_light_webp_is_nearly_the_picture_and_a_heavy_one_is_not():
    for picture in pictures(3):
        assert error(WebP(intensity=5)(picture, rng()), picture) < 4
        assert error(WebP(intensity=100)(picture, rng()), picture) > 4


def test_the_levels_of_refprint_have_their_intensities():
    assert [Blur(intensity=x).sigma(512) for x in (0, 10, 20, 30)] == [0, 1, 2, 3]
    assert Blur(intensity=20).sigma(64) == 0.25
    assert [Blur(intensity=x, side=64).sigma(64) for x in (10, 20, 30)] == [1, 2, 3]
    assert repr(Blur(intensity=20)) == "Blur(intensity=20)"  # as it was before there was a side
    with pytest.raises(ValueError, match=r"^a side is of at least 1 pixel; seen 0$"):
        Blur(side=0)
    for intensity, factor in ((25, 0.75), (50, 0.5), (65, 0.35)):
        side = round(100 * factor)
        (picture,) = pictures(1, 100)
        small = picture.resize((side, side), Image.Resampling.BICUBIC)
        expected = small.resize((100, 100), Image.Resampling.BICUBIC)
        assert Resize(intensity=intensity)(picture, rng()).tobytes() == expected.tobytes()


@pytest.mark.parametrize("sigma", [1.0, 2.0, 4.0])
def test_blur_is_scipys_gaussian(sigma):
    from scipy.ndimage import gaussian_filter

    noisy = Noise(intensity=100)(pictures(1, 256)[0], rng())
    attack = Blur(intensity=sigma * 10 * 512 / 256)
    expected = gaussian_filter(levels(noisy), (sigma, sigma, 0), mode="nearest")
    assert np.sqrt(np.mean((levels(attack(noisy, rng())) - expected) ** 2)) < 1.5


def test_resize_is_torchs_antialiased_bicubic():
    for picture in pictures(3, 64):
        tensor = torch.from_numpy(levels(picture)).permute(2, 0, 1)[None]
        settings = {"mode": "bicubic", "antialias": True, "align_corners": False}
        small = torch.nn.functional.interpolate(tensor, (32, 32), **settings).clamp(0, 255)
        back = torch.nn.functional.interpolate(small, (64, 64), **settings)
        expected = back.clamp(0, 255)[0].permute(1, 2, 0).numpy()
        assert np.abs(levels(Resize(intensity=50)(picture, rng())) - expected).max() < 2


def test_resize_to_nothing_leaves_one_colour():
    for picture in pictures(3):
        made = levels(Resize(intensity=100)(picture, rng()))
        assert np.ptp(made, axis=(0, 1)).max() == 0
        assert (made[0, 0] < levels(picture).max(axis=(0, 1))).all()
        assert (made[0, 0] > levels(picture).min(axis=(0, 1))).all()


def test_noise_has_its_deviation_no_mean_and_one_pattern():
    grey = Image.new("RGB", (128, 128), (128, 128, 128))
    weak, strong = (levels(Noise(intensity=x)(grey, rng())) - 128 for x in (20, 60))
    assert weak.std() == pytest.approx(10, rel=0.03)
    assert strong.std() == pytest.approx(30, rel=0.03)
    assert abs(weak.mean()) < 0.2
    assert np.corrcoef(weak.ravel(), strong.ravel())[0, 1] > 0.99
    assert abs(np.corrcoef(weak[..., 0].ravel(), weak[..., 1].ravel())[0, 1]) < 0.03


@pytest.mark.parametrize(("intensity", "kept"), [(20, 0.9), (60, 0.7), (100, 0.5)])
def test_crop_keeps_its_part_anywhere(intensity, kept):
    lefts, tops = [], []
    for seed in range(30):
        made = levels(Crop(intensity=intensity)(ramp(), rng(seed)))
        red, green = made[100, :, 0], made[:, 100, 1]
        assert red[-1] - red[0] == pytest.approx(200 * kept, abs=3)
        assert green[-1] - green[0] == pytest.approx(200 * kept, abs=3)
        lefts.append(red[0] / 200)
        tops.append(green[0] / 200)
    for places in (lefts, tops):
        assert min(places) < 0.1 * (1 - kept) + 0.01
        assert max(places) > 0.9 * (1 - kept) - 0.01
    assert abs(np.corrcoef(lefts, tops)[0, 1]) < 0.5


def test_a_turned_white_picture_has_no_dark_corner():
    for size in ((64, 64), (90, 30), (31, 77)):
        white = Image.new("RGB", size, "white")
        for degrees in (-10, -3.3, 0.01, 10):
            assert levels(turned(white, degrees)).min() == 255


def test_no_turn_is_the_picture():
    for picture in pictures(3, 64):
        assert turned(picture, 0).tobytes() == picture.tobytes()


@pytest.mark.parametrize("degrees", [-5, 3, 10])
def test_a_turn_is_pillows_rotation_less_its_corners(degrees):
    for picture in pictures(3, 200):
        side = 200 / (np.cos(np.radians(abs(degrees))) + np.sin(np.radians(abs(degrees))))
        box = (100 - side / 2, 100 - side / 2, 100 + side / 2, 100 + side / 2)
        whole = picture.rotate(degrees, Image.Resampling.BICUBIC)
        expected = whole.resize((200, 200), Image.Resampling.BICUBIC, box)
        inside = (slice(4, -4), slice(4, -4))
        difference = levels(turned(picture, degrees))[inside] - levels(expected)[inside]
        assert np.abs(difference).max() < 5
        assert np.abs(difference).mean() < 1


def test_angles_are_drawn_from_the_whole_range():
    angles = []
    for seed in range(40):
        made = Rotation(intensity=100)(ramp(), rng(seed))
        across = np.diff(levels(made)[60:140, 60:140, 0], axis=1).mean()
        down = np.diff(levels(made)[60:140, 60:140, 0], axis=0).mean()
        angles.append(np.degrees(np.arctan2(down, across)))
    assert min(angles) < -7
    assert max(angles) > 7
    assert np.abs(angles).max() < 10.2


def test_brightness_and_contrast_go_both_ways_as_far_as_they_say():
    brightness = {Brightness(intensity=100)(GREY, rng(x)).getpixel((0, 0)) for x in range(9)}
    assert brightness == {(200, 200, 200), (50, 50, 50)}
    stripes = np.full((8, 8, 3), 100, np.uint8)
    stripes[:4], stripes[4:] = 80, 120
    attack, picture = Contrast(intensity=100), Image.fromarray(stripes)
    contrast = [levels(attack(picture, rng(x))) for x in range(9)]
    assert {tuple(np.unique(found)) for found in contrast} == {(60, 140), (90, 110)}


@pytest.mark.parametrize("intensity", [10, 50, 90])
def test_torchvision_agrees_on_brightness_and_contrast(intensity):
    for seed in range(4):
        sign = 1 if rng(seed).random() < 0.5 else -1
        for picture in pictures(2):
            tensor = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
            for attack, change in (
                (Brightness, torchvision.adjust_brightness),
                (Contrast, torchvision.adjust_contrast),
            ):
                expected = change(tensor, 2 ** (sign * intensity / 100)).permute(1, 2, 0).numpy()
                made = attack(intensity=intensity)(picture, rng(seed))
                assert np.abs(levels(made) - expected).max() <= 2


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_platform_holds_at_50_and_twice_as_much_at_100(platform):
    (picture,) = pictures(1, 200)
    kept, quality, _ = PLATFORMS[platform]
    assert Social(platform=platform)(picture, rng()).width == round(200 * kept)
    twice = Social(intensity=100, platform=platform)(picture, rng())
    assert twice.width == round(200 * (2 * kept - 1))
    small = picture.resize(twice.size, Image.Resampling.BICUBIC)
    assert error(twice, JPEG(intensity=2 * (100 - quality))(small, rng())) == 0


def test_an_unknown_platform_is_told():
    sentence = r"^no platform 'myspace'; there are: facebook, instagram, whatsapp, x$"
    with pytest.raises(ValueError, match=sentence):
        Social(platform="myspace")


def test_the_numbers_are_the_pictures_own_whatever_the_intensity():
    def first(attack, image_id="a", seed=0):
        return float(own_rng(attack, image_id, seed).random())

    assert first(Crop(20)) == first(Crop(80))
    others = [first(Crop(20), "b"), first(Crop(20), seed=1), first(Noise(20))]
    assert len({first(Crop(20)), *others}) == 4


def test_an_attack_is_named_without_its_intensity():
    @dataclass(frozen=True)
    class Mine:
        intensity: float
        colour: str = "red"

    class Other:
        intensity = 5

        def __repr__(self):
            return "other"

    assert without_intensity(Mine(5, "blue")) == without_intensity(Mine(7, "blue"))
    assert 'colour="blue"' in without_intensity(Mine(5, "blue"))
    assert without_intensity(JPEG(intensity=20)) == without_intensity(JPEG()) == "JPEG()"
    assert without_intensity(Other()) == "other"


def test_pictures_of_one_pixel_survive():
    dot = Image.new("RGB", (1, 1), (10, 20, 30))
    for kind in (JPEG, WebP, Blur, Resize, Noise, Crop, Rotation, Brightness, Contrast, Social):
        assert images.digest(kind(intensity=100)(dot, rng()))
