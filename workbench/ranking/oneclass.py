"""Did this model make it? One-class scores, and what they weigh.

A picture is compared with pictures of one model alone; what the scores mean is learned from
calibration pictures of that model and of others: conformal p-values and a likelihood ratio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SCORES = ("nearest", "mahalanobis")
"""One-class scores; of both, higher is more like the model's own pictures."""


def nearest(tests: np.ndarray, references: Sequence[np.ndarray]) -> np.ndarray:
    """Compute the cosine of each test picture to the nearest of its reference pictures.

    Args:
        tests: (N, D) unit rows.
        references: for each test picture, (M, D) unit rows; none where nothing could be made.

    Returns:
        (N,) in [−1, 1]; NaN without a reference.

    >>> nearest(np.eye(2), [np.eye(2), np.zeros((0, 2))]).tolist()
    [1.0, nan]
    """
    pairs = zip(tests, references, strict=True)
    return np.array([float((some @ x).max()) if len(some) else math.nan for x, some in pairs])


def mahalanobis(
    tests: np.ndarray, references: Sequence[np.ndarray], covariance: np.ndarray
) -> np.ndarray:
    """Compute minus the Mahalanobis distance of each test picture to its references' mean.

    Args:
        tests: (N, D).
        references: as of `nearest`.
        covariance: (D, D), positive definite: `within`.

    Returns:
        (N,), 0 or less; NaN without a reference.
    """
    from scipy.linalg import cho_factor, cho_solve

    factor = cho_factor(covariance)
    scores = []
    for x, some in zip(tests, references, strict=True):
        away = x - some.mean(axis=0) if len(some) else np.full_like(x, np.nan)
        apart = float(away @ cho_solve(factor, away)) if len(some) else math.nan
        scores.append(-math.sqrt(apart))
    return np.array(scores)


def within(references: Sequence[np.ndarray]) -> np.ndarray:
    """Estimate the covariance of reference pictures around the mean of their set, shrunk.

    Shrunk towards a multiple of the identity as Ledoit & Wolf (2004) say (scikit-learn); the
    residuals of a set of m are scaled by √(m / (m − 1)), as its mean is estimated; a millionth of
    the mean variance is added, for two pictures alone are not shrunk.

    Args:
        references: sets of (m, D) rows; those of fewer than 2 are left out.

    Returns:
        (D, D), positive definite.

    Raises:
        ValueError: no set has 2 pictures that differ.
    """
    from sklearn.covariance import ledoit_wolf

    several = [some.astype(np.float64) for some in references if len(some) > 1]
    rows = [(some - some.mean(axis=0)) * math.sqrt(len(some) / (len(some) - 1)) for some in several]
    if not rows or not np.any(np.concatenate(rows)):
        raise ValueError("a covariance needs two different reference pictures of one set at least")
    covariance, _ = ledoit_wolf(np.concatenate(rows), assume_centered=True)
    return covariance + 1e-6 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))


def p_values(
    scores: np.ndarray, calibration: np.ndarray, groups: Sequence[Any] | np.ndarray | None = None
) -> np.ndarray:
    """Compute conformal p-values: how seldom a calibration picture scores as low.

    p(s) = (1 + Σ_g share of g's scores ≤ s) / (G + 1) over G groups (prompts), whose pictures are
    alike (Lee, Barber & Willett 2023, arXiv:2306.06342); with one picture a group it is
    (1 + #{≤ s}) / (n + 1) (Bates et al. 2023, arXiv:2104.08279). Of pictures exchangeable with the
    calibration pictures at most a share α has p ≤ α.

    Args:
        scores: (N,); NaN ones have none.
        calibration: (M,); NaN counts as the lowest.
        groups: (M,) the prompt of each; each its own when left out.

    Returns:
        (N,) in (0, 1].

    >>> p_values(np.array([0.0, 2.5]), np.array([1.0, 2.0, 3.0])).tolist()
    [0.25, 0.75]
    """
    known = np.nan_to_num(np.asarray(calibration, float), nan=-np.inf)
    names = np.arange(len(known)) if groups is None else np.asarray(groups, dtype=object)
    _, place, sizes = np.unique(names.astype(str), return_inverse=True, return_counts=True)
    shares = (1 / sizes)[place]
    order = np.argsort(known)
    reached = np.concatenate([[0.0], np.cumsum(shares[order])])
    below = np.searchsorted(known[order], scores, side="right")
    return np.where(np.isnan(scores), np.nan, (1 + reached[below]) / (len(sizes) + 1))


@dataclass(frozen=True)
class Weights:
    """How a one-class score turns into a log10 likelihood ratio: slope · s + offset, bounded.

    ``low`` and ``high`` bound it by what the numbers of calibration prompts can support.
    """

    slope: float
    offset: float
    low: float
    high: float

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Return (N,) log10 LR of (N,) scores; NaN stays."""
        return np.clip(self.slope * scores + self.offset, self.low, self.high)


def weigh(
    own: np.ndarray,
    others: np.ndarray,
    own_groups: Sequence[Any] | None = None,
    other_groups: Sequence[Any] | None = None,
) -> Weights:
    """Learn log10 LR = log10 P(s | this model) − log10 P(s | another) from calibration scores.

    Logistic regression with equal prior odds (Morrison 2013, doi:10.1080/00450618.2012.733025),
    lightly regularised; a score that falls where the model is right says nothing, and has slope 0.
    The ratio stays between 1 / (G + 1) of the model's own G prompts and G' + 1 of the others': no
    finite number of pictures shows rarer things (the bounds are ours, after Vergeer et al. 2016).

    Args:
        own: (n,) calibration scores of pictures the model made.
        others: (m,) of pictures other models made.
        own_groups: (n,) their prompts; each its own when left out.
        other_groups: (m,) likewise.

    Raises:
        ValueError: there are none of either.
    """
    from sklearn.linear_model import LogisticRegression

    kept = [~np.isnan(own), ~np.isnan(others)]
    one, two = own[kept[0]], others[kept[1]]
    if not len(one) or not len(two):
        raise ValueError(
            "a likelihood ratio needs calibration pictures of the model and of others; seen "
            f"{len(one)} and {len(two)}"
        )
    both = np.concatenate([one, two])
    centre, spread = float(both.mean()), float(both.std()) or 1.0
    truth = np.repeat([1, 0], [len(one), len(two)])
    fitted = LogisticRegression(class_weight="balanced").fit(
        (both[:, None] - centre) / spread, truth
    )
    slope = max(float(fitted.coef_[0, 0]), 0.0) / spread / math.log(10)
    offset = float(fitted.intercept_[0]) / math.log(10) - slope * centre if slope else 0.0
    counts = [
        len(set(np.asarray(groups, dtype=object)[some])) if groups is not None else int(some.sum())
        for groups, some in zip((own_groups, other_groups), kept, strict=True)
    ]
    return Weights(slope, offset, -math.log10(counts[0] + 1), math.log10(counts[1] + 1))
