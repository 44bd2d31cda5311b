"""Intervals that know the clusters: closed forms, second implementations, simulated coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import beta
from scipy.stats import t as student
from statsmodels.stats.proportion import proportion_confint

from workbench.evaluation.statistics import (
    Interval,
    accuracy_interval,
    influence_interval,
    influence_test,
    mean_interval,
    wilson,
)

RUNS = 2000


def simulated(clusters: int, pictures: int, share: float, alike: float, seed: int) -> np.ndarray:
    """Draw (RUNS, clusters, pictures) right or wrong; ``alike`` is the correlation in a cluster."""
    rng = np.random.default_rng(seed)
    if alike in (0, 1):
        drawn = rng.random((RUNS, clusters, 1 if alike else pictures)) < share
        return np.broadcast_to(drawn, (RUNS, clusters, pictures)).astype(float)
    strength = 1 / alike - 1
    rates = rng.beta(share * strength, (1 - share) * strength, (RUNS, clusters, 1))
    return (rng.random((RUNS, clusters, pictures)) < rates).astype(float)


def coverage(runs: np.ndarray, truth: float, interval) -> float:
    """Share of runs whose interval holds the truth; each different table is computed once."""
    ways, times = np.unique(np.sort(runs.sum(axis=2), axis=1), axis=0, return_counts=True)
    pictures = runs.shape[2]
    places = np.repeat(np.arange(runs.shape[1]), pictures)
    held = 0
    for right, count in zip(ways, times, strict=True):
        values = (np.arange(pictures) < right[:, None]).astype(float).ravel()
        found = interval(values, places)
        held += count * (found.low <= truth <= found.high)
    return held / len(runs)


@pytest.mark.parametrize(("clusters", "share"), [(10, 0.9), (25, 0.97), (50, 0.97)])
@pytest.mark.parametrize(("pictures", "alike"), [(1, 0.0), (4, 0.0), (4, 0.3), (4, 0.7), (4, 1.0)])
def test_an_accuracy_is_covered_at_95_percent_where_clusters_are_few(
    clusters, share, pictures, alike
):
    runs = simulated(clusters, pictures, share, alike, seed=clusters + pictures)
    error = math.sqrt(0.95 * 0.05 / RUNS)
    assert coverage(runs, share, accuracy_interval) >= 0.95 - 2 * error


@pytest.mark.parametrize(("clusters", "share"), [(10, 0.9), (25, 0.97)])
def test_the_percentile_bootstrap_does_not_cover_there(clusters, share):
    """What the intervals were before: of whole clusters, drawn with replacement."""
    runs = simulated(clusters, 1, share, 0.0, seed=clusters)
    drawn = np.random.default_rng(0).multinomial(clusters, np.full(clusters, 1 / clusters), 2000)

    def bootstrap(values, _):
        low, high = np.quantile(drawn @ values / clusters, [0.025, 0.975])
        return Interval(values.mean(), low, high, clusters)

    assert coverage(runs, share, bootstrap) < 0.7


@pytest.mark.parametrize(("clusters", "share"), [(100, 0.9), (100, 0.99)])
def test_an_accuracy_of_a_hundred_clusters_is_covered(clusters, share):
    runs = simulated(clusters, 1, share, 0.0, seed=clusters)
    assert coverage(runs, share, accuracy_interval) >= 0.95 - 2 * math.sqrt(0.95 * 0.05 / RUNS)


@pytest.mark.parametrize(
    ("clusters", "gained", "lost"), [(10, 0.2, 0.05), (25, 0.1, 0.04), (100, 0.1, 0.04)]
)
def test_a_paired_difference_is_covered_where_clusters_are_few(clusters, gained, lost):
    rng = np.random.default_rng(clusters)
    rates = rng.dirichlet(np.array([gained, lost, 1 - gained - lost]) * 6, (RUNS, clusters))
    drawn = rng.multinomial(4, rates)  # (RUNS, clusters, 3): gained, lost, the same
    held = 0
    for run in drawn:
        values = np.repeat(np.tile([1.0, -1.0, 0.0], clusters), run.ravel())
        found = mean_interval(values, np.repeat(np.arange(clusters), 4), (-1, 1))
        held += found.low <= gained - lost <= found.high
    assert held / RUNS >= 0.93  # of t intervals, which are as skewed as what they are of


def test_independent_pictures_have_the_interval_of_wilson():
    for right, n in ((9, 10), (0, 7), (50, 50), (373, 400)):
        low, high = proportion_confint(right, n, method="wilson")
        found = accuracy_interval([1] * right + [0] * (n - right))
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
        assert found == wilson(right, n)


def test_clusters_of_one_picture_have_the_interval_of_clopper_and_pearson():
    for right, n in ((22, 25), (2, 25), (0, 10), (10, 10)):
        low, high = proportion_confint(right, n, method="beta")
        found = accuracy_interval([1] * right + [0] * (n - right), range(n))
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


def test_a_design_effect_is_that_of_one_further_cluster_which_is_all_wrong():
    """Two errors, in one of ten clusters of four: variances written out."""
    wrong = np.array([2, *[0] * 9, 4.0])  # the last is the further one
    share = wrong.sum() / 44
    effect = ((wrong - share * 4) ** 2).sum() / (44 * share * (1 - share))
    found = accuracy_interval([0, 0] + [1] * 38, np.repeat(range(10), 4))
    low = beta.ppf(0.025, 38 / effect, 2 / effect + 1)
    high = beta.ppf(0.975, 38 / effect + 1, 2 / effect)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


def test_a_lone_error_does_not_make_a_perfect_share_surer():
    """The design effect of none is the largest, yet the lower end hardly rises with one error."""
    places = np.repeat(range(20), 4)
    none, one, two = (
        accuracy_interval([0] * wrong + [1] * (80 - wrong), places).low for wrong in (0, 1, 2)
    )
    assert two < one < none + 0.005


def test_pictures_that_are_all_alike_count_as_one_for_each_cluster():
    one = accuracy_interval([1] * 9 + [0] * 3, range(12))
    four = accuracy_interval(np.repeat([1] * 9 + [0] * 3, 4), np.repeat(range(12), 4))
    assert (four.low, four.high) == pytest.approx((one.low, one.high), abs=1e-9)
    assert four.n == 48


def test_the_standard_error_is_that_of_statsmodels():
    from statsmodels.api import OLS

    rng = np.random.default_rng(5)
    places = rng.integers(0, 15, 80)
    values = np.clip(rng.normal(0.5, 0.1, 15)[places] + rng.normal(0, 0.1, 80), 0, 1)
    fit = OLS(values, np.ones(80)).fit(cov_type="cluster", cov_kwds={"groups": places}, use_t=True)
    found = mean_interval(values, places)
    assert found.value == pytest.approx(float(fit.params[0]), abs=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(fit.conf_int()[0]), abs=1e-9)


def test_a_difference_of_two_groups_is_that_of_a_regression_with_clusters():
    """The influence of each row written out, against statsmodels' CR1 of a slope."""
    from statsmodels.api import OLS, add_constant

    rng = np.random.default_rng(6)
    places, first = rng.integers(0, 20, 120), rng.random(120) < 0.4
    values = rng.random(120) * 0.5 + 0.2 * first
    means = [values[first].mean(), values[~first].mean()]
    influence = np.where(
        first, (values - means[0]) / first.sum(), -(values - means[1]) / (~first).sum()
    )
    fit = OLS(values, add_constant(first.astype(float))).fit(
        cov_type="cluster", cov_kwds={"groups": places, "df_correction": True}, use_t=True
    )
    scale = (118 / 119) ** 0.5  # statsmodels corrects for the number of regressors, too
    gain = means[0] - means[1]
    found = influence_interval(gain, influence, places, (-1, 1))
    half = (fit.conf_int()[1, 1] - fit.params[1]) * scale
    assert found.value == pytest.approx(fit.params[1], abs=1e-9)
    assert found.high - found.value == pytest.approx(half, abs=1e-9)
    t = gain / (fit.bse[1] * scale)
    assert influence_test(gain, influence, places) == pytest.approx(
        2 * student.sf(abs(t), len(set(places)) - 1), abs=1e-9
    )


