"""The pocket world: captions that read back, splits that never meet, pictures that repeat."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from workbench.pocket import data
from workbench.pocket.drawing import render
from workbench.pocket.recipes.clip import patch_labels, shares
from workbench.pocket.world import (
    COLOURS,
    CORPORA,
    MEDIA,
    SHAPES,
    Corpus,
    draw_scene,
    mixture,
    parse,
    prompts,
    scenes,
)


@pytest.mark.parametrize("corpus", CORPORA)
def test_every_caption_reads_back(corpus: str) -> None:
    for scene in islice(scenes("train", CORPORA[corpus], seed=5), 300):
        assert parse(str(scene)) == scene


@pytest.mark.parametrize(
    "text", ["", "a", "a red dog on grass", "a red star", "on grass", "a red star above on grass"]
)
def test_what_the_grammar_does_not_make_reads_as_none(text: str) -> None:
    assert parse(text) is None


def test_the_splits_hold_80_10_10_percent_and_share_no_content() -> None:
    corpus, found = CORPORA["world"], {}
    rng = np.random.default_rng(0)
    drawn = [draw_scene(corpus, rng) for _ in range(4000)]
    for scene in drawn:
        content = (scene.things, scene.relation, scene.background)
        assert found.setdefault(content, scene.split) == scene.split
    shares = [
        np.mean([scene.split == split for scene in drawn])
        for split in ("train", "calibration", "evaluation")
    ]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.025)


def test_no_medium_moves_a_scene_to_another_split() -> None:
    for scene in islice(scenes("evaluation", CORPORA["world"], seed=1), 50):
        assert {replace(scene, medium=medium).split for medium in ["", *MEDIA]} == {"evaluation"}


def test_training_data_refuses_every_split_but_train() -> None:
    with pytest.raises(
        ValueError, match=r"^the zoo trains on the split 'train' only, not on 'evaluation'$"
    ):
        data.pictures("world", 4, split="evaluation")


def test_pictures_repeat_with_the_seed_and_differ_without(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WORKBENCH_TRAINING", str(tmp_path))
    drawn = data.pictures("laion", 12)
    assert drawn.pixels.shape == (12, 64, 64, 3)
    assert drawn.pixels.dtype == np.uint8
    assert all(parse(caption).split == "train" for caption in drawn.captions)
    assert len(drawn.captions) == len({picture.tobytes() for picture in drawn.pixels}) == 12
    again = data.pictures("laion", 12)
    assert (drawn.pixels == again.pixels).all()


def test_every_pixel_tells_the_thing_it_shows(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WORKBENCH_TRAINING", str(tmp_path))
    drawn = data.pictures("world", 40)
    for shown, caption in zip(drawn.shown, drawn.captions, strict=True):
        assert set(np.unique(shown)) == set(range(len(parse(caption).things) + 1))
    shapes, colours = patch_labels(drawn.shown, drawn.captions)
    first = parse(drawn.captions[0]).things[0]
    assert set(shapes[0][drawn.shown[0] == 1]) == {SHAPES.index(first.shape) + 1}
    assert set(colours[0][drawn.shown[0] == 1]) == {list(COLOURS).index(first.colour) + 1}
    share = shares(shapes, len(SHAPES) + 1)
    assert share.shape == (40, 64, len(SHAPES) + 1)
    assert share[3, 17, 0].item() == (shapes[3, 16:24, 8:16] == 0).mean()  # row 2, column 1


def test_pictures_alike_differ_in_one_shape_alone(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WORKBENCH_TRAINING", str(tmp_path))
    captions = data.pictures("world", 4 * data.ALIKE, alike=True).captions
    for start in range(0, len(captions), data.ALIKE):
        run = [parse(caption) for caption in captions[start : start + data.ALIKE]]
        assert {scene.split for scene in run} == {"train"}
        assert len({scene.things[0].shape for scene in run}) == data.ALIKE
        same = {replace(s, things=(replace(s.things[0], shape="star"), *s.things[1:])) for s in run}
        assert len(same) == 1


def test_a_named_medium_is_drawn_and_an_unnamed_one_follows_the_corpus() -> None:
    flat = Corpus(mixture(flat=1.0))
    rng = np.random.default_rng(0)
    named = next(scene for scene in scenes("train", CORPORA["world"], 3) if scene.medium == "ink")
    assert flat.dialect(named, rng) == "ink"
    unnamed = next(scene for scene in scenes("train", CORPORA["world"], 3) if not scene.medium)
    assert flat.dialect(unnamed, rng) == "flat"
    assert render(unnamed, flat, rng).size == (64, 64)


def test_prompts_differ_from_one_another_and_come_from_their_split() -> None:
    found = prompts("calibration", 200, CORPORA["world"], seed=9)
    assert len(set(found)) == 200
    assert {parse(text).split for text in found} == {"calibration"}


def test_captions_without_medium_keep_it_for_the_given_share() -> None:
    captions = [str(s) for s in islice(scenes("train", CORPORA["world"], 0), 400) if s.medium]
    kept = [parse(text).medium != "" for text in data.content(captions, keep_medium=0.25, seed=0)]
    assert np.mean(kept) == pytest.approx(0.25, abs=0.1)
