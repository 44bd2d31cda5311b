"""Intervals and tests, thin over numpy, scipy and statsmodels; a prompt's pictures go together.

A share takes `accuracy_interval`, the mean of other bounded values `mean_interval`, and what is no
mean `bootstrap_statistic`. Paired outcomes are tested by `mcnemar` and, over prompts, `sign_flip`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.ranking.fixed_sequence import design_effect

if TYPE_CHECKING:
    import pandas as pd


DRAWS = 2000
"""Bootstrap draws behind an interval."""


@dataclass(frozen=True)
class Interval:
    """Hold an estimate, its interval from `low` to `high`, and the n values behind it."""

    value: float
    low: float
    high: float
    n: int


def bootstrap_interval(
    values: Sequence[float] | np.ndarray,
    groups: Sequence[Any] | np.ndarray,
    draws: int = DRAWS,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """Estimate a mean and its percentile interval by drawing whole groups with replacement.

    Pictures of one prompt succeed and fail together, so the prompts are drawn, not the pictures
    (Efron & Tibshirani 1993, chapter 13). Where all values are equal the interval has no width, and
    with few prompts it is too narrow: shares take `accuracy_interval`, other means `mean_interval`.

    Args:
        values: (N,) numbers; NaN ones are left out.
        groups: (N,) the group (prompt) of each.
        draws: bootstrap draws.
        seed: of the draws.
        confidence: of the interval.

    Returns:
        the mean, its interval, and how many values it is of; NaN without any value.

    >>> bootstrap_interval([1, 1, 0, 0], ["a", "a", "b", "b"])
    Interval(value=0.5, low=0.0, high=1.0, n=4)
    """
    numbers = np.asarray(values, dtype=float)
    kept = ~np.isnan(numbers)
    if not kept.any():
        return Interval(np.nan, np.nan, np.nan, 0)
    names = np.asarray(groups, dtype=object)[kept].astype(str)
    _, place = np.unique(names, return_inverse=True)
    sums = np.bincount(place, weights=numbers[kept])
    counts = np.bincount(place)
    drawn = _draws(len(counts), draws, seed)
    means = (drawn @ sums) / (drawn @ counts)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(numbers[kept].mean()), float(low), float(high), int(kept.sum()))


@lru_cache(maxsize=1)
def _draws(groups: int, draws: int, seed: int) -> np.ndarray:
    """Draw how often each group is taken, (draws, groups); kept for the next metric of a slice."""
    equal = np.full(groups, 1 / groups)
    return np.random.default_rng(seed).multinomial(groups, equal, size=draws).astype(float)


def accuracy_interval(
    correct: Sequence[bool] | np.ndarray,
    clusters: Sequence[Any] | np.ndarray | None = None,
    confidence: float = 0.95,
) -> Interval:
    """Estimate a share, such as an accuracy, with an interval that knows the clusters.

    Without clusters it is that of Wilson (1927, J. Am. Stat. Assoc. 22:209), for pictures that are
    independent. With them it is that of Korn & Graubard (1998, Survey Methodology 24:193): the
    exact interval of Clopper & Pearson for n / d pictures, where d ≥ 1 is the `design_effect` of
    the clusters on the rarer outcome. Where all are right or all are wrong d cannot be seen, and
    each cluster counts as one picture.

    It was chosen by simulation: at 95 % it covers at least 95 % with 5 to 100 clusters of one or
    several pictures, independent or alike, and shares of 50 to 99 %, where the percentile bootstrap
    goes down to 52 %. It always has a width, and goes from 0 to 1 when there is one cluster alone.

    Args:
        correct: (N,) right or wrong; NaN ones are left out.
        clusters: (N,) the cluster (prompt, scene) of each; all independent when left out.
        confidence: of the interval.

    Returns:
        the share, its interval, and how many pictures it is of; NaN without any picture.

    Raises:
        ValueError: a value is neither 0 nor 1, or there is not a cluster for each.

    >>> found = accuracy_interval([1, 1, 1, 1], ["a", "a", "b", "b"])
    >>> found.value, round(found.low, 3), found.high
    (1.0, 0.158, 1.0)
    >>> found = accuracy_interval([True] * 9 + [False])
    >>> round(found.low, 3), round(found.high, 3)
    (0.596, 0.982)
    """
    from scipy.stats import beta

    values, place = _by_cluster(correct, clusters)
    if not np.isin(values, (0, 1)).all():
        other = values[~np.isin(values, (0, 1))][0]
        raise ValueError(f"a share is of values that are 0 or 1; seen {other:g}")
    n, right = len(values), float(values.sum())
    if not n:
        return Interval(np.nan, np.nan, np.nan, 0)
    if clusters is None:
        return wilson(int(right), n, confidence)
    if place.max() == 0:
        return Interval(right / n, 0.0, 1.0, n)
    sizes = np.bincount(place).astype(float)
    rare = np.bincount(place, weights=values if 2 * right <= n else 1 - values)
    sums = [sizes, rare, sizes**2, rare**2, sizes * rare]
    effect = float(design_effect(np.array([each.sum() for each in sums])))
    right, wrong, tail = right / effect, (n - right) / effect, (1 - confidence) / 2
    low = float(beta.ppf(tail, right, wrong + 1)) if right else 0.0
    high = float(beta.ppf(1 - tail, right + 1, wrong)) if wrong else 1.0
    return Interval(float(values.mean()), low, high, n)


def mean_interval(
    values: Sequence[float] | np.ndarray,
    clusters: Sequence[Any] | np.ndarray,
    bounds: tuple[float, float] = (0.0, 1.0),
    confidence: float = 0.95,
) -> Interval:
    """Estimate a mean of bounded values with a cluster-robust t interval, G − 1 degrees of freedom.

    The variance is that of a ratio estimator, G / (G − 1) · Σ_g (Σ_i (x_gi − x̄))² / n² (Cochran
    1977, section 3.12; CR1 of Cameron & Miller 2015, J. Human Resources 50:317). Where no cluster
    differs from another there is no variance to go by: at most a share u of all clusters does, the
    upper end of Clopper & Pearson for 0 of G, and the mean lies within u of the way to the bounds.

    Args:
        values: (N,) numbers within the bounds, such as differences of two paired outcomes, with
            bounds −1 and 1; NaN ones are left out.
        clusters: (N,) the cluster (prompt, scene) of each.
        bounds: what a value can be; the interval keeps within them.
        confidence: of the interval.

    Returns:
        the mean, its interval, and how many values it is of; NaN without any value, and from bound
        to bound with one cluster alone.

    Raises:
        ValueError: a value lies outside of the bounds, or there is not a cluster for each.

    >>> mean_interval([0.5, 0.5, 0.25, 0.25], ["a", "a", "b", "b"])
    Interval(value=0.375, low=0.0, high=1.0, n=4)
    """
    from scipy.stats import t

    numbers, place = _by_cluster(values, clusters)
    floor, ceiling = bounds
    if not len(numbers):
        return Interval(np.nan, np.nan, np.nan, 0)
    if numbers.min() < floor or numbers.max() > ceiling:
        raise ValueError(
            f"the values lie between {floor:g} and {ceiling:g}; seen {numbers.min():g} to "
            f"{numbers.max():g}"
        )
    mean, error, groups = _clustered_mean(numbers, place)
    if groups == 1:
        return Interval(mean, floor, ceiling, len(numbers))
    if error > 0:
        half = float(t.ppf((1 + confidence) / 2, groups - 1)) * error
        low, high = mean - half, mean + half
    else:
        unseen = clopper_pearson(0, groups, confidence).high
        low, high = mean - unseen * (mean - floor), mean + unseen * (ceiling - mean)
    return Interval(mean, max(low, floor), min(high, ceiling), len(numbers))


def _by_cluster(
    values: Sequence[Any] | np.ndarray, clusters: Sequence[Any] | np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the values that are not NaN, and the number of the cluster of each."""
    numbers = np.asarray(values, dtype=float)
    names = np.arange(len(numbers)) if clusters is None else np.asarray(clusters, dtype=object)
    if len(names) != len(numbers):
        raise ValueError(f"each value has its cluster; seen {len(numbers)} and {len(names)}")
    kept = ~np.isnan(numbers)
    _, place = np.unique(names[kept].astype(str), return_inverse=True)
    return numbers[kept], place


