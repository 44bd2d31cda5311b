"""The sentence that closes an evaluation: what its errors have in common."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from workbench.evaluation.metrics import confusion
from workbench.evaluation.prompts import scenes
from workbench.evaluation.statistics import accuracy_interval, mean_interval

if TYPE_CHECKING:
    import pandas as pd


def signature(outcomes: pd.DataFrame, labels: Sequence[str], natural: pd.DataFrame | None) -> str:
    """Return the failure signatures seen in one sentence, or "" where there are none.

    The rules (the bounds are ours); 1 and 2 speak alone, and of 4, 5 and 6 only the first:

    1. *failures*: at least a tenth of the images could not be attributed at all.
    2. *chance*: the interval of the accuracy holds 1 / K; or *too few pictures*, where it reaches
       halfway from there to 1 as well.
    3. *poor prompts*: the natural prompt is at least 5 points better than the inverted one, and the
       interval of the difference, over scenes, lies above 0.
    4. *twin models*: K > 2, at least 5 errors, and two models exchange at least half of all errors,
       in both directions.
    5. *one weak model*: at least 5 errors, and a model 15 points or more below the accuracy of the
       others together, which lies above its interval.
    6. *one attractor*: K > 2, at least 5 errors, and one model takes at least two thirds of them.

    Args:
        outcomes: of one attributor.
        labels: the K candidate models.
        natural: outcomes of the same images with their natural prompt; None where it was not tried.
    """
    missed = float(outcomes["predicted"].isna().mean())
    if missed >= 0.1:
        return f"Failures: {missed:.0%} of the pictures could not be attributed at all."
    accuracy = accuracy_interval(outcomes["correct"], scenes(outcomes))
    chance = 1 / len(labels)
    if accuracy.low <= chance and accuracy.high >= (1 + chance) / 2:
        return (
            f"Too few pictures: {accuracy.value:.1%} right ({accuracy.low:.1%} to "
            f"{accuracy.high:.1%}) cannot be told from 1 / {len(labels)}."
        )
    if accuracy.low <= chance:
        return (
            f"At chance: {accuracy.value:.1%} right cannot be told from 1 / {len(labels)}, so the "
            "similarity does not see these models."
        )
    which = _twins(outcomes, labels) or _weak(outcomes, labels) or _attractor(outcomes, labels)
    poor = "" if natural is None else _poor_prompts(outcomes, natural)
    seen = "; ".join(filter(None, [poor, which]))
    return f"{seen[0].upper()}{seen[1:]}." if seen else ""


def _poor_prompts(outcomes: pd.DataFrame, natural: pd.DataFrame) -> str:
    key = ["image_id", "truth", "prompt"]
    pairs = outcomes.merge(natural, on=key, suffixes=("", "_natural"))
    gain = pairs["correct_natural"].astype(float) - pairs["correct"].astype(float)
    difference = mean_interval(gain, scenes(pairs), (-1.0, 1.0))
    if not (difference.value >= 0.05 and difference.low > 0):
        return ""
    return (
        f"poor prompts: with the natural prompt {difference.value:.1%} more of the pictures are "
        f"attributed rightly ({difference.low:.1%} to {difference.high:.1%}), so the inverter "
        "loses what tells the models apart"
    )


def _twins(outcomes: pd.DataFrame, labels: Sequence[str]) -> str:
    counts = confusion(outcomes, labels)
    errors = int(counts.to_numpy().sum() - np.trace(counts))
    if errors < 5 or len(labels) < 3:
        return ""
    pairs = list(itertools.combinations(labels, 2))
    both = {pair: (counts.loc[pair], counts.loc[pair[::-1]]) for pair in pairs}
    one, two = max(pairs, key=lambda pair: sum(both[pair]))
    there, back = both[one, two]
    if there + back < errors / 2 or not there or not back:
        return ""
    return (
        f"twin models: {one} and {two} exchange {there + back} of the {errors} errors "
        f"({there} and {back})"
    )


def _weak(outcomes: pd.DataFrame, labels: Sequence[str]) -> str:
    if int((~outcomes["correct"]).sum()) < 5:
        return ""
    means = outcomes.groupby("truth")["correct"].mean().reindex(list(labels))
    worst = str(means.idxmin())
    own = outcomes[outcomes["truth"] == worst]
    rest = float(outcomes[outcomes["truth"] != worst]["correct"].mean())
    accuracy = accuracy_interval(own["correct"], scenes(own))
    if not (accuracy.value <= rest - 0.15 and accuracy.high < rest):
        return ""
    return (
        f"one weak model: pictures of {worst} are attributed rightly in {accuracy.value:.1%}, "
        f"those of the others in {rest:.1%}"
    )


def _attractor(outcomes: pd.DataFrame, labels: Sequence[str]) -> str:
    wrong = outcomes[~outcomes["correct"] & outcomes["predicted"].notna()]
    if len(wrong) < 5 or len(labels) < 3:
        return ""
    name, count = next(iter(wrong["predicted"].value_counts().items()))
    if count < len(wrong) * 2 / 3:
        return ""
    return f"one attractor: {count} of the {len(wrong)} errors are attributed to {name}"