def test_a_test_by_influence_agrees_with_its_interval_and_needs_two_clusters():
    values = np.array([0.5, 0.25, 0.75, 0.5])
    mean = values.mean()
    one = influence_test(mean, (values - mean) / 4, range(4))
    t = mean / (values.std(ddof=1) / 2)
    assert one == pytest.approx(2 * student.sf(t, 3), abs=1e-9)
    assert influence_test(mean, (values - mean) / 4, [0] * 4) == 1.0
    assert influence_test(0.5, [0.0, 0.0], range(2)) == 1.0


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize(("clusters", "pictures"), [(1, 1), (1, 4), (2, 1), (10, 4), (100, 4)])
def test_an_accuracy_interval_never_has_zero_width(value, clusters, pictures):
    found = accuracy_interval([value] * clusters * pictures, np.repeat(range(clusters), pictures))
    assert found.value == value
    assert found.high - found.low > 0.03
    assert found.low <= found.value <= found.high


def test_the_more_clusters_are_all_right_the_narrower():
    widths = [accuracy_interval([1] * n, range(n)).low for n in (1, 2, 5, 20, 100, 1000)]
    assert widths == sorted(widths)
    assert widths[-1] > 0.99


def test_one_cluster_tells_nothing_of_others():
    found = accuracy_interval([1, 1, 0, 1], list("aaaa"))
    assert (found.value, found.low, found.high, found.n) == (0.75, 0.0, 1.0, 4)
    found = mean_interval([0.5, 0.25], list("aa"), (-1, 1))
    assert (found.low, found.high) == (-1, 1)


