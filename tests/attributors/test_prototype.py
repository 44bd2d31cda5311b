from __future__ import annotations

import numpy as np
import pytest

from tests.attributors.conftest import accuracy
from tests.support import toys
from workbench import pipeline
from workbench.attributors.prototype import Prototype


def wide(method, images, store):
    scores = method(images, toys.zoo(), store=store).scores
    return scores.pivot(index="image_id", columns="generator", values="score")


def vectors(images, store):
    return pipeline.encode(images["image_id"], toys.Mean(), store, 16).matrix.astype(float)


def test_the_prototype_of_one_picture_is_that_picture(training, store):
    shots = training.groupby("source").head(1)
    found = wide(Prototype(toys.Mean(), size=16).fit(shots, toys.zoo(), store=store), shots, store)
    rows = vectors(shots, store)
    expected = rows @ rows.T
    assert np.allclose(found.loc[shots["image_id"], shots["source"]], expected, atol=1e-6)
    assert np.allclose(np.diag(expected), 1)


def test_scores_are_cosines_to_the_mean_of_each_models_pictures(images, training, store):
    method = Prototype(toys.Mean(), size=16).fit(training, toys.zoo(), store=store)
    found = wide(method, images, store)
    learned, tests = vectors(training, store), vectors(images, store)
    for name in toys.zoo():
        mean = learned[(training["source"] == name).to_numpy()].mean(axis=0)
        expected = tests @ mean / np.linalg.norm(mean)
        assert np.allclose(found.loc[images["image_id"], name], expected, atol=1e-6)
    assert method.fitted.pictures == 24


@pytest.mark.parametrize("shots", [1, 3, 6])
def test_toys_are_told_apart_from_few_pictures(shots, images, training, store):
    some = training.groupby("source").head(shots)
    method = Prototype(toys.Mean(), size=16).fit(some, toys.zoo(), store=store)
    assert accuracy(method(images, toys.zoo(), store=store).scores, images) >= 0.75


def test_a_picture_is_scored_by_what_is_learned_on_the_other_groups():
    rng = np.random.default_rng(0)
    rows, places = rng.normal(size=(12, 5)), np.tile([0, 1, 2], 4)
    groups = np.repeat(["a", "b", "c", "d"], 3)
    found = Prototype(toys.Mean()).out_of_group(rows, places, ["x", "y", "z"], groups)
    for i, row in enumerate(rows):
        for k in range(3):
            mean = rows[(places == k) & (groups != groups[i])].mean(axis=0)
            assert np.isclose(found[i, k], mean @ row / np.linalg.norm(mean))
    groups[places == 1] = "a"
    with pytest.raises(ValueError, match=r"^without a there is no picture of y to learn from$"):
        Prototype(toys.Mean()).out_of_group(rows, places, ["x", "y", "z"], groups)