def _clustered_mean(values: np.ndarray, place: np.ndarray) -> tuple[float, float, int]:
    """Return a mean, its cluster-robust standard error (0 with one cluster), and the clusters."""
    mean = float(values.mean())
    residuals = np.bincount(place, weights=values - mean)
    groups = len(residuals)
    squares = float((residuals**2).sum()) * groups / max(groups - 1, 1)
    error = squares**0.5 / len(values)
    return mean, error if groups > 1 and error > 1e-12 else 0.0, groups


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Estimate a proportion of independent ones with its score interval (Wilson 1927).

    Raises:
        ValueError: n is below 1, or successes are not within 0 … n.

    >>> round(wilson(0, 10).high, 6)
    0.277533
    """
    return _proportion(successes, n, confidence, "wilson")


def clopper_pearson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Estimate a proportion with its exact two-sided interval (Clopper & Pearson 1934).

    Raises:
        ValueError: n is below 1, or successes are not within 0 … n.

    >>> round(clopper_pearson(0, 10).high, 6)
    0.308497
    """
    return _proportion(successes, n, confidence, "exact")


def _proportion(successes: int, n: int, confidence: float, method: str) -> Interval:
    from scipy.stats import binomtest

    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"a proportion needs 0 ≤ successes ≤ n and n ≥ 1; seen {successes} of {n}")
    found = binomtest(successes, n).proportion_ci(confidence, method=method)
    return Interval(successes / n, float(found.low), float(found.high), n)