def test_equal_means_of_all_clusters_keep_the_width_of_what_was_not_seen():
    found = mean_interval([0.0] * 40, np.repeat(range(20), 2), (-1, 1))
    unseen = 1 - 0.025 ** (1 / 20)  # Clopper & Pearson for 0 of 20
    assert (found.low, found.high) == pytest.approx((-unseen, unseen), abs=1e-9)
    sets = mean_interval([1.0] * 20, range(20), (0, 4))
    assert (sets.low, sets.high) == pytest.approx((1 - unseen, 1 + 3 * unseen), abs=1e-9)


def test_missing_values_are_left_out_and_nothing_gives_nothing():
    found = accuracy_interval([1.0, math.nan, 0.0], list("aab"))
    assert (found.value, found.n) == (0.5, 2)
    for interval in (accuracy_interval, mean_interval):
        nothing = interval([math.nan], ["a"])
        assert math.isnan(nothing.low)
        assert nothing.n == 0


def test_order_and_names_of_the_clusters_do_not_matter():
    rng = np.random.default_rng(3)
    values, places = rng.random(60) < 0.7, np.repeat(range(20), 3)
    order = rng.permutation(60)
    one = accuracy_interval(values, places)
    two = accuracy_interval(values[order], [f"prompt {place}" for place in places[order]])
    assert (one.low, one.high) == pytest.approx((two.low, two.high))


def test_what_is_no_share_is_refused():
    with pytest.raises(ValueError, match=r"^a share is of values that are 0 or 1; seen 0\.5$"):
        accuracy_interval([1, 0.5], ["a", "b"])
    with pytest.raises(ValueError, match=r"^each value has its cluster; seen 2 and 1$"):
        accuracy_interval([1, 0], ["a"])
    with pytest.raises(ValueError, match=r"^the values lie between 0 and 1; seen 0 to 2$"):
        mean_interval([0, 2], ["a", "b"])
