"""Intervals and tests, thin over numpy, scipy and statsmodels; a scene's pictures go together.

A share takes `accuracy_interval`, the mean of other bounded values `mean_interval`, and what is no
mean `influence_interval`. Paired outcomes are tested by `mcnemar` and, over scenes, `sign_flip`;
`paired_tests` compares two methods by both. Scenes are those of `prompts.scenes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.evaluation.prompts import scenes
from workbench.ranking.fixed_sequence import design_effect

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Interval:
    """An estimate, its interval from `low` to `high`, and the n values behind it."""

    value: float
    low: float
    high: float
    n: int


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
    effect = float(design_effect(np.array([column.sum() for column in sums])))
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
    numbers, place = _by_cluster(values, clusters)
    floor, ceiling = bounds
    if not len(numbers):
        return Interval(np.nan, np.nan, np.nan, 0)
    if numbers.min() < floor or numbers.max() > ceiling:
        raise ValueError(
            f"the values lie between {floor:g} and {ceiling:g}; seen {numbers.min():g} to "
            f"{numbers.max():g}"
        )
    mean = float(numbers.mean())
    return influence_interval(mean, (numbers - mean) / len(numbers), place, bounds, confidence)


def influence_interval(
    value: float,
    influence: Sequence[float] | np.ndarray,
    clusters: Sequence[Any] | np.ndarray,
    bounds: tuple[float, float] = (0.0, 1.0),
    confidence: float = 0.95,
) -> Interval:
    """Estimate what is no mean, such as a difference of two means, from the influence of each row.

    The variance is G / (G − 1) · Σ_g (Σ_i d_gi)², d the influences, which sum to 0 (Hampel et al.
    1986, Robust Statistics, section 2.1; with clusters: Obuchowski 1997, Biometrics 53:567); the
    interval takes t with G − 1 degrees of freedom, and never has zero width (`mean_interval`).

    Args:
        value: the estimate, within the bounds.
        influence: (N,) what each row adds to the error of the estimate; of a mean (x − x̄) / N.
        clusters: (N,) the cluster (prompt, scene) of each.
        bounds: what the estimate can be; the interval keeps within them.
        confidence: of the interval.

    Returns:
        the estimate, its interval, and N; from bound to bound with one cluster alone.

    Raises:
        ValueError: there is not a cluster for each.

    >>> influence_interval(0.375, [0.125, -0.125], ["a", "b"]).low
    0.0
    """
    from scipy.stats import t

    numbers, place = _by_cluster(influence, clusters)
    floor, ceiling = bounds
    error, groups = _clustered_error(numbers, place)
    if groups < 2:
        return Interval(value, floor, ceiling, len(numbers))
    if error > 0:
        half = float(t.ppf((1 + confidence) / 2, groups - 1)) * error
        low, high = value - half, value + half
    else:
        unseen = clopper_pearson(0, groups, confidence).high
        low, high = value - unseen * (value - floor), value + unseen * (ceiling - value)
    return Interval(value, max(low, floor), min(high, ceiling), len(numbers))


def influence_test(
    value: float,
    influence: Sequence[float] | np.ndarray,
    clusters: Sequence[Any] | np.ndarray,
) -> float:
    """Return the two-sided p of an estimate being 0, by the t of `influence_interval`.

    Returns 1 where fewer than two clusters, or none that differ, leave nothing to test by.

    >>> round(influence_test(0.5, [0.25, -0.25], ["a", "b"]), 3)
    0.5
    """
    from scipy.stats import t

    error, groups = _clustered_error(*_by_cluster(influence, clusters))
    return float(2 * t.sf(abs(value) / error, groups - 1)) if groups > 1 and error > 0 else 1.0


def _by_cluster(
    values: Sequence[Any] | np.ndarray, clusters: Sequence[Any] | np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the values that are not NaN, and the number of the cluster of each."""
    numbers = np.asarray(values, dtype=float)
    names = np.arange(len(numbers)) if clusters is None else np.asarray(clusters, dtype=object)
    if len(names) != len(numbers):
        raise ValueError(f"each value has its cluster; seen {len(numbers)} and {len(names)}")
    known = ~np.isnan(numbers)
    _, place = np.unique(names[known].astype(str), return_inverse=True)
    return numbers[known], place


def _clustered_error(influence: np.ndarray, place: np.ndarray) -> tuple[float, int]:
    """Return the cluster-robust standard error (0 where none can be told), and the clusters."""
    sums = np.bincount(place, weights=influence)
    groups = len(sums)
    error = float((sums**2).sum() * groups / max(groups - 1, 1)) ** 0.5
    return error if groups > 1 and error > 1e-12 else 0.0, groups


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
    interval = binomtest(successes, n).proportion_ci(confidence, method=method)
    return Interval(successes / n, float(interval.low), float(interval.high), n)


