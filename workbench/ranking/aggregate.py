"""Aggregations: the similarities of a model's γ candidate images become its score s_k."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

TAU = 0.05
"""Temperature of the softmax aggregation (default ours)."""


def mean(cube: np.ndarray) -> np.ndarray:
    """Average over the candidate images, the paper's aggregation.

    Args:
        cube: (N, K, γ) similarities, NaN where a candidate image failed.

    Returns:
        (N, K) scores, higher is closer.

    >>> mean(np.array([[[1.0, 0.0], [0.25, np.nan]]])).tolist()
    [[0.5, 0.25]]
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a model without pictures: NaN
        return np.nanmean(cube, axis=2)


def maximum(cube: np.ndarray) -> np.ndarray:
    """Take the nearest candidate image: (N, K, γ) similarities to (N, K) scores.

    >>> maximum(np.array([[[1.0, 0.0], [0.25, np.nan]]])).tolist()
    [[1.0, 0.25]]
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmax(cube, axis=2)


def softmax(cube: np.ndarray) -> np.ndarray:
    """Weigh near candidate images more: Σ_j softmax_j(a / τ) · a_j, τ = .05 (default ours).

    Args:
        cube: (N, K, γ) similarities, NaN where a candidate image failed.

    Returns:
        (N, K) scores between the mean and the maximum, higher is closer.

    >>> softmax(np.array([[[1.0, 0.0], [0.25, 0.25]]])).round(6).tolist()
    [[1.0, 0.25]]
    """
    weights = np.nan_to_num(np.exp((cube - maximum(cube)[..., None]) / TAU))
    total = weights.sum(axis=2)
    weighted = (weights * np.nan_to_num(cube)).sum(axis=2)
    return np.divide(weighted, total, out=np.full_like(total, np.nan), where=total > 0)


def knn(cube: np.ndarray) -> np.ndarray:
    """Let the nearest candidate images vote: s_k = votes_k / k + 1e-6 · mean_k.

    The k = min(5, γ) nearest are taken among all K·γ candidate images of the test image. Equal
    similarities count in the order of the models, so `score` passes the models in tie order.

    Args:
        cube: (N, K, γ) similarities, NaN where a candidate image failed.

    Returns:
        (N, K) scores, higher is closer.

    >>> knn(np.array([[[0.9, 0.1], [0.8, 0.7]]])).round(3).tolist()
    [[0.5, 0.5]]
    """
    images, models, gamma = cube.shape
    k = min(5, gamma)
    flat = cube.reshape(images, models * gamma)
    nearest = np.argsort(-flat, axis=1, kind="stable")[:, :k]  # NaN sorts last
    valid = ~np.isnan(np.take_along_axis(flat, nearest, axis=1))
    votes = np.zeros((images, models))
    np.add.at(votes, (np.arange(images)[:, None], nearest // gamma), valid)
    return votes / k + 1e-6 * mean(cube)


AGGREGATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": mean,
    "max": maximum,
    "softmax": softmax,
    "knn": knn,
}
