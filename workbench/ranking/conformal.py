"""Conformal attribution sets of stated coverage, and the test for "none of these".

Split conformal prediction (Vovk, Gammerman & Shafer 2005; Angelopoulos & Bates 2021,
arXiv:2107.07511) on frozen scores. Nothing is assumed of the scores; the pictures to come are
exchangeable with the calibration pictures, which took no part in choosing the setting.

The pictures of one prompt are alike, so the prompts are what counts: each weighs 1 / (G + 1) of G
prompts and one to come, shared by its pictures (hierarchical conformal prediction, Lee, Barber &
Willett 2023, arXiv:2306.06342). With one picture a prompt this is the usual n + 1 correction. Own
lines, because mapie wraps an estimator with probabilities: it takes neither frozen similarities nor
groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import frames
from workbench.plugin import Fitted

if TYPE_CHECKING:
    import pandas as pd


COVERAGE = 0.9
"""Share of the attribution sets that hold the true model."""
ALPHA = 0.05
"""Largest share of a candidate model's own pictures that is taken for none of these."""


def quantile(
    values: Sequence[float] | np.ndarray,
    coverage: float = COVERAGE,
    groups: Sequence[Any] | np.ndarray | None = None,
) -> float:
    """Return the smallest q such that a further value is at most q with probability ≥ coverage.

    Args:
        values: (N,) calibration values; NaN counts as ``inf``.
        coverage: in (0, 1).
        groups: (N,) the group (prompt) of each; each its own when left out.

    Returns:
        q, with Σ_g share of g's values ≤ q at least coverage · (G + 1); ``inf`` where G is too
        small for that. Without groups: the ⌈coverage · (N + 1)⌉-th smallest value.

    Raises:
        ValueError: the coverage is not in (0, 1).

    >>> quantile(range(1, 10), 0.9), quantile(range(1, 9), 0.9)
    (9.0, inf)
    """
    if not 0 < coverage < 1:
        raise ValueError(f"a coverage lies between 0 and 1; seen {coverage}")
    numbers = np.nan_to_num(np.asarray(values, dtype=float), nan=np.inf, posinf=np.inf)
    names = np.arange(len(numbers)) if groups is None else np.asarray(groups, dtype=object)
    _, place, sizes = np.unique(names.astype(str), return_inverse=True, return_counts=True)
    order = np.argsort(numbers)
    reached = np.cumsum((1 / sizes)[place][order])
    first = int(np.searchsorted(reached, coverage * (len(sizes) + 1) - 1e-9))
    return float(numbers[order][first]) if first < len(numbers) else float("inf")


def groups(table: pd.DataFrame) -> np.ndarray:
    """Return the prompt of each row; a row without one is a group of its own."""
    return table["prompt"].fillna(table["image_id"]).to_numpy()


def conformal_quantile(
    scores: pd.DataFrame, truth: pd.DataFrame, coverage: float = COVERAGE
) -> float:
    """Return the distance behind the best score within which the true model lies.

    The nonconformity of a model is its distance to the best score of its image, s_(1) − s_k: 0 for
    the best, ``inf`` without a score. It has no temperature to choose, and no set is empty.

    Args:
        scores: frame of that name, of one attributor, for calibration pictures.
        truth: ``image_id``, ``truth`` (a generator) and ``prompt``; an image without scores counts
            as ``inf``.
        coverage: in (0, 1).

    Returns:
        the quantile of the true models' distances: in similarity units, ``inf`` when there are too
        few calibration prompts.

    Raises:
        ValueError: several attributors, or a coverage outside (0, 1).
    """
    table = _of_one(scores).rename(columns={"generator": "truth"})
    table["behind"] = _behind(table)
    own = truth.merge(table[["image_id", "truth", "behind"]], on=["image_id", "truth"], how="left")
    return quantile(own["behind"].to_numpy(), coverage, groups(own))


def conformal_sets(scores: pd.DataFrame, quantile: float) -> pd.DataFrame:
    """Include every model whose score is at most ``quantile`` behind the best of its image.

    With `conformal_quantile` at coverage c, a share of at least c of such sets holds the true
    model, on average over calibrations and over pictures made as the calibration pictures were: by
    models of the zoo, each as often. For one model alone the share may be lower.

    Args:
        scores: frame of that name.
        quantile: ``inf`` includes everything; equal scores are included together, and a model
            without a score never, but by ``inf``.

    Returns:
        frame with image_id, attributor, generator, included; a row for each row of ``scores``.
    """
    table = frames.check(scores, "scores")
    table["included"] = _behind(table) <= quantile
    return table.drop(columns="score")


