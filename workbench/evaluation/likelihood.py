"""Cost of the likelihood ratios of pictures of known source (`ranking.likelihood`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.ranking.likelihood import log10_ratios

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Cost:
    """The cost of log likelihood ratios, and its parts.

    ``cllr`` is what they cost, ``minimum`` what they would if they were calibrated as well as can
    be (discrimination), and ``loss`` the rest (calibration); all in bits, lower is better.
    ``same`` and ``different``: how many ratios of either kind they are of.
    """

    cllr: float
    minimum: float
    same: int
    different: int

    @property
    def loss(self) -> float:
        """The loss by calibration: Cllr less its minimum, 0 or more."""
        return self.cllr - self.minimum


def ratios(
    probabilities: pd.DataFrame, truth: pd.DataFrame, priors: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """Return the log10 likelihood ratios of pictures of known source, a row a trial.

    Every picture gives one ratio of the model that made it, of which large ones are right, and one
    of each other candidate, of which small ones are.

    Args:
        probabilities: image_id, generator and probability, of a `ranking.Confidence` for example.
        truth: ``image_id``, ``truth`` (a generator) and ``prompt``.
        priors: of each model, that the probabilities were made with; equal when left out.

    Returns:
        frame with image_id, prompt, generator, ``log10_lr`` and ``same`` (bool: it is the model
        that made the picture); pictures without probabilities are left out.

    Raises:
        ValueError: what `log10_ratios` refuses.
        LookupError: a model has no prior.
    """
    wide = probabilities.pivot(index="image_id", columns="generator", values="probability").dropna()
    names = [str(name) for name in wide.columns]
    missing = sorted(set(names) - set(names if priors is None else priors))
    if missing:
        raise LookupError(f"there is no prior probability of {', '.join(missing)}")
    before = None if priors is None else [priors[name] for name in names]
    wide.loc[:, :] = log10_ratios(wide.to_numpy(), before)
    table = wide.reset_index().melt("image_id", var_name="generator", value_name="log10_lr")
    trials = truth[["image_id", "truth", "prompt"]].merge(table, on="image_id")
    trials["same"] = trials["generator"] == trials["truth"]
    return trials[["image_id", "prompt", "generator", "log10_lr", "same"]]


def cllr(log10_lr: Sequence[float] | np.ndarray, same: Sequence[bool] | np.ndarray) -> float:
    """Return the cost of log likelihood ratios, Cllr (Brümmer & du Preez 2006), in bits.

    ½ · (mean over trials of the same source of log2(1 + 1 / LR) + mean over the others of
    log2(1 + LR)), Computer Speech & Language 20:230. 0 is perfect, 1 is worth as much as LR = 1 for
    every trial; above 1 they mislead.

    Args:
        log10_lr: (N,) of each trial; NaN ones are left out.
        same: (N,) whether the model made the picture.

    Raises:
        ValueError: there are not trials of both kinds.

    >>> cllr([0, 0, 0], [True, False, False]), cllr([400, -400], [True, False])
    (1.0, 0.0)
    """
    values, own = _trials(log10_lr, same)
    signed = np.where(own, -values, values) * math.log(10)
    costs = np.logaddexp(0, signed) / math.log(2)
    return float((costs[own].mean() + costs[~own].mean()) / 2)


def minimum_cllr(
    log10_lr: Sequence[float] | np.ndarray, same: Sequence[bool] | np.ndarray
) -> float:
    """Return the Cllr that the same order of trials would have with the best calibration.

    The pool adjacent violators algorithm (isotonic regression; scikit-learn) makes of the ratios
    the probabilities that fit the trials best and rise with them; the odds of the numbers of trials
    are taken off (Brümmer & du Preez 2006). It is optimistic, as it has seen the answers.

    Args:
        log10_lr: as of `cllr`; only their order matters.
        same: likewise.

    Raises:
        ValueError: likewise.

    >>> round(minimum_cllr([3, 2, 1, 0], [True, False, True, False]), 3)
    0.5
    """
    from sklearn.isotonic import IsotonicRegression

    values, own = _trials(log10_lr, same)
    _, order = np.unique(values, return_inverse=True)  # infinite ones have their place too
    share = IsotonicRegression(y_min=0, y_max=1).fit_transform(order, own.astype(float))
    with np.errstate(divide="ignore"):
        odds = np.log10(share) - np.log10(1 - share)
    return cllr(odds - math.log10(own.sum() / (~own).sum()), own)


def cost(log10_lr: Sequence[float] | np.ndarray, same: Sequence[bool] | np.ndarray) -> Cost:
    """Return Cllr, its minimum and so the loss by calibration (Brümmer & du Preez 2006).

    Args:
        log10_lr: as of `cllr`.
        same: likewise.

    Raises:
        ValueError: likewise.
    """
    _, own = _trials(log10_lr, same)
    best = minimum_cllr(log10_lr, same)
    return Cost(cllr(log10_lr, same), best, int(own.sum()), int((~own).sum()))


def _trials(
    log10_lr: Sequence[float] | np.ndarray, same: Sequence[bool] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the trials that have a ratio, when there are some of both kinds."""
    values, own = np.asarray(log10_lr, dtype=float), np.asarray(same, dtype=bool)
    if values.shape != own.shape:
        raise ValueError(f"each ratio has its truth; seen {values.size} and {own.size}")
    known = ~np.isnan(values)
    values, own = values[known], own[known]
    if own.all() or not own.any():
        raise ValueError(
            "a cost needs ratios of the model that made a picture and of others; seen "
            f"{own.sum()} and {(~own).sum()}"
        )
    return values, own
