"""What a gallery's calls and likelihood ratios come to: numbers of stored frames alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.evaluation import likelihood
from workbench.evaluation.gallery import REFERENCES
from workbench.evaluation.statistics import accuracy_interval, influence_interval
from workbench.experiments import cells

if TYPE_CHECKING:
    import pandas as pd

KEYS = ("method", "candidates", "gamma", "attack")
"""What the calls of one accuracy have in common, within a set of models."""


def accuracies(calls: pd.DataFrame, keys: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the share of right calls for each key, in their order, its interval by prompt."""
    for key, part in calls.groupby(list(keys), sort=False):
        yield dict(zip(keys, key, strict=True)) | cells(_share(part["correct"], part))


def by_method(calls: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the accuracies of a set of models, and chance after the last control."""
    for row in accuracies(calls, KEYS):
        yield row | {"metric": "accuracy"}
        if row["candidates"] == REFERENCES[-1]:
            chance = {"value": 1 / calls["truth"].nunique(), "low": None, "high": None}
            same = {"method": "chance", "candidates": REFERENCES[0], "metric": "accuracy"}
            yield row | same | chance


def in_full(
    outcomes: pd.DataFrame, ratios: pd.DataFrame, kin: Sequence[tuple[str, str]]
) -> Iterator[dict[str, Any]]:
    """Yield for each method the accuracy of each model and of families, and what ratios cost."""
    models = sorted(outcomes["truth"].unique())
    roots = {name: name for name in models}
    roots |= {child: parent for parent, child in kin if {parent, child} <= set(models)}
    for method, part in outcomes.groupby("method", sort=False):
        at = {"method": method}
        for name in models:
            own = part[part["truth"] == name]
            yield {**at, "metric": f"accuracy, {name}"} | cells(_share(own["correct"], own))
        if len(set(roots.values())) < len(models):
            right = part["predicted"].map(roots) == part["truth"].map(roots)
            yield {**at, "metric": "family accuracy"} | cells(_share(right, part))
        trials = ratios[ratios["method"] == method]
        yield from ({**at, "metric": name} | cost for name, cost in _costs(trials).items())


def _share(right: pd.Series[bool], table: pd.DataFrame) -> Any:
    return accuracy_interval(right.to_numpy(dtype=bool), table["prompt"].to_numpy(dtype=str))


def _costs(trials: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return Cllr, its interval by prompt, and its minimum as cells of a results frame."""
    values, same = trials["log10_lr"].to_numpy(dtype=float), trials["same"].to_numpy(dtype=bool)
    each = np.logaddexp(0, np.where(same, -values, values) * np.log(10)) / np.log(2)
    counts = np.where(same, same.sum(), (~same).sum())
    means = np.where(same, each[same].mean(), each[~same].mean())
    influence = (each - means) / counts / 2
    cost = likelihood.cllr(values, same)
    interval = influence_interval(cost, influence, trials["prompt"], (0.0, np.inf))
    least = {"value": likelihood.minimum_cllr(values, same), "low": None, "high": None}
    return {"Cllr": cells(interval), "minimum Cllr": least | {"n": len(trials)}}
