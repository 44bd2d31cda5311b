"""Racing: draw candidate images in rounds, and drop the models that can no longer win.

Successive elimination (Even-Dar, Mannor & Mansour 2006, JMLR 7:1079): arms are candidate models,
a pull is a candidate image, its reward the similarity a_kj. The horizon is finite: the *winner* is
the model that would be first if all γ candidate images of every model were drawn, which is what
`Regeneration` answers. Three rules tell who trails hopelessly, each with its own guarantee:

=================  ===========================================================================
`trails_by_mean`   the winner by mean survives with probability ≥ 1 − δ if the K similarities of
                   an index are jointly normal, independent over the indices
`trails_by_max`    the winner by maximum, likewise; each model's similarities normal
`trails_by_bound`  any per-model aggregation; no law of the similarities is assumed: the bound is
                   calibrated so that the winner survives on a share 1 − δ of pictures like those
                   of the calibration (see `needed`)
=================  ===========================================================================

A bound from the range alone would never stop. Differences of cosines lie in an interval of length
4, so for K = 4, δ = .05 and 12 of 16 images drawn, Hoeffding–Serfling (Serfling 1974) asks for mean
cosines 1.04 apart, and for more with fewer images; empirical Bernstein (Maurer & Pontil 2009,
arXiv:0907.3740) keeps the range in its second term.

Arrays: N images, K models, n of γ candidate images; NaN stands for an image that failed or was not
drawn. A comparison takes equal counts only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from workbench.ranking.aggregate import AGGREGATIONS, maximum, mean

Aggregate = Callable[[np.ndarray], np.ndarray]
Trails = Callable[[np.ndarray], np.ndarray]
Draw = Callable[[np.ndarray, int, int], np.ndarray]


def counts(gamma: int, step: int) -> list[int]:
    """Return how many candidate images a model has after each round.

    >>> counts(10, 4)
    [4, 8, 10]
    """
    return [*range(step, gamma, step), gamma]


def race(
    draw: Draw,
    images: int,
    models: int,
    counts: Sequence[int],
    aggregate: Aggregate,
    trails: Trails,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw round by round; go on with those models of an image that do not trail hopelessly.

    An image is done when one of the models that could be compared is left. A model without any
    picture yet is not dropped, but does not keep an image going either.

    Args:
        draw: answers (N, K, stop − start) similarities, of the (N, K) marked pairs at least.
        images: N.
        models: K.
        counts: candidate images after each round, the last is γ.
        aggregate: (N, K, n) similarities to (N, K) scores.
        trails: the rule, (N, K, n) similarities to (N, K) models to drop.

    Returns:
        (N, K, γ) similarities that were drawn, and (N, K) scores. A dropped model keeps the score
        it was dropped with, lowered as far as the best score has fallen since: what is drawn
        later never lifts it over the model that beat it at equal counts.
    """
    cube = np.full((images, models, counts[-1]), np.nan)
    scores, lead = np.full((2, images, models), np.nan)
    alive = np.ones((images, models), dtype=bool)
    drawing, start = alive, 0
    for stop in counts:
        if not drawing.any():
            break
        values = draw(drawing, start, stop)
        cube[:, :, start:stop] = np.where(drawing[..., None], values, np.nan)
        seen = np.where(drawing[..., None], cube[:, :, :stop], np.nan)
        now = aggregate(seen)
        scores = np.where(drawing, now, scores)
        lead = np.where(drawing, _best(now), lead)
        if stop < counts[-1]:
            alive = alive & ~(drawing & trails(seen))
        going = (alive & ~np.isnan(scores)).sum(axis=1, keepdims=True) != 1
        drawing, start = drawing & alive & going, stop
    fallen = lead - _best(np.where(alive, scores, np.nan))
    return cube, scores - np.fmax(fallen, 0)


def trails_by_mean(seen: np.ndarray, gamma: int, level: float) -> np.ndarray:
    """Return an (N, K) mask of the models whose mean will stay behind that of the leader.

    With d_j = a_lj − a_kj of leader l and model k, (d̄_n − d̄_γ) / (s_n √(1/n − 1/γ)) has Student's t
    distribution with n − 1 degrees of freedom, whatever the correlation of models at an index, and
    independently of all means d̄_γ. So k is dropped where d̄_n ≥ t_{1−level} s_n √(1/n − 1/γ), which
    happens to the winner with probability ``level`` for each rival and round. The rivals need not
    be equal in variance.

    >>> seen = np.array([[[0.9, 0.8, 0.9], [0.2, 0.1, 0.3], [0.8, 0.9, 0.8]]])
    >>> trails_by_mean(seen, 4, 0.01).tolist()
    [[False, True, False]]
    """
    from scipy.stats import t

    first = _winner(mean(seen))
    n, average, spread = _moments(np.take_along_axis(seen, first[:, None, None], axis=1) - seen)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (average > 0) & (
            average >= t.isf(level, n - 1) * spread * np.sqrt(1 / n - 1 / gamma)
        )


