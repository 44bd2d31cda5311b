"""Pipelines that are compiled, and candidate images of one prompt that share a call."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tests.generators.conftest import PROMPTS, SEEDS, digests
from tests.support.models import tiny
from workbench import images
from workbench.generators import diffusers as module
from workbench.generators.diffusers import Diffusers
from workbench.plugin import identity
from workbench.weights import device


def _with(name, **options):
    row = tiny.checkpoint(name)
    return dataclasses.replace(row, options=dict(row.options) | options)


def test_a_compiled_model_paints_the_same_and_has_a_key_of_its_own():
    """By a backend that compiles to plain calls, so that no compiler is needed."""
    row = _with("tiny-sd", compile="eager")
    plain = Diffusers(tiny.checkpoint("tiny-sd"))
    (pipe,) = Diffusers(row).loaded()
    assert pipe.unet._compiled_call_impl is not None
    assert plain.loaded()[0].unet._compiled_call_impl is None
    assert digests(Diffusers(row)(PROMPTS, SEEDS)) == digests(plain(PROMPTS, SEEDS))
    assert identity(Diffusers(row)) != identity(plain)
    assert ["compile", "eager"] in identity(Diffusers(row))["checkpoint"]["options"]


def test_compile_false_is_as_if_it_were_not_there():
    (pipe,) = Diffusers(_with("tiny-sd", compile=False)).loaded()
    assert pipe.unet._compiled_call_impl is None


def test_a_backend_that_there_is_not_is_told():
    with pytest.raises(LookupError, match=r"its option compile is true, false or a backend of"):
        Diffusers(_with("tiny-sd", compile="faster"))(PROMPTS, SEEDS)


TINY = {
    "tiny-cogview-4": "CogView4Pipeline",
    "tiny-lumina-2": "Lumina2Pipeline",
    "tiny-qwen-image": "QwenImagePipeline",
    "tiny-z-image": "ZImagePipeline",
}


@pytest.mark.parametrize("name", TINY)
def test_candidates_of_one_prompt_share_a_call_on_a_gpu(name, monkeypatch):
    """In a simulation of one: as many calls as prompts, and the pictures of those made alone."""
    row = tiny.checkpoint(name)
    (pipe,) = Diffusers(row).loaded()
    assert type(pipe).__name__ in module.OF_ONE_PROMPT
    prompts, seeds = ["a star", "a very long star of nine", "a star"], [3, 4, 5]
    alone = Diffusers(row)(prompts, seeds)
    sizes: list[int] = []
    plain = module._cascade

    def cascade(stages, settings, chunk):
        sizes.append(len(chunk))
        return plain(stages, settings, chunk)

    monkeypatch.setattr(module, "_cascade", cascade)
    settings = [Diffusers(row)._settings(pipe, 0)]
    with torch.inference_mode():
        made = module._by_prompt(
            lambda chunk: cascade([pipe], settings, chunk),
            prompts,
            seeds,
            dataclasses.replace(row, batch=2),
        )
    assert sizes == [2, 2]  # the second padded, as on the CPU
    for one, other in zip(alone, made, strict=True):
        distance = np.abs(images.array(one) - images.array(other))
        assert distance.max() <= 2 / 255  # last bits, as of every class in a batch
    assert np.abs(images.array(made[0]) - images.array(made[2])).max() > 2 / 255


def test_on_the_cpu_they_stay_alone(monkeypatch):
    assert device.kind() == "cpu"
    monkeypatch.setattr(module, "_by_prompt", None)
    row = dataclasses.replace(tiny.checkpoint("tiny-lumina-2"), batch=4)
    assert len(Diffusers(row)(["a star"] * 2, [1, 2])) == 2
