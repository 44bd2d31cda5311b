"""The threshold of a margin: closed forms, and false certification at the stated level."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from workbench import ranking
from workbench.ranking.fixed_sequence import threshold, thresholds

RUNS = 2000
ALLOWED = 0.05 + 2 * math.sqrt(0.05 * 0.95 / RUNS)


def smallest_passing(margins: np.ndarray, correct: np.ndarray) -> float:
    """Find the smallest of all margins with a good bound, each tested by itself."""
    from scipy.stats import beta

    order = np.argsort(-margins)
    n, wrong = np.arange(1, len(margins) + 1), np.cumsum(~correct[order])
    good = np.flatnonzero(beta.ppf(0.95, wrong + 1, np.maximum(n - wrong, 1e-9)) <= 0.05)
    return float(margins[order][good[-1]]) if len(good) else math.inf


def certified(runs, risk, find) -> float:
    """Share of the runs in which a threshold was found whose true risk is above 5 %."""
    return sum(risk(found) > 0.05 for found in map(find, runs) if found < math.inf) / RUNS


def flat(rng, clusters, pictures, alike):
    """Draw margins that tell nothing: 5.1 % of the calls are wrong, together within a cluster."""
    shared = rng.standard_normal((clusters, 1))
    own = rng.standard_normal((clusters, pictures))
    latent = math.sqrt(alike) * shared + math.sqrt(1 - alike) * own
    margins = rng.random((clusters, pictures))
    return margins.ravel(), (norm.cdf(latent) > 0.051).ravel()


@pytest.mark.parametrize(
    ("clusters", "pictures", "alike"),
    [(400, 1, 0.0), (100, 4, 0.0), (100, 4, 0.5), (100, 4, 1.0), (200, 4, 1.0)],
)
def test_margins_that_tell_nothing_are_rarely_certified(clusters, pictures, alike):
    rng = np.random.default_rng(clusters + pictures)
    runs = (flat(rng, clusters, pictures, alike) for _ in range(RUNS))
    places = np.repeat(np.arange(clusters), pictures)
    assert certified(runs, lambda _: 0.051, lambda run: threshold(*run, places)) <= ALLOWED


def rising(rng, clusters, pictures, alike):
    """Draw calls that are wrong more often the smaller the margin: in (1 − m)² / 5 of them."""
    shared = rng.standard_normal((clusters, 1))
    own = rng.standard_normal((clusters, pictures))
    latent = norm.cdf(math.sqrt(alike) * shared + math.sqrt(1 - alike) * own)
    margins = rng.random((clusters, pictures))
    return margins.ravel(), (latent > (1 - margins) ** 2 / 5).ravel()


def rising_risk(found: float) -> float:
    """Mean of (1 − m)² / 5 over the margins from ``found`` to 1."""
    return (1 - found) ** 2 / 15


@pytest.mark.parametrize(
    ("clusters", "pictures", "alike"), [(400, 1, 0.0), (100, 4, 0.6), (300, 4, 0.3)]
)
def test_where_margins_tell_errors_the_level_is_kept(clusters, pictures, alike):
    rng = np.random.default_rng(clusters + 7 * pictures)
    runs = (rising(rng, clusters, pictures, alike) for _ in range(RUNS))
    places = np.repeat(np.arange(clusters), pictures)
    assert certified(runs, rising_risk, lambda run: threshold(*run, places)) <= ALLOWED


def test_the_smallest_passing_margin_does_not_keep_it():
    rng = np.random.default_rng(404)
    runs = [flat(rng, 400, 1, 0.0) for _ in range(RUNS)]
    assert certified(runs, lambda _: 0.051, lambda run: smallest_passing(*run)) > 0.12


def test_without_clusters_the_level_is_lost_where_prompts_go_together():
    rng = np.random.default_rng(104)
    runs = [flat(rng, 100, 4, 1.0) for _ in range(RUNS)]
    assert certified(runs, lambda _: 0.051, lambda run: threshold(*run)) > ALLOWED


@pytest.mark.parametrize("pictures", [1, 4])
def test_a_margin_that_tells_errors_well_is_accepted(pictures):
    rng = np.random.default_rng(pictures)
    margins = rng.random(800)
    correct = (margins > 0.5) | (rng.random(800) < 0.5)
    found = threshold(margins, correct, np.repeat(range(800 // pictures), pictures))
    assert 0.3 < found < 0.5


def test_a_test_is_the_bound_of_clopper_and_pearson():
    """Without clusters, the sequence ends before the first margin whose bound is above 5 %."""
    rng = np.random.default_rng(0)
    margins = rng.random(400).round(2)
    correct = rng.random(400) < np.clip(0.7 + margins, 0, 1)

    def bound(t: float) -> float:
        kept = margins >= t
        test = binomtest(int((~correct[kept]).sum()), int(kept.sum()), alternative="less")
        return test.proportion_ci(0.95, method="exact").high

    seen = np.unique(margins[margins > 0])[::-1]
    begin = next(t for t in seen if (margins >= t).sum() >= 100)
    expected = math.inf
    for t in seen[seen <= begin]:
        if bound(t) > 0.05:
            break
        expected = t
    assert expected < begin
    assert ranking.threshold(margins, correct) == expected


def test_equal_margins_are_accepted_together():
    assert threshold([0.5] * 100, [True] * 100) == 0.5
    assert threshold([0.5] * 100 + [0.4] * 40, [True] * 100 + [False] * 40) == 0.5


def test_59_prompts_without_error_are_enough_and_58_are_not():
    for prompts, expected in ((58, math.inf), (59, 0.5)):
        values = np.full(4 * prompts, 0.5)
        found = threshold(values, values > 0, np.repeat(range(prompts), 4))
        assert found == expected


def test_order_does_not_matter():
    rng = np.random.default_rng(5)
    margins, correct = rising(rng, 200, 4, 0.2)
    places, order = np.repeat(range(200), 4), rng.permutation(800)
    one = threshold(margins, correct, places)
    assert one < math.inf
    assert threshold(margins[order], correct[order], places[order]) == one


def test_no_good_bound_means_always_abstain():
    assert threshold([0.1] * 500, [False] * 500) == math.inf
    assert threshold([], []) == math.inf
    assert threshold([0.0, math.nan], [True, True]) == math.inf


def test_every_margin_has_its_outcome():
    with pytest.raises(ValueError, match=r"outcome and its cluster; seen 2, 1 and 2$"):
        threshold([0.1, 0.2], [True])


def test_each_model_called_has_a_threshold_of_its_own():
    margins = np.tile(np.linspace(0.1, 1, 200), 2)
    called = np.repeat(["glide", "sd"], 200)
    correct = (called == "glide") | (margins > 0.45)
    found = thresholds(margins, correct, called)
    assert found["glide"] == pytest.approx(0.1)
    assert 0.4 < found["sd"] < 0.46
    single = threshold(margins[200:], correct[200:], confidence=0.975)
    assert found["sd"] == single


def test_two_models_that_are_called_keep_the_level_together():
    rng = np.random.default_rng(9)
    bad = 0
    for _ in range(RUNS):
        margins, correct = flat(rng, 400, 1, 0.0)
        called = np.where(rng.random(400) < 0.5, "one", "two")
        bad += min(thresholds(margins, correct, called).values()) < math.inf
    assert bad / RUNS <= ALLOWED
