"""Intervals and tests, thin over numpy, scipy and statsmodels; a prompt's pictures go together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

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
    (Efron & Tibshirani 1993, chapter 13). Where all values are equal the interval has no width.

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


def clopper_pearson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Estimate a proportion with its exact two-sided interval (Clopper & Pearson 1934).

    Raises:
        ValueError: n is below 1, or successes are not within 0 … n.

    >>> round(clopper_pearson(0, 10).high, 6)
    0.308497
    """
    from scipy.stats import binomtest

    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"a proportion needs 0 ≤ successes ≤ n and n ≥ 1; seen {successes} of {n}")
    found = binomtest(successes, n).proportion_ci(confidence, method="exact")
    return Interval(successes / n, float(found.low), float(found.high), n)


def cluster_interval(
    values: Sequence[float] | np.ndarray,
    groups: Sequence[Any] | np.ndarray,
    draws: int = DRAWS,
    seed: int = 0,
    share: bool = True,
) -> Interval:
    """Estimate a mean as `bootstrap_interval`, never as if it were known exactly.

    Where every draw of groups has the same mean, the bootstrap says nothing. Of zeros and ones the
    interval is then the exact one (`clopper_pearson`): over the groups where all of them are alike
    and there are several, else over the values. Of other numbers the values are drawn one by one;
    where even those are all equal there is none, and its ends are NaN.

    Args:
        values: (N,) numbers; NaN ones are left out.
        groups: (N,) the group (prompt) of each.
        draws: bootstrap draws.
        seed: of the draws.
        share: the values are shares, at most 1; else no interval of them is exact.

    >>> found = cluster_interval([1, 1, 1, 1], ["a", "a", "b", "b"])
    >>> found.value, round(found.low, 3), found.high, found.n
    (1.0, 0.158, 1.0, 4)
    """
    found = bootstrap_interval(values, groups, draws, seed)
    if found.n == 0 or found.low < found.high:
        return found
    numbers = np.asarray(values, dtype=float)
    kept = ~np.isnan(numbers)
    numbers = numbers[kept]
    if share and np.isin(numbers, (0.0, 1.0)).all():
        n = found.n
        if found.value in (0.0, 1.0):
            count = len(set(np.asarray(groups, dtype=object)[kept].astype(str)))
            n = count if count > 1 else n
        exact = clopper_pearson(round(found.value * n), n)
        return Interval(found.value, exact.low, exact.high, found.n)
    alone = bootstrap_interval(numbers, np.arange(found.n), draws, seed)
    if alone.low < alone.high:
        return Interval(found.value, alone.low, alone.high, found.n)
    return Interval(found.value, np.nan, np.nan, found.n)


def paired_difference(
    first: pd.DataFrame, second: pd.DataFrame, draws: int = DRAWS, seed: int = 0
) -> tuple[Interval, float]:
    """Compare two methods on the same pictures: difference of accuracy, and McNemar's p.

    Args:
        first: outcomes of one attributor (`evaluation.outcomes`).
        second: outcomes of another on the same images.
        draws: of the bootstrap, over prompts.
        seed: of the bootstrap.

    Returns:
        accuracy of ``first`` less that of ``second`` with its interval, and the exact two-sided p
        of McNemar's test on the pictures that only one of them gets right (1 where there is none).

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
    found = bootstrap_interval(left.astype(float) - right, pairs["prompt"], draws, seed)
    return found, mcnemar(left, right)


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
