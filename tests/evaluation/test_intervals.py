"""No interval of a measure says that something is known exactly."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from workbench.evaluation import metrics
from workbench.evaluation.statistics import (
    bootstrap_interval,
    clopper_pearson,
    cluster_interval,
)


def outcomes(correct: list[bool], prompts: list[str], ranks: list[float]) -> pd.DataFrame:
    count = len(correct)
    return pd.DataFrame(
        {
            "image_id": [str(n) for n in range(count)],
            "attributor": "chance",
            "truth": ["one", "two"] * (count // 2),
            "prompt": prompts,
            "predicted": "one",
            "correct": correct,
            "accepted": True,
            "margin": 0.1,
            "rank_of_truth": ranks,
            "failure": None,
        }
    )


def test_where_the_bootstrap_says_something_it_is_what_it_was():
    values, groups = [1, 0, 1, 1, 0, 0], list("aabbcc")
    assert cluster_interval(values, groups) == bootstrap_interval(values, groups)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_or_none_right_is_exact_over_the_prompts(value):
    found = cluster_interval([value] * 12, list("abcd") * 3)
    exact = clopper_pearson(int(value * 4), 4)
    assert (found.value, found.low, found.high, found.n) == (value, exact.low, exact.high, 12)


def test_of_a_single_prompt_it_is_exact_over_the_pictures():
    found = cluster_interval([1, 1, 0, 1, 0, 0, 1, 1], ["a"] * 8)
    exact = clopper_pearson(5, 8)
    assert (found.value, found.low, found.high, found.n) == (5 / 8, exact.low, exact.high, 8)


def test_prompts_that_are_all_half_right_are_not_known_exactly_either():
    found = cluster_interval([1, 0] * 5, list("aabbccddee"))
    assert (found.low, found.high) == (clopper_pearson(5, 10).low, clopper_pearson(5, 10).high)


def test_numbers_of_one_prompt_are_drawn_one_by_one_and_equal_ones_have_none():
    values = [1.0, 2.0, 2.0, 3.0]
    found = cluster_interval(values, ["a"] * 4)
    one_by_one = bootstrap_interval(values, range(4))
    assert (found.low, found.high) == (one_by_one.low, one_by_one.high)
    equal = cluster_interval([0.5] * 4, list("aabb"))
    assert equal.value == 0.5
    assert math.isnan(equal.low)
    assert math.isnan(equal.high)


def test_missing_values_do_not_count():
    found = cluster_interval([1.0, math.nan, 1.0], ["a", "b", "c"])
    assert (found.low, found.n) == (clopper_pearson(2, 2).low, 2)
    assert cluster_interval([math.nan], ["a"]).n == 0


@pytest.mark.parametrize("prompts", [["a picture"] * 8, list("aabbccdd"), list("abcdefgh")])
@pytest.mark.parametrize("right", [0, 4, 8])
def test_no_measure_of_several_pictures_has_an_interval_without_width(prompts, right):
    correct = [n < right for n in range(8)]
    table = outcomes(correct, prompts, [1.0 if each else 2.0 for each in correct])
    found = metrics.measure(table)
    several = found[found["n"] > 1]
    assert (several["low"] != several["high"]).all()
    known = several.dropna(subset=["low"])
    assert (known["low"] <= known["value"]).all()
    assert (known["value"] <= known["high"]).all()
    proportions = known[known["metric"].isin(["accuracy", "coverage", "top2"])]
    assert len(proportions) == 9


def test_sets_of_one_prompt_are_measured_so_too():
    truth = pd.DataFrame({"image_id": list("ab"), "truth": ["one", "two"], "prompt": ["p", "p"]})
    sets = pd.DataFrame(
        {
            "image_id": np.repeat(list("ab"), 2),
            "attributor": "x",
            "generator": ["one", "two"] * 2,
            "included": [True, False, False, True],
        }
    )
    found = metrics.set_metrics(sets, truth).set_index(["metric", "slice"])
    assert found.loc[("set_coverage", "all"), "low"] == clopper_pearson(2, 2).low
    assert math.isnan(found.loc[("set_size", "all"), "low"])
