"""How large a margin must be for a call to be reliable."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def threshold(
    margins: Sequence[float] | np.ndarray,
    correct: Sequence[bool] | np.ndarray,
    error: float = 0.05,
    confidence: float = 0.95,
) -> float:
    """Find the smallest margin at which calibration pictures are attributed reliably.

    For a margin t, n pictures have a margin of at least t and e of them are wrong; the one-sided
    Clopper–Pearson upper bound of e / n at ``confidence`` is the Beta(e + 1, n − e) quantile.

    Args:
        margins: margin of every calibration picture; NaN and 0 are never accepted.
        correct: whether the best model was the true one.
        error: largest bound that is still good enough.
        confidence: of the bound, for each t by itself (not for all of them together).

    Returns:
        the smallest margin seen whose bound is at most ``error``; ``inf`` when there is none.

    >>> threshold([0.1] * 10 + [0.2] * 60, [False] * 10 + [True] * 60)
    0.2
    >>> threshold([0.2] * 58, [True] * 58)
    inf
    """
    from scipy.stats import beta

    values, right = np.asarray(margins, dtype=float), np.asarray(correct, dtype=bool)
    kept = values > 0
    values, right = values[kept], right[kept]
    seen = np.unique(values)
    if not len(seen):
        return float("inf")
    order = np.argsort(values)
    first = np.searchsorted(values[order], seen)
    n = len(values) - first
    wrong = np.append(np.cumsum(~right[order][::-1])[::-1], 0)[first]
    bound = np.where(wrong < n, beta.ppf(confidence, wrong + 1, np.maximum(n - wrong, 1)), 1.0)
    good = seen[bound <= error]
    return float(good[0]) if len(good) else float("inf")
