"""Ranks, ties, margins, their threshold, and decisions."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from tests.ranking.conftest import similarities
from workbench import frames, ranking
from workbench.keys import digest


def attribute(cube: np.ndarray, aggregate: str = "mean", threshold: float | None = None):
    return ranking.decide(
        ranking.rank(ranking.score(similarities(cube), "a", aggregate)), threshold
    )


@pytest.mark.parametrize("aggregate", ranking.AGGREGATIONS)
def test_rankings_do_not_depend_on_the_order_of_rows_or_on_company(aggregate):
    cube = np.random.default_rng(1).integers(0, 3, (12, 4, 4)) / 2  # many ties
    table = similarities(cube)
    key = ["image_id", "generator"]
    whole = ranking.rank(ranking.score(table, "a", aggregate)).set_index(key).sort_index()
    shuffled = table.sample(frac=1, random_state=0)
    again = ranking.rank(ranking.score(shuffled, "a", aggregate)).set_index(key).sort_index()
    pd.testing.assert_frame_equal(whole, again)
    alone = ranking.rank(ranking.score(table[table["image_id"] == "i7"], "a", aggregate))
    pd.testing.assert_frame_equal(
        whole.loc[["i7"]], alone.set_index(key).sort_index(), check_like=True
    )


def test_a_failed_candidate_image_is_left_out_and_a_failed_model_comes_last():
    cube = np.array([[[0.5, np.nan], [0.4, 0.4], [np.nan, np.nan]]])
    for aggregate in ranking.AGGREGATIONS:
        got = ranking.rank(ranking.score(similarities(cube), "a", aggregate))
        assert got["generator"].iloc[2] == "g2"
        assert math.isnan(got["score"].iloc[2])
    assert ranking.score(similarities(cube), "a")["score"].iloc[0] == 0.5


def test_an_image_without_any_similarity_stays_as_a_miss():
    scores = ranking.score(
        similarities(np.ones((1, 2, 1))), "a", images=["i0", "lost"], generators=["g0", "g1"]
    )
    got = ranking.decide(ranking.rank(scores)).set_index("image_id")
    assert pd.isna(got.loc["lost", "predicted"])
    assert math.isnan(got.loc["lost", "margin"])
    assert not got.loc["lost", "accepted"]


def test_one_comparable_model_is_no_comparison():
    got = attribute(np.array([[[0.5], [np.nan]]]))
    assert got["predicted"].item() == "g0"
    assert not got["accepted"].item()


def test_a_tie_goes_to_the_smaller_hash_and_abstains():
    got = attribute(np.full((40, 3, 2), 0.5)).set_index("image_id")
    for image, row in got.iterrows():
        expected = min(["g0", "g1", "g2"], key=lambda name: digest([image, name]))
        assert row["predicted"] == expected
    assert set(got["margin"]) == {0.0}
    assert not got["accepted"].any()
    assert got["predicted"].nunique() == 3


def test_knn_settles_an_equal_nearest_by_the_same_hash():
    cube = np.full((40, 3, 1), 0.5)
    table = ranking.rank(ranking.score(similarities(cube), "a", "knn"))
    best = table[table["rank"] == 1].set_index("image_id")["generator"]
    for image, name in best.items():
        assert name == min(["g0", "g1", "g2"], key=lambda g: digest([image, g]))


def test_the_margin_is_the_distance_of_the_first_two_and_the_threshold_is_inclusive():
    cube = np.array([[[0.75], [0.5], [0.25]]])
    assert attribute(cube)["margin"].item() == 0.25
    assert attribute(cube)["accepted"].item()
    assert attribute(cube, threshold=0.25)["accepted"].item()
    assert not attribute(cube, threshold=0.26)["accepted"].item()
    assert not attribute(cube, threshold=math.inf)["accepted"].item()


def test_two_similarities_are_not_mixed():
    one = similarities(np.ones((1, 2, 1)))
    sentence = "scores are of one similarity at a time; the table holds s, t"
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        ranking.score(pd.concat([one, one.assign(similarity="t")]), "a")


def test_no_image_at_all_is_no_row():
    nothing = ranking.score(frames.empty("similarities"), "m", images=[], generators=["a", "b"])
    assert list(nothing.columns) == ["image_id", "attributor", "generator", "score"]
    assert nothing.empty
