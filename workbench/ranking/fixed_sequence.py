"""The smallest margin or confidence at which calls are reliable, by fixed-sequence testing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

ERROR = 0.05
"""Largest share of errors among the calls that are accepted."""
START = 0.25
"""Share of the calibration pictures, the surest, with which testing begins."""


def threshold(
    margins: Sequence[float] | np.ndarray,
    correct: Sequence[bool] | np.ndarray,
    clusters: Sequence[Any] | np.ndarray | None = None,
    error: float = ERROR,
    confidence: float = 0.95,
) -> float:
    """Return the smallest margin at which calibration pictures are attributed reliably.

    Fixed-sequence testing (Angelopoulos et al. 2021, Learn then Test, arXiv:2110.01052): the
    margins seen are tested in turn, from the largest down, each for more than ``error`` errors
    among the pictures that have at least that margin. The first that is not rejected ends it, and
    the one before is the threshold; so all of them together err with a chance of at most
    1 − ``confidence``, where the smallest of all margins with a good bound errs three to five
    times as often. Where the sequence begins is fixed before it is known who is right: with the
    surest quarter of the pictures (`START`), or later, where a single error would still pass, or
    where that is never, where none would.

    One test asks whether the one-sided Clopper–Pearson bound of the errors, the
    Beta(e / d + 1, (n − e) / d) quantile, is at most ``error``. d is the `design_effect` of the
    clusters among the n pictures: without any error every cluster counts as one picture, and the
    more errors there are that stand alone, the more the pictures do (simulations hold its level).

    Args:
        margins: (N,) margin or confidence of every calibration picture; NaN and 0 are never
            accepted.
        correct: (N,) whether the best model was the true one.
        clusters: (N,) the cluster (prompt) of each; all independent when left out.
        error: largest share of errors that is still good enough.
        confidence: one-sided, that no more are among the accepted.

    Returns:
        the threshold, one of the margins; ``inf`` when there is none.

    >>> threshold([0.1] * 10 + [0.2] * 60, [False] * 10 + [True] * 60)
    0.2
    >>> threshold([0.2] * 58, [True] * 58), threshold([0.2] * 70, [True] * 70, [0, 1] * 35)
    (inf, inf)
    """
    values, right = np.asarray(margins, dtype=float), np.asarray(correct, dtype=bool)
    names = np.arange(len(values)) if clusters is None else np.asarray(clusters, dtype=object)
    if not len(values) == len(right) == len(names):
        raise ValueError(
            "every margin has its outcome and its cluster; seen "
            f"{len(values)}, {len(right)} and {len(names)}"
        )
    positive = values > 0
    if not positive.any():
        return float("inf")
    order = np.argsort(-values[positive], kind="stable")
    values = values[positive][order]
    _, place = np.unique(names[positive][order].astype(str), return_inverse=True)
    last = np.append(values[1:] != values[:-1], True)  # equal margins are accepted together
    table = _counts(~right[positive][order], place)[:, last]
    first = _start(table, len(values), error, confidence)
    passed = _passes(table, error, confidence)[first:]
    count = len(passed) if passed.all() else int(np.argmin(passed))
    return float(values[last][first + count - 1]) if count else float("inf")


def thresholds(
    margins: Sequence[float] | np.ndarray,
    correct: Sequence[bool] | np.ndarray,
    called: Sequence[str] | np.ndarray,
    clusters: Sequence[Any] | np.ndarray | None = None,
    error: float = ERROR,
    confidence: float = 0.95,
) -> dict[str, float]:
    """Return a `threshold` for each model, from the pictures of which it was called.

    Every one of the K models called is given an equal share of the chance to err (Bonferroni), so
    with the confidence asked for all of them together, at most ``error`` of the accepted calls of
    each model are wrong.

    Args:
        margins: as of `threshold`.
        correct: likewise.
        called: (N,) the best model of each.
        clusters: as of `threshold`.
        error: likewise.
        confidence: one-sided, of all of them together.

    Returns:
        model → threshold, in the order of the names.
    """
    values, right = np.asarray(margins, dtype=float), np.asarray(correct, dtype=bool)
    names = np.asarray(called, dtype=object)
    groups = np.arange(len(values)) if clusters is None else np.asarray(clusters, dtype=object)
    models = sorted({str(name) for name in names})
    single = 1 - (1 - confidence) / max(len(models), 1)
    parts = {model: names.astype(str) == model for model in models}
    return {
        model: threshold(values[part], right[part], groups[part], error, single)
        for model, part in parts.items()
    }


def enough(share: float, error: float = ERROR, confidence: float = 0.95) -> float:
    """Return how many pictures must be seen for so many errors among them to pass a test.

    Args:
        share: of errors among the pictures; they stand alone (clusters take more pictures).
        error: as of `threshold`.
        confidence: likewise.

    Returns:
        the number of pictures; ``inf`` where a million would not do, and none could where
        `share` is at least `error`.

    >>> enough(0.0), enough(0.02), enough(0.05)
    (59.0, 181.0, inf)
    """
    from scipy.special import betainc

    pictures = np.arange(1.0, 1_000_001) if share < error else np.ones(0)
    wrong = np.ceil(share * pictures)
    passed = betainc(wrong + 1, np.maximum(pictures - wrong, 1e-9), error) >= confidence
    return float(pictures[np.argmax(passed)]) if passed.any() else float("inf")


def design_effect(counts: np.ndarray) -> np.ndarray:
    """Return a cautious estimate of the factor by which clusters enlarge a share's variance.

    It is the ratio of the variance between clusters, Σ_g (e_g − p n_g)², to that of independent
    pictures, n p (1 − p) (Kish 1965), with one further cluster of the usual size Σ n_g² / n in
    which all are wrong; so without any error it is this size, and every cluster counts as one
    picture. The further cluster is ours: where errors are few, what is seen of them says little of
    how they go together, and bounds without it are too narrow.

    Args:
        counts: (5, …) of n, e = Σ e_g, Σ n_g², Σ e_g² and Σ n_g e_g over clusters of n_g pictures,
            e_g of them wrong.

    Returns:
        (…) from 1 to the usual size.

    >>> design_effect(np.array([8.0, 0, 32, 0, 0])), design_effect(np.array([8.0, 1, 8, 1, 1]))
    (np.float64(4.0), np.float64(1.0))
    """
    n, wrong, pictures, errors, both = counts
    usual = pictures / n
    more = n + usual
    share = (wrong + usual) / more
    squares = errors - 2 * share * both + share**2 * pictures + usual**2 * (1 - share) ** 2
    return np.clip(squares / np.maximum(more * share * (1 - share), 1e-300), 1, usual)


def _counts(wrong: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return n, e, Σ n_g², Σ e_g² and Σ n_g e_g over the clusters of each prefix of a list."""
    order = np.argsort(place, kind="stable")
    first = np.append(True, np.diff(place[order]) != 0)
    begin = np.maximum.accumulate(np.where(first, np.arange(len(place)), 0))
    errors = np.cumsum(wrong[order]) - wrong[order]
    pictures_before, errors_before = np.empty(len(place)), np.empty(len(place))
    pictures_before[order] = np.arange(len(place)) - begin
    errors_before[order] = errors - errors[begin]
    steps = [
        np.ones(len(place)),
        wrong,
        2 * pictures_before + 1,
        wrong * (2 * errors_before + 1),
        errors_before + wrong * (pictures_before + 1),
    ]
    return np.cumsum(np.array(steps, dtype=float), axis=1)


def _passes(table: np.ndarray, error: float, confidence: float) -> np.ndarray:
    """Return whether the upper bound of the error rate of each prefix is at most ``error``."""
    from scipy.special import betainc

    n, wrong = table[:2]
    effect = design_effect(table)
    right = np.maximum(n - wrong, 1e-9)
    bounded = betainc(wrong / effect + 1, right / effect, error) >= confidence
    return bounded & (wrong < n)


def _start(table: np.ndarray, count: int, error: float, confidence: float) -> int:
    """Return the index at which testing starts, from the sizes of the clusters alone."""
    n, _, pictures, *_ = table
    lone, none = np.ones_like(n), np.zeros_like(n)
    for wrong, squares, both in ((lone, lone, pictures / n), (none, none, none)):
        able = _passes(np.array([n, wrong, pictures, squares, both]), error, confidence)
        able &= n >= START * count
        if able.any():
            return int(np.argmax(able))
    return 0
