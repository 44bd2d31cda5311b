"""From the similarities of candidate images to the score of a model."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ranking.conftest import similarities
from workbench import ranking


def test_every_aggregation_follows_its_formula():
    a = np.array([[[0.9, 0.1, 0.2], [0.6, 0.5, 0.4]]])
    weights = np.exp(a / 0.05) / np.exp(a / 0.05).sum(axis=2, keepdims=True)
    assert ranking.mean(a) == pytest.approx(np.array([[0.4, 0.5]]))
    assert ranking.maximum(a) == pytest.approx(np.array([[0.9, 0.6]]))
    assert ranking.softmax(a) == pytest.approx((weights * a).sum(axis=2))
    # the three nearest are .9 of the first model, .6 and .5 of the second
    assert ranking.knn(a) == pytest.approx(np.array([[1 / 3 + 0.4e-6, 2 / 3 + 0.5e-6]]))


@pytest.mark.parametrize("aggregate", ranking.AGGREGATIONS)
def test_one_candidate_image_leaves_nothing_to_aggregate(aggregate):
    cube = np.random.default_rng(0).random((20, 4, 1))
    got = ranking.rank(ranking.score(similarities(cube), "a", aggregate))
    best = got[got["rank"] == 1].set_index("image_id")["generator"]
    assert list(best) == [f"g{k}" for k in cube[:, :, 0].argmax(axis=1)]


def test_an_unknown_aggregation_names_the_known_ones():
    sentence = "no aggregation named 'median'; there are: mean, max, softmax, knn"
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        ranking.score(similarities(np.ones((1, 2, 1))), "a", "median")
