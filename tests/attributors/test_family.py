from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tests.attributors.conftest import accuracy
from tests.support import toys
from workbench.attributors.family import Family, families_of
from workbench.attributors.probe import Probe
from workbench.weights.checkpoint import Checkpoint

KIN = {"red": "warm", "grey": "warm", "green": "cold", "blue": "cold"}


def wide(method, images, store):
    scores = method(images, toys.zoo(), store=store).scores
    return scores.pivot(index="image_id", columns="generator", values="score")


def test_models_without_kin_are_told_apart_as_by_the_probe(images, training, store):
    ours = Family(toys.Mean(), size=16).fit(training, toys.zoo(), store=store)
    theirs = Probe(toys.Mean(), size=16).fit(training, toys.zoo(), store=store)
    assert np.allclose(wide(ours, images, store), wide(theirs, images, store), atol=1e-9)


def test_the_family_is_that_of_a_probe_of_families_and_the_first_model_lies_in_it(
    images, training, store
):
    method = Family(toys.Mean(), KIN, size=16).fit(training, toys.zoo(), store=store)
    found = wide(method, images, store)
    joined = training.assign(source=training["source"].map(KIN))
    zoo = {"warm": toys.Toy((1, 0, 0)), "cold": toys.Toy((0, 1, 0))}
    probe = Probe(toys.Mean(), size=16).fit(joined, zoo, store=store)
    scores = probe(images, zoo, store=store).scores
    families = scores.pivot(index="image_id", columns="generator", values="score")
    for name in ("warm", "cold"):
        kin = [model for model, family in KIN.items() if family == name]
        assert np.allclose(found[kin].max(axis=1), families[name], atol=1e-9)
    assert (found.idxmax(axis=1).map(KIN) == families.idxmax(axis=1)).all()
    assert accuracy(method(images, toys.zoo(), store=store).scores, images) >= 0.75
    assert method.families == tuple(sorted(KIN.items()))


def test_a_family_of_one_decides_at_once(images, training, store):
    kin = {"red": "others", "grey": "others", "green": "others"}
    method = Family(toys.Mean(), kin, size=16).fit(training, toys.zoo(), store=store)
    found = np.exp(wide(method, images, store))
    best = found[["red", "grey", "green"]].max(axis=1) + found["blue"]
    assert np.allclose(best, 1)


def test_the_family_is_told_by_the_row_else_by_the_name():
    row = Checkpoint("a", "generator", "", "/weights", family="SD")
    model = SimpleNamespace(checkpoint=row)
    assert families_of({"one": model, "two": toys.Toy((1, 0, 0))}) == {"one": "SD", "two": "two"}


def test_the_strength_is_above_zero():
    with pytest.raises(ValueError, match=r"^the strength of a regression is above 0; seen 0$"):
        Family(toys.Mean(), strength=0)
