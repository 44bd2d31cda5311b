"""A picture through a model's own autoencoder, as the plain library does it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderKLQwenImage, VQModel
from PIL import Image

from tests.generators.conftest import smooth
from tests.support.models import tiny
from workbench import images
from workbench.generators import Failure, reconstruct
from workbench.generators.diffusers import Diffusers
from workbench.weights.checkpoint import Checkpoint, resolve_class


@pytest.mark.parametrize(
    ("name", "part"),
    [("tiny-sd", "vae"), ("tiny-ld", "vqvae"), ("tiny-dalle", "vqvae"), ("tiny-qwen-image", "vae")],
)
def test_a_reconstruction_is_what_the_autoencoder_of_the_plain_library_says(name, part):
    row = tiny.checkpoint(name)
    kind = {"tiny-dalle": VQModel, "tiny-qwen-image": AutoencoderKLQwenImage}.get(
        name, AutoencoderKL
    )
    model = kind.from_pretrained(f"{row.source}/{part}", torch_dtype=torch.float32).eval()
    generator = resolve_class(row.plugin)(row)
    pictures = smooth(3, 50)
    found = generator.reconstruct(pictures)
    for picture, ours in zip(pictures, found, strict=True):
        pixels = np.asarray(picture.resize((32, 32), Image.Resampling.BICUBIC)) / 127.5 - 1
        values = torch.tensor(pixels, dtype=torch.float32).permute(2, 0, 1)[None]
        values = values[:, :, None] if name == "tiny-qwen-image" else values
        with torch.no_grad():
            code = model.encode(values)
            code = code.latents if name == "tiny-dalle" else code.latent_dist.mean
            theirs = model.decode(code).sample[0].reshape(3, 32, 32).permute(1, 2, 0)
        expected = (127.5 * (theirs.clamp(-1, 1) + 1)).numpy()
        assert ours.size == (32, 32)
        assert np.abs(np.asarray(ours, float) - expected).max() < 0.6


def test_an_autoencoder_of_four_channels_gets_pictures_opaque_and_answers_over_white():
    blocks = ["DownEncoderBlock2D"], ["UpDecoderBlock2D"]
    model = AutoencoderKL(4, 4, *blocks, block_out_channels=(4,), norm_num_groups=2).eval()
    row = Checkpoint("mine", "generator", "", "/weights", size=8)
    (picture,) = smooth(1, 8)
    (ours,) = reconstruct([SimpleNamespace(vae=model)], [picture], row)
    opaque = np.asarray(picture.convert("RGBA")) / 127.5 - 1
    with torch.no_grad():
        values = torch.tensor(opaque, dtype=torch.float32).permute(2, 0, 1)[None]
        theirs = model.decode(model.encode(values).latent_dist.mode()).sample[0] / 2 + 0.5
    colours, alpha = theirs.clamp(0, 1).split([3, 1])
    expected = (255 * (colours * alpha + 1 - alpha)).permute(1, 2, 0).numpy()
    assert np.abs(np.asarray(ours, float) - expected).max() < 0.6


def test_the_latents_of_a_movq_are_not_quantised():
    row = tiny.checkpoint("tiny-kandinsky-2-2")
    model = Diffusers(row).loaded()[-1].movq
    (picture,) = smooth(1, row.size)
    values = torch.tensor(np.asarray(picture) / 127.5 - 1, dtype=torch.float32).permute(2, 0, 1)
    with torch.no_grad():
        code = model.encode(values[None]).latents
        both = [model.decode(code, force_not_quantize=x).sample[0] for x in (True, False)]
    expected, other = (127.5 * (x.clamp(-1, 1).permute(1, 2, 0).numpy() + 1) for x in both)
    (ours,) = Diffusers(row).reconstruct([picture])
    assert np.abs(np.asarray(ours, float) - expected).max() < 0.6
    assert np.abs(np.asarray(ours, float) - other).max() > 0.6


def test_an_autoencoder_too_narrow_in_half_precision_runs_in_full():
    generator, pictures = Diffusers(tiny.checkpoint("tiny-xl")), smooth(2, 32)
    expected = [images.digest(x) for x in generator.reconstruct(pictures)]
    (pipe,) = generator.loaded()
    assert pipe.vae.config.force_upcast
    pipe.vae.half()  # as it was saved: nothing is lost
    try:
        assert [images.digest(x) for x in generator.reconstruct(pictures)] == expected
        assert pipe.vae.dtype == torch.float16
    finally:
        pipe.vae.float()


def test_a_reconstruction_does_not_depend_on_its_company():
    generator = Diffusers(tiny.checkpoint("tiny-sd"))
    pictures = smooth(6, 32)
    together = [images.digest(x) for x in generator.reconstruct(pictures)]
    assert [images.digest(generator.reconstruct([x])[0]) for x in pictures] == together
    assert len(set(together)) == 6
    assert generator.reconstruct([]) == []


def test_a_model_on_pixels_reconstructs_nothing():
    found = Diffusers(tiny.checkpoint("tiny-if")).reconstruct(smooth(2, 32))
    assert found == [Failure("tiny-if has no autoencoder that reads and writes pictures")] * 2