def trails_by_max(seen: np.ndarray, gamma: int, level: float) -> np.ndarray:
    """Return an (N, K) mask of the models unlikely to reach the best similarity seen.

    One more similarity a of a model has (a − ā_n) / (s_n √(1 + 1/n)) ~ t with n − 1 degrees of
    freedom; level / (γ − n) for each of the γ − n to come bounds them together (Hahn 1970, JASA
    65:1668). So the winner is dropped with probability at most ``level`` for each model and round.

    >>> seen = np.array([[[0.9, 0.8, 0.7], [0.2, 0.1, 0.3], [0.8, 0.9, 0.8]]])
    >>> trails_by_max(seen, 4, 0.05).tolist()
    [[False, True, False]]
    """
    from scipy.stats import t

    best, own = _best(maximum(seen)), maximum(seen)
    n, mean, spread = _moments(seen)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = t.isf(level / max(gamma - seen.shape[2], 1), n - 1) * np.sqrt(1 + 1 / n)
        return (own < best) & (best >= mean + factor * spread)


def trails_by_bound(
    seen: np.ndarray, gamma: int, bound: float, aggregate: Aggregate = mean
) -> np.ndarray:
    """Return an (N, K) mask of the models more than bound · √(1/n − 1/γ) behind the best.

    >>> trails_by_bound(np.array([[[0.9], [0.6], [0.1]]]), 2, 1.0).tolist()
    [[False, False, True]]
    """
    scores = aggregate(seen)
    return (_best(scores) - scores) / _width(seen.shape[2], gamma) > bound


def needed(cube: np.ndarray, counts: Sequence[int], aggregate: Aggregate) -> np.ndarray:
    """Return for each image the smallest bound that is sure to keep its winner.

    With it, and with every larger one, the winner is kept whichever models were dropped before,
    for none is further ahead of it than the best of all. So a conformal quantile of these at
    coverage 1 − δ (`conformal.quantile`) keeps the winner of a further, exchangeable
    picture with probability ≥ 1 − δ.

    Args:
        cube: (N, K, γ) similarities of calibration pictures.
        counts: as of `race`.
        aggregate: of one model by itself: mean, max or softmax.

    Returns:
        (N,) bounds; 0 where nothing could be compared, ``inf`` where the winner had no picture yet.
    """
    winner = _winner(aggregate(cube))[:, None]
    bounds = np.zeros((len(cube), 1))
    for n in counts[:-1]:
        scores = aggregate(cube[:, :, :n])
        behind = _best(scores) - np.take_along_axis(scores, winner, axis=1)
        late = np.isnan(behind) & ~np.isnan(_best(scores))
        behind = np.where(late, np.inf, behind)
        bounds = np.fmax(bounds, behind / _width(n, counts[-1]))
    return bounds[:, 0]


def rule(
    aggregate: str, gamma: int, step: int, models: int, delta: float, bound: float | None = None
) -> Trails:
    """Return the rule of an aggregation, its level such that the winner survives all rounds.

    The level is δ / ((K − 1) R) for the mean and δ / (K R) for the maximum, by the union bound over
    rivals or models and the R rounds in which a model may be dropped and has two images.

    Raises:
        ValueError: the aggregation has no rule of its own, and no bound is given.
    """
    if bound is not None:
        whole = AGGREGATIONS[aggregate]
        return lambda seen: trails_by_bound(seen, gamma, bound, whole)
    looks = max(sum(n > 1 for n in counts(gamma, step)[:-1]), 1)
    if aggregate == "mean":
        return lambda seen: trails_by_mean(seen, gamma, delta / (max(models - 1, 1) * looks))
    if aggregate == "max":
        return lambda seen: trails_by_max(seen, gamma, delta / (models * looks))
    raise ValueError(
        f"models are dropped by their mean or max without calibration; {aggregate!r} needs a bound"
    )


def _best(scores: np.ndarray) -> np.ndarray:
    """Return the best score of each image, (N, 1), NaN where there is none."""
    return np.fmax.reduce(scores, axis=1, keepdims=True)


def _winner(scores: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(scores), -np.inf, scores).argmax(axis=1)


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return count, mean and deviation (ddof 1) along the last axis, NaN left out."""
    n = (~np.isnan(values)).sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.nansum(values, axis=2) / n
        squares = np.nansum((values - mean[..., None]) ** 2, axis=2)
        return n, mean, np.sqrt(squares / np.where(n > 1, n - 1, np.nan))


def _width(n: int, gamma: int) -> float:
    return float(np.sqrt(1 / n - 1 / gamma))
