"""A real safety checker, tiny and untrained, that blacks every picture; and rows without it."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from pathlib import Path

import pytest
import torch

from tests.generators.conftest import PROMPTS, SEEDS, digests
from tests.support.models import tiny
from workbench.catalogue import registry
from workbench.generators import BLACKED, Failure
from workbench.generators.diffusers import Diffusers


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """Give tiny-sd a checker whose concepts are nearer than any picture can be."""
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    row = tiny.checkpoint("tiny-sd")
    folder = tmp_path_factory.mktemp("guarded") / "tiny-sd"
    shutil.copytree(row.source, folder)
    vision = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    vision |= {"num_attention_heads": 2, "image_size": 8, "patch_size": 4, "projection_dim": 4}
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=4))
    with torch.no_grad():
        checker.concept_embeds_weights.fill_(-2)
    checker.half().save_pretrained(folder / "safety_checker", safe_serialization=True)
    processor = CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    processor.save_pretrained(folder / "feature_extractor")
    index = Path(folder) / "model_index.json"
    parts = json.loads(index.read_text()) | {
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "requires_safety_checker": True,
    }
    index.write_text(json.dumps(parts))
    return dataclasses.replace(row, source=str(folder))


def _with(row, value):
    return dataclasses.replace(row, options=dict(row.options) | {"safety_checker": value})


def test_the_checker_of_the_files_is_loaded_unless_the_row_leaves_it_out(guarded, caplog):
    assert Diffusers(guarded)(PROMPTS, SEEDS) == [Failure(BLACKED)] * 2
    assert Diffusers(_with(guarded, True))(PROMPTS, SEEDS) == [Failure(BLACKED)] * 2
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        free = Diffusers(_with(guarded, False))
        made = free(PROMPTS, SEEDS)
    assert digests(made) == digests(Diffusers(tiny.checkpoint("tiny-sd"))(PROMPTS, SEEDS))
    (pipe,) = free.loaded()
    assert pipe.safety_checker is None
    assert "safety" not in caplog.text  # the library has no lecture for who said so in a row


def test_a_row_without_a_checker_may_say_so_too():
    """Classes that have none, and cascades: the option changes nothing."""
    for name in ("tiny-sd", "tiny-if", "tiny-pixart"):
        row = tiny.checkpoint(name)
        plain = digests(Diffusers(row)(PROMPTS, SEEDS))
        assert digests(Diffusers(_with(row, False))(PROMPTS, SEEDS)) == plain


def test_the_option_is_true_or_false(guarded):
    sentence = (
        r"^the weights of 'tiny-sd' cannot be loaded: its option safety_checker is true or false; "
        r"seen 'no'; "
    )
    with pytest.raises(LookupError, match=sentence):
        Diffusers(_with(guarded, "no"))(PROMPTS, SEEDS)


def test_rows_of_the_catalogue_say_nothing_of_it_and_keep_their_keys():
    rows = registry.rows_of("generator").values()
    assert not [row.name for row in rows if row.option("safety_checker") is not None]
