from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import beta, bootstrap

from workbench.evaluation.statistics import (
    bootstrap_interval,
    clopper_pearson,
    holm,
    paired_difference,
)


def test_equal_values_have_no_width():
    found = bootstrap_interval([1.0] * 8, list("aabbccdd"))
    assert (found.value, found.low, found.high, found.n) == (1.0, 1.0, 1.0, 8)


def test_groups_are_drawn_whole():
    """Two prompts, one all right and one all wrong: a draw is 0, ½ or 1, however many pictures."""
    found = bootstrap_interval([1] * 50 + [0] * 50, ["a"] * 50 + ["b"] * 50)
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)


def test_order_and_names_of_the_groups_do_not_matter():
    rng = np.random.default_rng(0)
    values, groups = rng.random(60), np.repeat(np.arange(20), 3)
    one = bootstrap_interval(values, groups)
    order = rng.permutation(60)
    two = bootstrap_interval(values[order], groups[order])
    assert (one.low, one.high) == pytest.approx((two.low, two.high))


def test_scipy_agrees_where_every_group_is_one_value():
    values = np.random.default_rng(1).random(80)
    found = bootstrap_interval(values, range(80), draws=20000)
    other = bootstrap((values,), np.mean, method="percentile", n_resamples=20000, rng=0)
    low, high = other.confidence_interval
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.003)


def test_the_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(2)
    hits = 0
    for trial in range(200):
        rates = rng.beta(8, 2, 60)  # prompts differ
        values = (rng.random((60, 4)) < rates[:, None]).astype(float)
        found = bootstrap_interval(values.ravel(), np.repeat(np.arange(60), 4), 500, trial)
        hits += found.low <= 0.8 <= found.high
    assert hits >= 180


def test_missing_values_are_left_out_and_nothing_gives_nothing():
    found = bootstrap_interval([1.0, math.nan, 0.0], ["a", "a", "b"])
    assert (found.value, found.n) == (0.5, 2)
    nothing = bootstrap_interval([math.nan], ["a"])
    assert math.isnan(nothing.value)
    assert nothing.n == 0


def test_clopper_pearson_is_the_beta_quantile():
    found = clopper_pearson(93, 100)
    assert found.low == pytest.approx(beta.ppf(0.025, 93, 8))
    assert found.high == pytest.approx(beta.ppf(0.975, 94, 7))
    with pytest.raises(ValueError, match=r"seen 3 of 2$"):
        clopper_pearson(3, 2)


def outcomes(correct, prompts="aabbcc"):
    import pandas as pd

    return pd.DataFrame(
        {
            "image_id": [str(i) for i in range(len(correct))],
            "truth": "m",
            "prompt": list(prompts),
            "correct": [letter == "1" for letter in correct],
        }
    )


def test_a_paired_difference_is_the_gain_and_mcnemars_p():
    from scipy.stats import binomtest

    gain, p = paired_difference(outcomes("111101"), outcomes("100011"))
    assert gain.value == pytest.approx(2 / 6)
    assert gain.n == 6
    assert gain.low <= gain.value <= gain.high
    assert p == pytest.approx(binomtest(3, 4).pvalue)  # 3 gained, 1 lost


def test_equal_methods_differ_by_nothing():
    gain, p = paired_difference(outcomes("110011"), outcomes("110011"))
    assert (gain.value, p) == (0, 1)
    assert gain.low == -gain.high < 0  # three prompts do not show that none differs


def test_other_pictures_are_refused():
    with pytest.raises(ValueError, match=r"^a paired comparison needs the same pictures"):
        paired_difference(outcomes("110011"), outcomes("11001", "aabbc"))


def test_holm_of_no_test_is_nothing():
    assert holm([]) == []
