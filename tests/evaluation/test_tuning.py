"""A choice by cross-validation: scenes stay together, and what is chosen is what generalises."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import pytest

from workbench import frames
from workbench.attributors import Stages
from workbench.evaluation.prompts import scene
from workbench.evaluation.tuning import choose

ZOO = {"a": None, "b": None}
SEEN: list[tuple[set[str], set[str]]] = []


@dataclass(frozen=True)
class Learner:
    """Know its training pictures by heart, or the rule behind them; or neither."""

    kind: str
    known: tuple[tuple[str, str], ...] = ()

    def fit(self, images, zoo, *, store, seed=0, progress=None):
        return Learner(self.kind, tuple(zip(images["image_id"], images["source"], strict=True)))

    def __call__(self, images, zoo, *, store, seed=0, progress=None):
        SEEN.append((set(dict(self.known)), set(images["image_id"])))
        heart = dict(self.known)
        rows = []
        for row in images.itertuples():
            rule = {"rule": row.source, "heart": heart.get(row.image_id, "b")}.get(self.kind, "a")
            rows += [
                {"image_id": row.image_id, "attributor": repr(self), "generator": name,
                 "score": float(name == rule)}
                for name in zoo
            ]  # fmt: skip
        empty = {name: frames.empty(name) for name in ("prompts", "candidates", "similarities")}
        return Stages(**empty, scores=frames.build("scores", rows))


def pictures(texts) -> pd.DataFrame:
    rows = [
        {"image_id": f"{number}{name}", "source": name, "prompt": text}
        for number, text in enumerate(texts)
        for name in ZOO
    ]
    return frames.build("images", rows)


TEXTS = [f"{medium}a red star {place}" for medium in ("", "a photo of ")
         for place in ("on grass", "on sand", "at night")]  # fmt: skip


def test_what_generalises_is_chosen_and_what_knows_its_pictures_is_not():
    images = pictures(TEXTS)
    best, table = choose([Learner("heart"), Learner("rule")], images, ZOO, store=None, folds=3)
    assert best == Learner("rule")
    assert table["accuracy"].tolist() == [0.5, 1.0]  # by heart it is chance, where it is judged
    assert table["n"].tolist() == [12, 12]  # each picture once


def test_no_scene_is_on_both_sides_of_a_fold():
    SEEN.clear()
    images = pictures(TEXTS)
    shown = dict(zip(images["image_id"], map(scene, images["prompt"]), strict=True))
    choose([Learner("rule"), Learner("heart")], images, ZOO, store=None, folds=3)
    assert len(SEEN) == 6
    for inside, outside in SEEN:
        assert not {shown[name] for name in inside} & {shown[name] for name in outside}


def test_equals_go_to_the_first_and_one_alone_needs_no_judging():
    SEEN.clear()
    images = pictures(TEXTS[:1])
    best, table = choose([Learner("x")], images, ZOO, store=None)
    assert (best, SEEN, table["n"].tolist()) == (Learner("x"), [], [0])
    two = [Learner("one"), Learner("other")]
    assert choose(two, pictures(TEXTS), ZOO, store=None)[0] == Learner("one")


def test_what_cannot_be_chosen_is_refused():
    with pytest.raises(ValueError, match=r"^there is nothing to choose from: the grid is empty$"):
        choose([], pictures(TEXTS), ZOO, store=None)
    two = [Learner("one"), Learner("other")]
    with pytest.raises(ValueError, match=r"^a choice needs pictures of two scenes .*; seen 1$"):
        choose(two, pictures(TEXTS[:1]), ZOO, store=None)
