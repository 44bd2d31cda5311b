"""The cost of likelihood ratios: closed forms, published values, laws."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.optimize import isotonic_regression
from scipy.stats import norm
from sklearn.metrics import log_loss

from workbench.evaluation.likelihood import cllr, cost, minimum_cllr, ratios


def lrs(different, same) -> tuple[np.ndarray, np.ndarray]:
    """Lay ratios of either kind out as log10 and labels."""
    values = np.array([*different, *same], dtype=float)
    with np.errstate(divide="ignore"):
        return np.log10(values), np.arange(len(values)) >= len(different)


@pytest.mark.parametrize(
    ("different", "same", "expected"),
    [
        ([1, 1], [1, 1], 1.0),  # they say nothing: one bit
        ([3, 3], [1 / 3, 1 / 3], 2.0),  # log2(1 + 3)
        ([1 / 3] * 2, [3] * 2, math.log2(4 / 3)),
        ([1 / 3] * 2, [1], (math.log2(4 / 3) + 1) / 2),
        ([2], [2, 2], (math.log2(3) + math.log2(1.5)) / 2),
        ([8], [8] * 8, (math.log2(9) + math.log2(9 / 8)) / 2),
        ([0, 0], [math.inf, math.inf], 0.0),  # perfect
        ([0, 0], [1, 1], 0.5),
        ([1, 1], [0, 1], math.inf),  # certain, and wrong
    ],
)
def test_the_cost_has_its_closed_form(different, same, expected):
    assert cllr(*lrs(different, same)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("misleading", "expected"),
    [
        (0, 0.507177646488535),
        (1, 0.5400680236656377),
        (2, 0.5723134914863265),
        (6, 0.6952113122368764),
    ],
)
def test_the_cost_is_what_lir_publishes(misleading, expected):
    """Tests of lir, the toolkit of the Netherlands Forensic Institute: 100 ratios of 1 / 100."""
    found = cllr(*lrs([1 / 100] * 100 + [100] * misleading, [1]))
    assert found == pytest.approx(expected, abs=1e-9)


def test_the_cost_is_the_log_loss_at_even_odds():
    """With as many of either kind, Cllr is the cross-entropy of the posteriors in bits."""
    rng = np.random.default_rng(0)
    same = np.repeat([True, False], 50)
    log10 = rng.normal(np.where(same, 0.6, -0.6), 1)
    posterior = 1 / (1 + 10**-log10)
    assert cllr(log10, same) == pytest.approx(log_loss(same, posterior) / math.log(2), abs=1e-9)


def test_calibrated_normal_ratios_cost_their_integral():
    """ln LR ~ N(±σ² / 2, σ²) is calibrated (van Leeuwen & Brümmer 2013); quantiles against it."""
    deviation = 2.0
    steps = norm.ppf((np.arange(200_000) + 0.5) / 200_000) * deviation
    values = np.concatenate([deviation**2 / 2 + steps, -(deviation**2) / 2 + steps])
    same = np.repeat([True, False], len(steps))
    expected, _ = quad(
        lambda x: norm.pdf(x, deviation**2 / 2, deviation) * np.logaddexp(0, -x) / math.log(2),
        -20,
        25,
    )
    assert cllr(values / math.log(10), same) == pytest.approx(expected, abs=1e-5)


def test_the_smallest_cost_is_that_of_the_pool_adjacent_violators_of_scipy():
    rng = np.random.default_rng(1)
    same = rng.random(200) < 0.3
    values = rng.normal(same * 1.0, 1)  # no two are equal
    order = np.argsort(values)
    share = isotonic_regression(same[order].astype(float)).x
    prior = same.mean()
    with np.errstate(divide="ignore"):
        odds = np.log10(share / (1 - share)) - np.log10(prior / (1 - prior))
    assert minimum_cllr(values, same) == pytest.approx(cllr(odds, same[order]), abs=1e-9)


def test_ratios_that_part_the_kinds_have_no_smallest_cost():
    values, same = lrs([0.1, 0.2, 0.3], [0.4, 5, math.inf])
    assert minimum_cllr(values, same) == pytest.approx(0, abs=1e-9)
    found = cost(values, same)
    assert found.loss == pytest.approx(found.cllr)
    assert (found.same, found.different) == (3, 3)


@pytest.mark.parametrize(
    ("different", "same"), [([1] * 10, [1]), ([4, 0.25, 0.25, 0.25, 0.25, 1], [4] * 4 + [0.25, 1])]
)
def test_calibrated_ratios_lose_nothing(different, same):
    assert cost(*lrs(different, same)).loss == pytest.approx(0, abs=1e-9)


def test_the_smallest_cost_knows_only_the_order_and_is_no_larger():
    rng = np.random.default_rng(2)
    same = rng.random(300) < 0.25
    values = rng.normal(np.where(same, 1, -1), 1.5).round(1)  # with ties
    one = cost(values, same)
    two = cost(values * 3 + 1, same)
    assert one.minimum == pytest.approx(two.minimum, abs=1e-9)
    assert 0 < one.minimum <= one.cllr <= two.cllr
    order = rng.permutation(300)
    assert cost(values[order], same[order]).cllr == pytest.approx(one.cllr)


def test_a_cost_needs_trials_of_both_kinds():
    with pytest.raises(ValueError, match=r"of others; seen 2 and 0$"):
        cllr([1, 2], [True, True])


def test_every_picture_gives_one_trial_of_its_model_and_one_of_each_other():
    values = {"x": [0.8, 0.1, 0.1], "y": [0.2, 0.5, 0.3], "lost": [math.nan] * 3}
    probabilities = pd.DataFrame(
        [
            {"image_id": image, "generator": name, "probability": p}
            for image, row in values.items()
            for name, p in zip("abc", row, strict=True)
        ]
    )
    truth = pd.DataFrame(
        {"image_id": ["x", "y", "lost"], "truth": ["a", "c", "a"], "prompt": ["p", "q", "q"]}
    )
    found = ratios(probabilities, truth)
    assert len(found) == 6
    own = found[found["same"]].set_index("image_id")["log10_lr"]
    assert own["x"] == pytest.approx(math.log10(0.8 / 0.2 * 2))
    assert own["y"] == pytest.approx(math.log10(0.3 / 0.7 * 2))
    assert set(found["prompt"]) == {"p", "q"}
    uneven = ratios(probabilities, truth, {"a": 0.5, "b": 0.25, "c": 0.25})
    same = uneven[uneven["same"]].set_index("image_id")["log10_lr"]
    assert same["x"] == pytest.approx(math.log10(4))
    with pytest.raises(LookupError, match=r"^there is no prior probability of b, c$"):
        ratios(probabilities, truth, {"a": 1.0})
