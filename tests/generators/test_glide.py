"""Glide makes the pictures of its package's notebook; what needs no package is tested without."""

from __future__ import annotations

import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.support.models import tiny
from tests.support.models.paper import GLIDE
from workbench.generators import glide
from workbench.generators.glide import PACKAGE, Glide
from workbench.weights import inference, loading

NAME = "tiny-glide"
PROMPT = "a red circle"
needs_package = pytest.mark.skipif(
    bool(tiny.MODELS[NAME].missing), reason=tiny.MODELS[NAME].missing or "it is installed"
)


@pytest.fixture
def plugin():
    return Glide(tiny.checkpoint(NAME))


def notebook(row, steps, guidance, temperature, seed):
    """Follow the package's text2im.ipynb step by step with its own models."""
    from glide_text2im import model_creation as package

    sizes = [
        package.model_and_diffusion_defaults(),
        package.model_and_diffusion_defaults_upsampler(),
    ]
    made = []
    for name, options, spacing in zip(("base", "upsample"), sizes, steps, strict=True):
        options |= GLIDE[name] | {"use_fp16": False, "timestep_respacing": str(spacing)}
        model, diffusion = package.create_model_and_diffusion(**options)
        model.load_state_dict(load_file(row.folder / f"{name}.safetensors"))
        made.append((model.eval(), diffusion, options["image_size"]))

    def given(model, texts):
        pairs = [model.tokenizer.padded_tokens_and_mask(text, 16) for text in texts]
        return {
            "tokens": torch.tensor([tokens for tokens, _ in pairs]),
            "mask": torch.tensor([mask for _, mask in pairs], dtype=torch.bool),
        }

    (model, diffusion, side), (upsampler, upsampling, large) = made
    words = model.tokenizer.encode(PROMPT)

    def model_fn(x_t, ts, **kwargs):
        half = x_t[: len(x_t) // 2]
        out = model(torch.cat([half, half]), ts, **kwargs)
        eps, rest = out[:, :3], out[:, 3:]
        cond, uncond = torch.split(eps, len(eps) // 2)
        mixed = uncond + guidance * (cond - uncond)
        return torch.cat([torch.cat([mixed, mixed]), rest], dim=1)

    torch.manual_seed(seed)
    small = diffusion.p_sample_loop(
        model_fn, (2, 3, side, side), device="cpu", model_kwargs=given(model, [words, []])
    )[:1]
    low = ((small + 1) * 127.5).round() / 127.5 - 1
    shape = (1, 3, large, large)
    made = upsampling.ddim_sample_loop(
        upsampler,
        shape,
        noise=torch.randn(shape) * temperature,
        device="cpu",
        model_kwargs={"low_res": low, **given(upsampler, [words])},
    )
    pixels = ((made[0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
    return Image.fromarray(pixels.numpy())


@needs_package
@pytest.mark.parametrize(
    ("fields", "values"),
    [
        ({"steps": (3, "fast27")}, ((3, "fast27"), 3.0, 0.997)),
        ({"guidance": 1.0, "temperature": 0.5}, ((2, 2), 1.0, 0.5)),
    ],
)
def test_pictures_are_those_of_the_packages_notebook(plugin, fields, values):
    threads = inference.fixed_threads(plugin.checkpoint.threads)
    with threads, torch.random.fork_rng(), torch.inference_mode():
        expected = notebook(plugin.checkpoint, *values, seed=5)
    assert replace(plugin, **fields)([PROMPT], [5]) == [expected]
    assert np.asarray(expected).std() > 0


@needs_package
def test_pictures_share_every_call_of_the_models_and_keep_their_own_noise(plugin):
    """As on a GPU: two steps of each model, and last bits apart the pictures made alone."""
    row, pairs = plugin.checkpoint, [(PROMPT, 1), ("a very long star of nine", 2), (PROMPT, 3)]
    alone = plugin(*map(list, zip(*pairs, strict=True)))
    stages = loading.load_weights(row, glide._load)
    spaced = list(map(glide._diffusion, glide._options(row), (2, 2)))
    sizes: list[int] = []
    hooks = [
        model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
        for model in stages
    ]
    with torch.inference_mode():
        together = glide._pictures(stages, spaced, glide.DEFAULTS, pairs)
    for hook in hooks:
        hook.remove()
    assert sizes == [6, 6, 3, 3]
    for one, other in zip(alone, together, strict=True):
        assert np.abs(np.int16(one) - np.int16(other)).max() <= 1
    assert alone[0] != alone[2]


@needs_package
def test_settings_of_the_row_are_those_of_the_fields(plugin):
    row = replace(plugin.checkpoint, options={"steps": [3, 2], "guidance": 1.0, "temperature": 0.5})
    ours = replace(plugin, steps=(3, 2), guidance=1.0, temperature=0.5)
    assert Glide(row)([PROMPT], [1]) == ours([PROMPT], [1]) != plugin([PROMPT], [1])


@needs_package
def test_missing_weights_are_named(plugin, tmp_path):
    row = replace(plugin.checkpoint, source=str(tmp_path))
    with pytest.raises(LookupError, match=rf"^'tiny-glide' needs base\.safetensors in {tmp_path}$"):
        Glide(row)([PROMPT], [1])


@needs_package
def test_steps_the_package_cannot_space_are_refused(plugin):
    with pytest.raises(ValueError, match="cannot divide section of 1000 steps into 2000"):
        replace(plugin, steps=(2000, 2))([PROMPT], [1])


def test_the_package_missing_is_said_with_how_to_get_it(plugin, monkeypatch):
    monkeypatch.setitem(sys.modules, "glide_text2im", None)
    sentence = f"GLIDE needs OpenAI's package, which is not on PyPI: pip install {PACKAGE}"
    with pytest.raises(LookupError, match=f"^{re.escape(sentence)}$"):
        plugin([PROMPT], [1])


def test_unknown_options_and_steps_that_are_no_pair_are_refused(plugin):
    row = replace(plugin.checkpoint, options={"eta": 0})
    sentence = "'tiny-glide' has no option 'eta'; there are: guidance, steps, temperature"
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        Glide(row)([PROMPT], [1])
    sentence = "steps of Glide are a pair, such as (100, 'fast27'); seen 50"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        replace(plugin, steps=50)([PROMPT], [1])
