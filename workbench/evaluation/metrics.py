"""From attributions to metrics: outcomes, accuracies, confusion.

A picture that failed anywhere counts as a miss. Intervals know which pictures share a prompt.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from workbench import frames
from workbench.evaluation.prompts import scenes
from workbench.evaluation.statistics import accuracy_interval, mean_interval

if TYPE_CHECKING:
    import pandas as pd

NEAR = 0.05
"""A control by colour or size that comes as near to an accuracy is warned of."""


def outcomes(
    attributions: pd.DataFrame, rankings: pd.DataFrame, truth: pd.DataFrame
) -> pd.DataFrame:
    """Return for every test image and attributor whether the attribution was right.

    Args:
        attributions: frame of that name.
        rankings: frame of that name.
        truth: ``image_id``, ``truth`` (a generator), ``prompt``, and if there are any ``failure``,
            ``attack`` and ``intensity``.

    Returns:
        frame with image_id, attributor, truth, prompt, attack, intensity, predicted (missing for a
        failed image), correct, accepted, margin, rank_of_truth (missing where there is none),
        failure; a row for each row of ``truth`` and each attributor.
    """
    import pandas as pd

    known = truth[["image_id", "truth", "prompt"]].copy()
    known["failure"] = truth.get("failure")
    known = known.assign(**_condition(truth))
    names = pd.DataFrame({"attributor": attributions["attributor"].unique()})
    table = known.merge(names, how="cross")
    table = table.merge(attributions, on=["image_id", "attributor"], how="left")
    ranks = rankings[rankings["score"].notna()].rename(
        columns={"generator": "truth", "rank": "rank_of_truth"}
    )
    keys = ["image_id", "attributor", "truth"]
    table = table.merge(ranks[[*keys, "rank_of_truth"]], on=keys, how="left")
    table["rank_of_truth"] = table["rank_of_truth"].astype("float64")
    table["correct"] = (table["predicted"] == table["truth"]).fillna(False).astype(bool)
    table["accepted"] = table["accepted"].eq(True)
    silent = table["predicted"].isna() & table["failure"].isna()
    table["failure"] = table["failure"].mask(silent, "no candidate image could be compared")
    columns = ["image_id", "attributor", "truth", "prompt", "attack", "intensity", "predicted"]
    return table[[*columns, "correct", "accepted", "margin", "rank_of_truth", "failure"]]


def _condition(table: pd.DataFrame) -> dict[str, Any]:
    """Return the columns attack and intensity; nothing said is "none" and 0."""
    default = {"attack": "none", "intensity": 0.0}
    return {
        name: table[name].fillna(value) if name in table else value
        for name, value in default.items()
    }


def measure(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return the metrics of outcomes under each attack, with 95 % intervals over scenes.

    The metrics, all in [0, 1] and higher is better: ``accuracy`` (forced choice), ``coverage``
    (accepted), ``accuracy_accepted`` (among the accepted alone), ``top2``, and ``mrr``, the mean of
    1 / rank of the true model, 0 for a miss. Slices: ``all``, and each true generator. The
    intervals are those of `accuracy_interval`, that of ``mrr`` is of `mean_interval`.

    Args:
        outcomes: what `outcomes` answers.

    Returns:
        evaluations frame.
    """
    return _summarised(outcomes, _MEASURES, {"mrr": (0.0, 1.0)})


def set_metrics(sets: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Return the metrics of attribution sets, with 95 % intervals over scenes.

    The metrics: ``set_coverage``, the share of sets that hold the true model, and ``set_size``, the
    models in one on average. An image without a set counts as not covered, with none.

    Args:
        sets: what `conformal.conformal_sets` answers.
        truth: as of `outcomes`.

    Returns:
        evaluations frame; slices as of `metrics`.
    """
    key = ["image_id", "attributor"]
    table = truth[["image_id", "truth", "prompt"]].merge(
        sets[["attributor"]].drop_duplicates(), "cross"
    )
    size = sets.groupby(key)["included"].sum().rename("size").reset_index()
    own = sets.rename(columns={"generator": "truth", "included": "covered"})
    table = table.merge(size, "left", key).merge(own, "left", [*key, "truth"])
    table["covered"] = table["covered"].eq(True)
    table["size"] = table["size"].fillna(0)
    measures = {"set_coverage": lambda part: part["covered"], "set_size": lambda part: part["size"]}
    return _summarised(table, measures, {"set_size": (0.0, float(sets["generator"].nunique()))})


def _summarised(
    outcomes: pd.DataFrame, measures: Mapping[str, Any], means: Mapping[str, tuple[float, float]]
) -> pd.DataFrame:
    """Estimate measures for all and each true generator; ``means``, with bounds, are no shares."""
    rows = []
    outcomes = outcomes.assign(**_condition(outcomes))
    conditions = outcomes.groupby(["attributor", "attack", "intensity"], sort=False)
    for (attributor, attack, intensity), table in conditions:
        parts = [("all", table), *table.groupby("truth", sort=True)]
        for (name, part), (metric, values) in itertools.product(parts, measures.items()):
            estimate = (
                mean_interval(values(part), scenes(part), means[metric])
                if metric in means
                else accuracy_interval(values(part), scenes(part))
            )
            rows.append(
                {
                    "attributor": attributor,
                    "attack": attack,
                    "intensity": intensity,
                    "metric": metric,
                    "slice": name,
                    "value": estimate.value,
                    "low": estimate.low,
                    "high": estimate.high,
                    "n": estimate.n,
                }
            )
    return frames.build("evaluations", rows)


_MEASURES = {
    "accuracy": lambda table: table["correct"],
    "coverage": lambda table: table["accepted"],
    "accuracy_accepted": lambda table: table["correct"].astype(float).where(table["accepted"]),
    "top2": lambda table: table["rank_of_truth"] <= 2,
    "mrr": lambda table: (1 / table["rank_of_truth"]).fillna(0.0),
}


def confusion(outcomes: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Return (K, K) counts of predictions: a row a true model, a column a predicted one.

    Images without any prediction are in no column, so a row sums to its n less its failures.
    """
    import pandas as pd

    counts = pd.crosstab(outcomes["truth"], outcomes["predicted"])
    square = counts.reindex(index=list(labels), columns=list(labels), fill_value=0).astype(int)
    return square.rename_axis(index="truth", columns="predicted")


def by_size(sizes: Sequence[tuple[int, int]], truth: Sequence[str]) -> float:
    """Return the accuracy that the size of a picture alone reaches, as an expectation.

    A picture is guessed, evenly, among the models that made any of its size. NaN without any.

    >>> by_size([(64, 64), (64, 64), (256, 256)], ["a", "b", "c"])
    0.6666666666666666
    """
    makers: dict[tuple[int, int], set[str]] = {}
    for size, name in zip(sizes, truth, strict=True):
        makers.setdefault(size, set()).add(name)
    return fmean(1 / len(makers[size]) for size in sizes) if sizes else float("nan")


def warnings(accuracy: float | None, controls: Mapping[str, Any]) -> list[str]:
    """Say which controls that see no trace of a model come within `NEAR` of the accuracy."""
    sentences = []
    for kind in ("colour_alone", "size_alone"):
        value = (controls[kind] or {}).get("value")
        if accuracy is not None and value is not None and value > accuracy - NEAR:
            name = kind.replace("_", " ")
            sentences.append(
                f"{name} reaches {value:.1%}, within {100 * NEAR:.0f} points of the accuracy or "
                "above it: what is measured may be no model's trace"
            )
    return sentences
