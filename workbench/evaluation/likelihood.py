"""Likelihood ratios as forensic science reports them, and how good they are.

The ratio compares how probable the picture is if this model made it with how probable it is if one
of the other candidates did: LR = P(picture | model) / P(picture | others). It says nothing of
models that are no candidates, and it is no probability that the model made the picture, which needs
the prior odds too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

SCALE = (
    (2, ""),
    (10, "weak"),
    (100, "moderate"),
    (1_000, "moderately strong"),
    (10_000, "strong"),
    (1_000_000, "very strong"),
    (math.inf, "extremely strong"),
)
"""Likelihood ratios below which a word is used (ENFSI 2015, whose first word begins at 2)."""


@dataclass(frozen=True)
class Cost:
    """Hold the cost of log likelihood ratios, and the parts it is made of.

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
        """What is lost by calibration: Cllr less its minimum, 0 or more."""
        return self.cllr - self.minimum


def log10_ratios(
    posteriors: np.ndarray, priors: Sequence[float] | np.ndarray | None = None
) -> np.ndarray:
    """Compute log10 likelihood ratios of each model against the other candidates.

    LR_k = (p_k / (1 − p_k)) / (π_k / (1 − π_k)), by Bayes' theorem in odds: the posterior odds
    over the prior odds. The others are one alternative, weighed among themselves by their priors,
    which the ENFSI Guideline for Evaluative Reporting in Forensic Science (2015) asks to state.

    Args:
        posteriors: (N, K) probabilities of the K candidate models, K ≥ 2, that sum to 1; NaN rows
            remain so.
        priors: (K,) their prior probabilities, in (0, 1), that sum to 1 and were used in making
            the posteriors; equal when left out.

    Returns:
        (N, K) log10 LR, above 0 in favour of the model; infinite where a probability is 0 or 1.

    Raises:
        ValueError: what is given are no probabilities, or not of as many models.

    >>> log10_ratios([[0.5, 0.25, 0.25]]).round(3).tolist()
    [[0.301, -0.176, -0.176]]
    >>> (log10_ratios([[0.9, 0.1]], [0.9, 0.1]).round(3) + 0.0).tolist()
    [[0.0, 0.0]]
    """
    table = np.atleast_2d(np.asarray(posteriors, dtype=float))
    kinds = table.shape[1]
    before = np.full(kinds, 1 / kinds) if priors is None else np.asarray(priors, dtype=float)
    if kinds < 2 or before.shape != (kinds,):
        raise ValueError(
            "a likelihood ratio needs two models or more and a prior for each; seen "
            f"{kinds} models and {before.size} priors"
        )
    if not ((before > 0) & (before < 1)).all() or abs(before.sum() - 1) > 1e-9:
        raise ValueError(f"priors lie between 0 and 1 and sum to 1; seen {before.tolist()}")
    seen = table[~np.isnan(table).any(axis=1)]
    if (seen < 0).any() or (abs(seen.sum(axis=1) - 1) > 1e-6).any():
        raise ValueError("the posteriors of a picture are 0 or more and sum to 1; some do not")
    others = np.stack([np.delete(table, k, axis=1).sum(axis=1) for k in range(kinds)], axis=1)
    with np.errstate(divide="ignore"):
        after = np.log10(table) - np.log10(others)  # 1 − p without cancellation
    return after - np.log10(before / (1 - before))


def ratios(
    probabilities: pd.DataFrame, truth: pd.DataFrame, priors: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """Lay the log10 likelihood ratios of pictures of known source out, each a trial.

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
    found = truth[["image_id", "truth", "prompt"]].merge(table, on="image_id")
    found["same"] = found["generator"] == found["truth"]
    return found[["image_id", "prompt", "generator", "log10_lr", "same"]]


def verbal(log10_lr: float) -> str:
    """Put a log10 likelihood ratio in the words of the ENFSI guideline (2015).

    The ratio's size chooses the word: from 2 on weak, from 10 on moderate, from 100 on moderately
    strong, from 1,000 on strong, from 10,000 on very strong and from 1,000,000 on extremely strong;
    below 2 the evidence favours neither. Below 1 its inverse is put in words, for the others.

    Raises:
        ValueError: it is not a number.

    >>> verbal(0.1), verbal(2.5)
    ('no support for either', 'moderately strong support for this model rather than the others')
    >>> verbal(-1.0)
    'moderate support for the others rather than this model'
    """
    if math.isnan(log10_lr):
        raise ValueError("only a number can be put in words; seen nan")
    size = abs(log10_lr) + 1e-12  # 10^1 is at the bound of its word, whatever its last digit
    word = next((name for bound, name in SCALE if size < math.log10(bound)), SCALE[-1][1])
    if not word:
        return "no support for either"
    one, two = ("this model", "the others") if log10_lr > 0 else ("the others", "this model")
    return f"{word} support for {one} rather than {two}"


def cllr(log10_lr: Sequence[float] | np.ndarray, same: Sequence[bool] | np.ndarray) -> float:
    """Compute the cost of log likelihood ratios, Cllr (Brümmer & du Preez 2006), in bits.

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
    """Compute the Cllr that the same order of trials would have with the best calibration.

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
    """Compute Cllr, its minimum and so the loss by calibration (Brümmer & du Preez 2006).

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
    kept = ~np.isnan(values)
    values, own = values[kept], own[kept]
    if own.all() or not own.any():
        raise ValueError(
            "a cost needs ratios of the model that made a picture and of others; seen "
            f"{own.sum()} and {(~own).sum()}"
        )
    return values, own
