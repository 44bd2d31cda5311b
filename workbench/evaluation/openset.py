"""Open-set metrics: AUROC, and correct classification against false positives (OSCR).

Both areas are means over pairs of a known and an unknown picture, so `area_interval` has the
interval of either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.evaluation.statistics import Interval, influence_interval

if TYPE_CHECKING:
    import pandas as pd


def auroc(known: Sequence[float] | np.ndarray, unknown: Sequence[float] | np.ndarray) -> float:
    """Return the AUROC of known against unknown sources: P(known > unknown) + P(equal) / 2.

    Args:
        known: scores of pictures by models of the zoo, such as `conformal.known_p_values`; higher
            is more likely known, NaN (a failed picture) is lowest.
        unknown: scores of other pictures.

    Returns:
        the area under the ROC curve, in [0, 1]; chance is 0.5.

    >>> auroc([0.9, 0.5], [0.5, 0.1])
    0.875
    """
    from sklearn.metrics import roc_auc_score

    one, two = np.asarray(known, dtype=float), np.asarray(unknown, dtype=float)
    places = _ranked(np.concatenate([one, two]))
    return float(roc_auc_score(np.arange(len(places)) < len(one), places))


def oscr(
    known: Sequence[float] | np.ndarray,
    correct: Sequence[bool] | np.ndarray,
    unknown: Sequence[float] | np.ndarray,
) -> pd.DataFrame:
    """Return the open-set classification rates (Dhamija et al. 2018, arXiv:1811.04110).

    For a threshold θ: ccr = share of the known pictures with score ≥ θ that are attributed rightly,
    fpr = share of the unknown pictures with score ≥ θ.

    Args:
        known: (N,) scores of pictures by models of the zoo; NaN (a failed picture) is lowest.
        correct: (N,) whether each is attributed rightly.
        unknown: (M,) scores of other pictures, M ≥ 1.

    Returns:
        frame with fpr and ccr, from (0, 0) to (1, accuracy), both rising.

    >>> oscr([0.9, 0.5], [True, False], [0.1]).to_numpy().tolist()
    [[0.0, 0.0], [0.0, 0.5], [0.0, 0.5], [1.0, 0.5]]
    """
    import pandas as pd

    one, two = np.asarray(known, dtype=float), np.asarray(unknown, dtype=float)
    places = _ranked(np.concatenate([one, two]))
    levels = np.unique(places)[::-1]
    right = places[: len(one)][np.asarray(correct, dtype=bool)]
    rates = {"fpr": (places[len(one) :], len(two)), "ccr": (right, len(one))}
    curve = {
        name: np.append(0.0, (values >= levels[:, None]).sum(axis=1) / n)
        for name, (values, n) in rates.items()
    }
    return pd.DataFrame(curve)


def oscr_area(curve: pd.DataFrame) -> float:
    """Return the area under an OSCR curve by trapezes, in [0, accuracy]; higher is better.

    Where every known picture is attributed rightly it is the `auroc`.

    >>> oscr_area(oscr([0.9, 0.5], [True, True], [0.5, 0.1]))
    0.875
    """
    from sklearn.metrics import auc

    return float(auc(curve["fpr"], curve["ccr"]))


def area_interval(
    scores: Sequence[float] | np.ndarray,
    known: Sequence[bool] | np.ndarray,
    clusters: Sequence[Any] | np.ndarray,
    correct: Sequence[bool] | np.ndarray | None = None,
) -> Interval:
    """Estimate the AUROC, or with ``correct`` the area under the OSCR curve, with its interval.

    Either is the mean of h(i, j) = c_i ([s_i > s_j] + ½ [s_i = s_j]) over known i and unknown j,
    c_i = 1 for the AUROC. The interval is cluster-robust by the structural components (DeLong et
    al. 1988, Biometrics 44:837; with clusters: Obuchowski 1997, Biometrics 53:567), by
    `statistics.influence_interval`.

    Args:
        scores: (N,) how likely each picture is of a known source; NaN is lowest.
        known: (N,) whether its source is.
        clusters: (N,) the scene of each, known or not.
        correct: (N,) whether each is attributed rightly; of unknown ones it does not matter.

    Returns:
        the area and its interval in [0, 1], n the pictures of both kinds.

    Raises:
        ValueError: there are not pictures of both kinds.

    >>> area_interval([0.9, 0.5, 0.5, 0.1], [True, True, False, False], list("abcd")).value
    0.875
    """
    place, inside = _ranked(np.asarray(scores, dtype=float)), np.asarray(known, dtype=bool)
    if inside.all() or not inside.any():
        raise ValueError(
            f"an area needs known and unknown pictures; {inside.sum()} of {len(inside)} are known"
        )
    one, two = place[inside][:, None], place[~inside][None, :]
    pairs = (one > two) + 0.5 * (one == two)
    if correct is not None:
        pairs *= np.asarray(correct, dtype=bool)[inside][:, None]
    value = float(pairs.mean())
    influence = np.empty(len(inside))
    influence[inside] = (pairs.mean(axis=1) - value) / inside.sum()
    influence[~inside] = (pairs.mean(axis=0) - value) / (~inside).sum()
    return influence_interval(value, influence, clusters)


def _ranked(scores: np.ndarray) -> np.ndarray:
    """Return the ranks of scores, which are finite; NaN comes lowest."""
    return np.unique(np.where(np.isnan(scores), -np.inf, scores), return_inverse=True)[1]
