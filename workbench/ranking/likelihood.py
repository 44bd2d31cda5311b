"""Likelihood ratios of the candidate models, and their words, as forensic science reports them.

The ratio compares how probable the picture is if this model made it with how probable it is if one
of the other candidates did: LR = P(picture | model) / P(picture | others). It says nothing of
models that are no candidates, and it is no probability that the model made the picture, which needs
the prior odds too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

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
