"""Open-set metrics: AUROC, and correct classification against false positives (OSCR)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def auroc(known: Sequence[float] | np.ndarray, unknown: Sequence[float] | np.ndarray) -> float:
    """Measure how well a score tells known from unknown sources: P(known > unknown) + P(equal) / 2.

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
    """Trace the open-set classification rate (Dhamija et al. 2018, arXiv:1811.04110).

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
    """Measure the area under an OSCR curve by trapezes, in [0, accuracy]; higher is better.

    Where every known picture is attributed rightly it is the `auroc`.

    >>> oscr_area(oscr([0.9, 0.5], [True, True], [0.5, 0.1]))
    0.875
    """
    from sklearn.metrics import auc

    return float(auc(curve["fpr"], curve["ccr"]))


def _ranked(scores: np.ndarray) -> np.ndarray:
    """Replace scores by their places, which are finite; NaN comes lowest."""
    return np.unique(np.where(np.isnan(scores), -np.inf, scores), return_inverse=True)[1]