def fit_known(scores: pd.DataFrame, truth: pd.DataFrame) -> Fitted:
    """Return for every model the scores of the calibration pictures that it made itself.

    Args:
        scores: frame of that name, of one attributor.
        truth: ``image_id`` and ``truth`` (a generator).

    Returns:
        generator → (n,) its scores, sorted; pictures that could not be compared are left out.

    Raises:
        ValueError: several attributors, or no calibration picture was scored.
    """
    table = _of_one(scores)
    own = truth[["image_id", "truth"]].merge(
        table.rename(columns={"generator": "truth"}), on=["image_id", "truth"]
    )
    own = own[own["score"].notna()]
    return known(
        {
            str(name): own.loc[own["truth"] == name, "score"].to_numpy()
            for name in sorted(table["generator"].unique())
        }
    )


def known(values: Mapping[str, Sequence[float] | np.ndarray]) -> Fitted:
    """Return calibration scores by model, such as those of a preset, as `Fitted`.

    >>> known({"a": [0.5, 0.25]})["a"].tolist()
    [0.25, 0.5]
    """
    arrays = {name: np.sort(np.asarray(scores, dtype=float)) for name, scores in values.items()}
    return Fitted(sum(map(len, arrays.values())), arrays)


def known_p_values(scores: pd.DataFrame, fitted: Fitted) -> pd.DataFrame:
    """Test for every image that one of the candidate models made it.

    p_k = (1 + #{calibration scores of model k ≤ s_k}) / (n_k + 1) is a conformal p-value (Bates et
    al. 2023, arXiv:2104.08279), p = max_k p_k that of the union (Berger 1982, Technometrics
    24:295). Of the pictures of each model, taken by itself, at most a share α has p ≤ α; with n_k
    below 1 / α − 1 none has. A model without a score cannot be ruled out: its p_k is 1.

    Args:
        scores: frame of that name, of one attributor.
        fitted: what `fit_known` answered.

    Returns:
        frame with image_id, and p in (0, 1], missing where nothing could be compared; low is unlike
        all candidate models.

    Raises:
        LookupError: a model has no calibration scores.
        ValueError: several attributors.
    """
    table = _of_one(scores)
    table["p"] = 1.0
    for name, part in table[table["score"].notna()].groupby("generator"):
        own = fitted[str(name)]
        below = np.searchsorted(own, part["score"].to_numpy(), side="right")
        table.loc[part.index, "p"] = (1 + below) / (len(own) + 1)
    highest = table.groupby("image_id", sort=False).agg(p=("p", "max"), seen=("score", "count"))
    return highest["p"].where(highest["seen"] > 0).reset_index()


def pooled_p_values(
    values: Sequence[float] | np.ndarray,
    calibration: Sequence[float] | np.ndarray,
    groups: Sequence[Any] | np.ndarray,
) -> np.ndarray:
    """Test by one statistic that a picture is like the calibration pictures of all models together.

    p = (1 + Σ_g share of g's statistics ≤ the picture's) / (G + 1) of G groups. Of pictures like
    the calibration pictures at most a share α has p ≤ α, on average over the models; of one model
    alone it may be more, which `known_p_values` does not allow.

    Args:
        values: (N,) the statistic, such as the p of `known_p_values`; low is unlike. NaN has p NaN.
        calibration: (M,) that of pictures by candidate models, which took no part in the statistic.
        groups: (M,) the group (scene) of each.

    Returns:
        (N,) p values.

    Raises:
        ValueError: there is no calibration picture.

    >>> pooled_p_values([0.5, 0.1], [0.2, 0.4, 0.6], "abc").tolist()
    [0.75, 0.25]
    """
    numbers = np.asarray(calibration, dtype=float)
    if not len(numbers):
        raise ValueError("a pooled test needs calibration pictures; there is none")
    _, place, sizes = np.unique(
        np.asarray(list(groups), dtype=str), return_inverse=True, return_counts=True
    )
    order = np.argsort(numbers, kind="stable")
    shares = np.concatenate([[0.0], np.cumsum((1 / sizes)[place][order])])
    seen = np.asarray(values, dtype=float)
    below = shares[np.searchsorted(numbers[order], seen, side="right")]
    return np.where(np.isnan(seen), np.nan, (1 + below) / (len(sizes) + 1))


def reject(attributions: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Abstain where p ≤ `ALPHA`: none of the candidate models is likely to have made the image.

    Args:
        attributions: frame of that name.
        known: what `known_p_values` answered.

    Returns:
        attributions frame, those images no longer ``accepted``.
    """
    refused = known.loc[known["p"] <= ALPHA, "image_id"]
    accepted = attributions["accepted"] & ~attributions["image_id"].isin(refused)
    return frames.check(attributions.assign(accepted=accepted), "attributions")


def _behind(scores: pd.DataFrame) -> pd.Series:
    """Return each score's distance to the best of its image and attributor."""
    best = scores.groupby(["image_id", "attributor"])["score"].transform("max")
    return (best - scores["score"]).fillna(np.inf)


def _of_one(scores: pd.DataFrame) -> pd.DataFrame:
    table = frames.check(scores, "scores").copy()
    names = table["attributor"].unique()
    if len(names) > 1:
        raise ValueError(f"a calibration is of one attributor at a time; seen {', '.join(names)}")
    return table