def paired_difference(first: pd.DataFrame, second: pd.DataFrame) -> tuple[Interval, float]:
    """Compare two methods on the same pictures: difference of accuracy, and McNemar's p.

    McNemar's test takes the pictures for independent; `sign_flip` of the same differences takes
    the prompts for it.

    Args:
        first: outcomes of one attributor (`evaluation.outcomes`).
        second: outcomes of another on the same images.

    Returns:
        accuracy of ``first`` less that of ``second`` with its interval over prompts
        (`mean_interval`), and the exact two-sided p of McNemar's test on the pictures that only one
        of them gets right (1 where there is none).

    Raises:
        ValueError: they are not of the same images.
    """
    keys = ["image_id", "truth", "prompt"]
    pairs = first[[*keys, "correct"]].merge(second[[*keys, "correct"]], on=keys)
    if not len(first) == len(second) == len(pairs):
        raise ValueError(
            f"a paired comparison needs the same pictures; there are {len(first)} and "
            f"{len(second)}, {len(pairs)} of them in both"
        )
    left, right = (pairs[f"correct_{end}"].to_numpy(bool) for end in "xy")
    found = mean_interval(left.astype(float) - right, pairs["prompt"], (-1.0, 1.0))
    return found, mcnemar(left, right)


def sign_flip(
    differences: Sequence[float] | np.ndarray,
    clusters: Sequence[Any] | np.ndarray,
    draws: int = 9999,
    seed: int = 0,
) -> float:
    """Test by sign-flips over clusters whether paired differences are around 0: two-sided p.

    Were the two methods alike, the sum of the differences of a cluster would be as likely with the
    other sign (Fisher 1935, The Design of Experiments, section 21). Clusters without a difference
    say nothing. All 2^G signs of the G others are tried where they are at most ``draws``, which is
    exact; else ``draws`` of them with the one seen beside (Phipson & Smyth 2010).

    Args:
        differences: (N,) first less second, of the same picture; NaN ones are left out.
        clusters: (N,) the cluster (prompt, scene) of each.
        draws: of the signs.
        seed: of the draws.

    Returns:
        p in (0, 1]; 1 without any difference. G clusters never come below 2^(1 − G).

    >>> sign_flip([1, 1, 1, 0], ["a", "b", "c", "d"])
    0.25
    """
    from scipy.stats import permutation_test

    values, place = _by_cluster(differences, clusters)
    sums = np.bincount(place, weights=values)
    sums = sums[sums != 0]
    if len(sums) < 2:
        return 1.0
    found = permutation_test(
        (sums,),
        lambda drawn, axis: drawn.sum(axis=axis),
        permutation_type="samples",
        n_resamples=draws,
        batch=1000,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def minimal_detectable_difference(
    clusters: int, deviation: float = 0.25, power: float = 0.8, level: float = 0.05
) -> float:
    """Compute the smallest true difference of two paired accuracies that a study is apt to find.

    It is that of a two-sided paired t test over clusters (noncentral t; Cohen 1988, chapter 2).
    Assumed: every cluster has the same number of pictures, clusters are independent, and the mean
    differences of the clusters are about normal with the standard ``deviation``. The default is
    √(d (1 + (m − 1) ρ) / m) of m = 4 pictures a prompt, of which one method alone gets a share
    d = 0.2 right, with a correlation ρ = 0.08 within prompts. It is of one test; a family that
    Holm corrects needs more.

    Args:
        clusters: their number (prompts, scenes), at least 2.
        deviation: of a cluster's mean difference, above 0.
        power: chance of a p at most ``level``, above the level and below 1.
        level: of the test.

    Returns:
        the difference, as a share; above 1 where no difference could be found.

    Raises:
        ValueError: fewer than two clusters, or a deviation of 0 or less.

    >>> [round(100 * minimal_detectable_difference(n)) for n in (100, 25, 10)]
    [7, 15, 25]
    """
    from statsmodels.stats.power import TTestPower

    if clusters < 2 or deviation <= 0:
        raise ValueError(
            "a detectable difference needs at least 2 clusters and a deviation above 0; seen "
            f"{clusters} and {deviation:g}"
        )
    effect = TTestPower().solve_power(nobs=clusters, alpha=level, power=power)
    return float(np.ravel(effect)[0]) * deviation


def mcnemar(first: Sequence[bool] | np.ndarray, second: Sequence[bool] | np.ndarray) -> float:
    """Test whether two paired outcomes differ: McNemar's exact two-sided p, 1 where they never do.

    >>> mcnemar([True, True, True, False], [False, False, False, False])
    0.25
    """
    from statsmodels.stats.contingency_tables import mcnemar as exact

    one, two = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    table = [[(one & two).sum(), (one & ~two).sum()], [(~one & two).sum(), (~one & ~two).sum()]]
    return float(exact(table, exact=True).pvalue) if (one != two).any() else 1.0


def holm(values: Sequence[float]) -> list[float]:
    """Correct the p-values of one family of tests (Holm 1979), in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    from statsmodels.stats.multitest import multipletests

    return [round(float(p), 12) for p in multipletests(values, method="holm")[1]] if values else []


def bootstrap_statistic(
    statistic: Callable[[np.ndarray], float],
    groups: Sequence[Any] | np.ndarray,
    draws: int = 300,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """Estimate any statistic of rows and its percentile interval, drawing whole groups.

    Args:
        statistic: takes the positions of the rows drawn, answers a number.
        groups: (N,) the group (prompt) of each row.
        draws: bootstrap draws; those that answer NaN are left out.
        seed: of the draws.
        confidence: of the interval.

    >>> values = np.array([1.0, 1.0, 0.0, 0.0])
    >>> bootstrap_statistic(lambda rows: float(values[rows].mean()), list("aabb"))
    Interval(value=0.5, low=0.0, high=1.0, n=4)
    """
    _, place = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    rows = np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])
    rng = np.random.default_rng(seed)
    found = [
        statistic(np.concatenate([rows[i] for i in rng.integers(0, len(rows), len(rows))]))
        for _ in range(draws)
    ]
    low, high = np.nanquantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    value = statistic(np.arange(len(place)))
    return Interval(value, float(low), float(high), len(place))
