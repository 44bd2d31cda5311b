"""From similarities to a decision: aggregate, rank, settle ties, measure the margin, abstain.

Notation (Li et al. 2024, arXiv:2403.01489): the similarities a_kj of one test image are a
(K, γ) table, candidate models by candidate images; an aggregation α turns it into the K scores
s_k = α(a_k1 … a_kγ). The paper averages; max, softmax and knn are RefPrint's (arXiv:2607.12052).
Every function here takes the (N, K, γ) cube of N images at once; NaN stands for a candidate image
that failed and is left out, and a model with nothing left scores NaN and ranks last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from workbench import frames
from workbench.keys import digest
from workbench.ranking.aggregate import AGGREGATIONS

if TYPE_CHECKING:
    import pandas as pd


def tie_order(image_ids: Sequence[str], generators: Sequence[str]) -> np.ndarray:
    """Return each model's place in the order of ties: smaller sha256(image_id, generator) first.

    Args:
        image_ids: N test images.
        generators: K candidate models.

    Returns:
        (N, K) places, 0 first. They depend on the pair alone, never on the order of the rows.

    >>> tie_order(["x"], ["a", "b"]).tolist()
    [[0, 1]]
    """
    keys = [[digest([image, name]) for name in generators] for image in image_ids]
    order = np.argsort(np.array(keys, dtype=str).reshape(len(image_ids), len(generators)), axis=1)
    return np.argsort(order, axis=1)


def first(scores: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the best model of every test image, as `rank` would.

    Args:
        scores: (N, K), higher is better; NaN comes last.
        places: (N, K) of `tie_order`, the models in the same order.

    Returns:
        (N,) the model, 0 … K − 1.

    >>> first(np.array([[0.5, 0.5], [np.nan, 0.1]]), np.array([[1, 0], [0, 1]])).tolist()
    [1, 1]
    """
    known = np.where(np.isnan(scores), -np.inf, scores)
    best = known == known.max(axis=1, keepdims=True)
    winners: np.ndarray = np.where(best, places, places.shape[1]).argmin(axis=1)
    return winners


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
    frame["_tie"] = [digest(list(pair)) for pair in pairs]
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


def similarity_cube(
    similarities: pd.DataFrame,
    rows: list[str],
    models: list[str],
    slot: np.ndarray,
    depth: int,
) -> np.ndarray:
    """Return similarities as (N, K, depth), each row of the table in its slot, NaN elsewhere."""
    cube = np.full((len(rows), len(models), depth), np.nan)
    image = similarities["image_id"].map({name: i for i, name in enumerate(rows)}).to_numpy()
    model = similarities["generator"].map({name: i for i, name in enumerate(models)}).to_numpy()
    values = similarities["value"].to_numpy(dtype=float)
    cube[image.astype(int), model.astype(int), slot] = values
    return cube


def _cube(similarities: pd.DataFrame, rows: list[str], models: list[str]) -> np.ndarray:
    """Return similarities as (N, K, γ) in the order of their candidate images."""
    frame = similarities[["image_id", "generator", "prompt_id", "index", "value"]]
    frame = frame[frame["image_id"].isin(rows) & frame["generator"].isin(models)]
    frame = frame.sort_values(["image_id", "generator", "prompt_id", "index"])
    slot = frame.groupby(["image_id", "generator"]).cumcount().to_numpy()
    return similarity_cube(frame, rows, models, slot, max(slot, default=-1) + 1 or 1)


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)
