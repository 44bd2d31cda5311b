"""Scenes: what a prompt shows, whichever way it is drawn."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from workbench.catalogue import presets
from workbench.evaluation.prompts import scene, scenes
from workbench.pocket.world import parse


def test_a_scene_is_the_prompt_without_its_medium_as_the_grammar_reads_it():
    """The world's own parser must agree on every prompt that is shipped."""
    texts = presets.prompts(presets.preset("pocket"), "evaluation")
    parsed = {text: parse(text) for text in texts}
    assert None not in parsed.values()
    expected = [str(replace(found, medium="")) for found in parsed.values() if found]
    assert [scene(text) for text in parsed] == expected
    assert len(set(expected)) < len(texts)  # some scenes are there in two media


def test_a_prompt_of_another_world_is_its_own_scene():
    for text in (
        "a photo of a dog",
        "a photo of a red car",
        "an ink drawing of a star at night",
        "",
    ):
        assert scene(text) == text


def test_a_row_without_a_prompt_is_a_scene_of_its_own():
    table = pd.DataFrame(
        {
            "prompt": ["a photo of a red star on grass", "a red star on grass", None, None],
            "image_id": ["a", "b", "c", "d"],
        }
    )
    assert scenes(table) == ["a red star on grass", "a red star on grass", "c", "d"]
