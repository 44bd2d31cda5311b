"""Laundering with tiny models of the real classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.contracts.plugins import PROMPTS, pictures
from tests.support.models import tiny
from workbench import catalogue, images
from workbench.attacks.launder import Launder
from workbench.generators.diffusers import Diffusers
from workbench.paths import data_folder


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def row():
    return tiny.checkpoint("tiny-sd")


@pytest.mark.parametrize("prompt", ["", PROMPTS[0]])
def test_it_is_the_plain_img2img_of_diffusers(row, prompt):
    from diffusers import StableDiffusionImg2ImgPipeline

    pipe = StableDiffusionImg2ImgPipeline.from_pretrained(row.source, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    (picture,) = pictures(1, tiny.SIZE)
    expected = pipe(
        prompt=prompt,
        image=picture,
        strength=0.5,
        num_inference_steps=4,
        guidance_scale=3.0 if prompt else 1.0,
        generator=torch.Generator().manual_seed(int(rng().integers(2**48, 2**63))),
    ).images[0]
    made = Launder(row, intensity=50, prompt=prompt)(picture, rng())
    difference = np.asarray(made, int) - np.asarray(expected, int)
    assert np.abs(difference).max() <= 1


def test_the_prompt_matters(row):
    (picture,) = pictures(1, tiny.SIZE)
    found = [Launder(row, prompt=prompt)(picture, rng()) for prompt in ("", *PROMPTS)]
    assert len({images.digest(image) for image in found}) == 3


def test_the_model_itself_is_left_as_it_was(row):
    generator = Diffusers(row)
    before = [images.digest(x) for x in generator(list(PROMPTS), [1, 2])]
    Launder(row, intensity=30)(pictures(1)[0], rng())
    assert [images.digest(x) for x in generator(list(PROMPTS), [1, 2])] == before


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2])
def test_a_trained_model_goes_farther_at_higher_strength(number):
    row = catalogue.checkpoint("pocket-sd")
    path = data_folder() / "samples" / f"sample-0{number}.png"
    picture = images.open_image(path)
    made = [Launder(row, intensity=x)(picture, rng()) for x in (5, 50, 100)]
    errors = [np.square(images.array(x) - images.array(picture)).mean() for x in made]
    assert errors[0] < errors[1] / 2 < errors[2] / 3


def test_the_picture_comes_at_the_models_native_size(row):
    assert Launder(row)(pictures(1, 100)[0], rng()).size == (tiny.SIZE, tiny.SIZE)
    wide = Image.new("RGB", (120, 60), "red")
    assert Launder(row)(wide, rng()).size == (2 * tiny.SIZE, tiny.SIZE)


def test_stable_diffusion_xl_launders_too():
    row = tiny.checkpoint("tiny-xl")
    (picture,) = pictures(1, tiny.SIZE)
    one, two = (Launder(row, intensity=x)(picture, rng()) for x in (30, 90))
    assert one.size == two.size == (tiny.SIZE, tiny.SIZE)
    assert images.digest(one) != images.digest(two)


@pytest.mark.parametrize("steps", [1, 2, 10, 50])
def test_the_strength_is_kept_in_the_rows_own_number_of_steps(row, steps):
    for intensity in (1e-6, 0.1, 0.15, 0.3, 1, 3, 7, 33.3, 49, 50, 51, 99.9, 100):
        attack = Launder(replace(row, options={"steps": steps}), intensity=intensity)
        settings = attack._settings()
        whole, strength = settings["num_inference_steps"], intensity / 100
        taken = int(whole * settings["strength"])  # as diffusers counts
        assert 1 <= taken <= steps <= whole <= 1000
        assert taken == steps or whole == 1000
        assert abs(taken / whole - strength) <= max(strength / steps, 0.001)


def test_the_weakest_laundering_works(row):
    assert Launder(row, intensity=0.01)(pictures(1)[0], rng()).mode == "RGB"


@pytest.mark.parametrize(
    ("name", "kind"), [("tiny-ld", "LDMTextToImagePipeline"), ("tiny-dalle", "ImageTokenPipeline")]
)
def test_a_class_that_cannot_paint_anew_is_told_before_any_picture(name, kind):
    sentence = (
        f"^'{name}', a {kind}, does not paint pictures anew; rows of these classes do: "
        "StableDiffusionPipeline, StableDiffusionXLPipeline$"
    )
    with pytest.raises(ValueError, match=sentence):
        Launder(tiny.checkpoint(name))
    with pytest.raises(ValueError, match="a model of no named class, does not paint"):
        Launder(replace(tiny.checkpoint(name), class_name=""))


def test_a_picture_blacked_by_the_safety_checker_is_told(row, monkeypatch):
    from diffusers import StableDiffusionImg2ImgPipeline as Pipe

    monkeypatch.setattr(Pipe, "run_safety_checker", lambda self, image, *_: (image * 0, [True]))
    with pytest.raises(ValueError, match=r"^the model's safety checker blacked the picture$"):
        Launder(row)(pictures(1)[0], rng())
