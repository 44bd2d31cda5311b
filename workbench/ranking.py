"""From similarities to a decision: aggregate, rank, settle ties, measure the margin, abstain.

Notation (Li et al. 2024, arXiv:2403.01489): the similarities a_kj of one test image are a
(K, γ) table, candidate models by candidate images; an aggregation α turns it into the K scores
s_k = α(a_k1 … a_kγ). The paper averages; max, softmax and knn are RefPrint's (arXiv:2607.12052).
Every function here takes the (N, K, γ) cube of N images at once; NaN stands for a candidate image
that failed and is left out, and a model with nothing left scores NaN and ranks last.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from workbench import frames

if TYPE_CHECKING:
    import pandas as pd

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


def tie_order(image_ids: Sequence[str], generators: Sequence[str]) -> np.ndarray:
    """Place every model in the order that settles ties: smaller sha256(image_id, generator) first.

    Args:
        image_ids: N test images.
        generators: K candidate models.

    Returns:
        (N, K) places, 0 first. They depend on the pair alone, never on the order of the rows.

    >>> tie_order(["x"], ["a", "b"]).tolist()
    [[0, 1]]
    """
    keys = [[frames.digest([image, name]) for name in generators] for image in image_ids]
    order = np.argsort(np.array(keys, dtype=str).reshape(len(image_ids), len(generators)), axis=1)
    return np.argsort(order, axis=1)


def score(
    similarities: pd.DataFrame,
    attributor: str,
    aggregate: str = "mean",
    images: Sequence[str] | None = None,
    generators: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Aggregate similarities into one score per test image and candidate model.

    Args:
        similarities: frame of that name, of one similarity.
        attributor: name the scores go under.
        aggregate: one of ``mean``, ``max``, ``softmax``, ``knn``.
        images: test images that must stand in the answer even when nothing could be compared;
            those of ``similarities`` when left out.
        generators: candidate models, likewise.

    Returns:
        scores frame, a row for each image and generator; NaN where nothing could be compared.

    Raises:
        ValueError: the aggregation is unknown, or two similarities are mixed.
    """
    import pandas as pd

    if aggregate not in AGGREGATIONS:
        raise ValueError(f"no aggregation named {aggregate!r}; there are: {_names(AGGREGATIONS)}")
    names = similarities["similarity"].unique()
    if len(names) > 1:
        raise ValueError(f"scores are of one similarity at a time; the table holds {_names(names)}")
    rows = list(dict.fromkeys(similarities["image_id"] if images is None else images))
    models = sorted(set(similarities["generator"] if generators is None else generators))
    places = tie_order(rows, models)
    cube = np.take_along_axis(
        _cube(similarities, rows, models), np.argsort(places, axis=1)[..., None], axis=1
    )
    scores = np.take_along_axis(AGGREGATIONS[aggregate](cube), places, axis=1)
    frame = pd.DataFrame(
        {
            "image_id": np.repeat(np.array(rows, dtype=object), len(models)),
            "attributor": attributor,
            "generator": np.tile(np.array(models, dtype=object), len(rows)),
            "score": scores.ravel(),
        }
    )
    return frames.check(frame, "scores")


def rank(scores: pd.DataFrame) -> pd.DataFrame:
    """Rank the candidate models of every test image, 1 is best.

    Equal scores go to the smaller sha256(image_id, generator), here and nowhere else; a model
    without a score comes last.

    Args:
        scores: frame of that name.

    Returns:
        rankings frame, sorted by image (in order of appearance), attributor and rank.
    """
    frame = frames.check(scores, "scores").copy()
    pairs = zip(frame["image_id"], frame["generator"], strict=True)
    frame["_tie"] = [frames.digest(list(pair)) for pair in pairs]
    frame["_image"] = frame["image_id"].map(
        {image: i for i, image in enumerate(frame["image_id"].unique())}
    )
    frame["_score"] = -frame["score"].astype(float)
    frame = frame.sort_values(["_image", "attributor", "_score", "_tie"], na_position="last")
    frame["rank"] = frame.groupby(["_image", "attributor"], sort=False).cumcount() + 1
    columns = ["image_id", "attributor", "generator", "score", "rank"]
    return frames.check(frame[columns].reset_index(drop=True), "rankings")


def decide(rankings: pd.DataFrame, threshold: float | None = None) -> pd.DataFrame:
    """Attribute every test image, or abstain.

    margin = s_(1) − s_(2). A tie (margin 0) always abstains, and so does an image of which fewer
    than two models could be compared.

    Args:
        rankings: frame of that name.
        threshold: smallest margin that is accepted; ``inf`` accepts none, ``None`` (not
            calibrated) accepts every image that was not a tie.

    Returns:
        attributions frame: ``predicted`` is the best model even where ``accepted`` is False, and
        missing where no model could be compared.
    """
    import pandas as pd

    ranked = frames.check(rankings, "rankings")
    keys = ["image_id", "attributor"]
    first = ranked[ranked["rank"] == 1].set_index(keys)
    second = ranked[ranked["rank"] == 2].set_index(keys)["score"].reindex(first.index)
    margin = (first["score"] - second).astype(float)
    frame = pd.DataFrame(
        {
            "predicted": first["generator"].astype(object).where(first["score"].notna(), None),
            "margin": margin,
            "accepted": (margin > 0) & (margin >= (0.0 if threshold is None else threshold)),
        }
    ).reset_index()
    if threshold == float("inf"):
        frame["accepted"] = False
    return frames.check(frame, "attributions")


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


def _cube(similarities: pd.DataFrame, rows: list[str], models: list[str]) -> np.ndarray:
    """Lay the similarities out as (N, K, γ), NaN where there is none."""
    frame = similarities[["image_id", "generator", "prompt_id", "index", "value"]]
    frame = frame[frame["image_id"].isin(rows) & frame["generator"].isin(models)]
    frame = frame.sort_values(["image_id", "generator", "prompt_id", "index"])
    slot = frame.groupby(["image_id", "generator"]).cumcount().to_numpy()
    cube = np.full((len(rows), len(models), max(slot, default=-1) + 1 or 1), np.nan)
    image = frame["image_id"].map({name: i for i, name in enumerate(rows)}).to_numpy()
    model = frame["generator"].map({name: i for i, name in enumerate(models)}).to_numpy()
    cube[image.astype(int), model.astype(int), slot] = frame["value"].to_numpy(dtype=float)
    return cube


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)