@dataclass(frozen=True)
class Paired:
    """Difference of two methods on the same pictures, with two tests of it.

    ``difference``: accuracy of the first less that of the second, with its interval over scenes
    (`mean_interval`). ``sign_flip`` and ``mcnemar``: two-sided p; the first knows that pictures of
    one scene go together, the second takes all for independent. ``scenes``: their number.
    """

    difference: Interval
    sign_flip: float
    mcnemar: float
    scenes: int


def paired_tests(first: pd.DataFrame, second: pd.DataFrame) -> Paired:
    """Return the difference of accuracy of two methods on the same pictures, with two tests.

    Args:
        first: outcomes of one attributor (`evaluation.outcomes`).
        second: outcomes of another on the same images.

    Raises:
        ValueError: they are not of the same images.
    """
    left, right, clusters = paired_outcomes(first, second)
    differences = left.astype(float) - right
    return Paired(
        mean_interval(differences, clusters, (-1.0, 1.0)),
        sign_flip(differences, clusters),
        mcnemar(left, right),
        len(set(clusters)),
    )


def paired_difference(first: pd.DataFrame, second: pd.DataFrame) -> tuple[Interval, float]:
    """Return the difference of `paired_tests`, and McNemar's p alone."""
    left, right, clusters = paired_outcomes(first, second)
    return mean_interval(left.astype(float) - right, clusters, (-1.0, 1.0)), mcnemar(left, right)


def paired_outcomes(
    first: pd.DataFrame,
    second: pd.DataFrame,
    keys: Sequence[str] = ("image_id", "truth", "prompt"),
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return whether each of two methods is right on each picture, and its scene.

    Args:
        first: outcomes of one attributor (`evaluation.outcomes`).
        second: outcomes of another on the same pictures.
        keys: columns that tell a picture apart, ``prompt`` among them.

    Returns:
        (N,) bool of the first, (N,) bool of the second, and N scenes.

    Raises:
        ValueError: they are not of the same pictures.
    """
    keys = list(keys)
    pairs = first[[*keys, "correct"]].merge(second[[*keys, "correct"]], on=keys)
    if not len(first) == len(second) == len(pairs):
        raise ValueError(
            f"a paired comparison needs the same pictures; there are {len(first)} and "
            f"{len(second)}, {len(pairs)} of them in both"
        )
    left, right = (pairs[f"correct_{end}"].to_numpy(bool) for end in "xy")
    return left, right, scenes(pairs)


def sign_flip(
    differences: Sequence[float] | np.ndarray,
    clusters: Sequence[Any] | np.ndarray,
    draws: int = 9999,
    seed: int = 0,
) -> float:
    """Return the two-sided p of a sign-flip test over clusters that paired differences are 0.

    Were the two methods alike, the sum of the differences of a cluster would be as likely with the
    other sign (Fisher 1935, The Design of Experiments, section 21). Clusters without a difference
    say nothing. The law of the sum over all 2^G signs of the G others is exact, by convolution,
    where their sums are whole numbers, as those of right and wrong are. Else all signs are tried
    where they are at most ``draws``, or ``draws`` of them with the one seen beside (Phipson & Smyth
    2010).

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
    if (sums == np.rint(sums)).all():
        return _exact_flip(sums.astype(int))
    test = permutation_test(
        (sums,),
        lambda drawn, axis: drawn.sum(axis=axis),
        permutation_type="samples",
        n_resamples=draws,
        batch=1000,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)


def _exact_flip(sums: np.ndarray) -> float:
    """Return P(|S| ≥ |Σ sums|) of S = Σ ± sums, every sign as likely as the other."""
    chances = np.ones(1)
    for step in 2 * np.abs(sums):
        before, chances = chances / 2, np.zeros(len(chances) + step)
        chances[: len(before)] += before
        chances[step:] += before
    reached = np.abs(2 * np.arange(len(chances)) - len(chances) + 1) >= 2 * abs(int(sums.sum()))
    return min(1.0, float(chances[reached].sum()))


def minimal_detectable_difference(
    clusters: int, deviation: float = 0.25, power: float = 0.8, level: float = 0.05
) -> float:
    """Return the smallest true difference of paired accuracies that a study is apt to find.

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
    """Return McNemar's exact two-sided p of two paired outcomes, 1 where they never differ.

    >>> mcnemar([True, True, True, False], [False, False, False, False])
    0.25
    """
    from statsmodels.stats.contingency_tables import mcnemar as exact

    one, two = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    table = [[(one & two).sum(), (one & ~two).sum()], [(~one & two).sum(), (~one & ~two).sum()]]
    return float(exact(table, exact=True).pvalue) if (one != two).any() else 1.0


def holm(values: Sequence[float]) -> list[float]:
    """Return the p-values of one family corrected after Holm (1979), in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    from statsmodels.stats.multitest import multipletests

    return [round(float(p), 12) for p in multipletests(values, method="holm")[1]] if values else []
