"""What does one more candidate model cost, and what does it take from the accuracy?"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench import catalogue, evaluation, ranking
from workbench.experiments import Bench, cells, results
from workbench.experiments._family import percent, share, single
from workbench.plugin import Plugin

if TYPE_CHECKING:
    import pandas as pd

KEY = ["prompt_id", "generator", "index"]
OWNERS = ("its", "others'")


EACH = "accuracy of a subset"


@dataclass(frozen=True, repr=False)
class Scalability(Plugin):
    """Add candidate models one by one: the zoo's, then those of `more`.

    The accuracy with k models is the mean over all subsets of k of them, on the pictures of the
    subset, so that no order in which models come enters it; ``accuracy of a subset`` tells each.
    Where a model's score does not depend on the others (all but ``knn``) it cannot rise with k, as
    a rank among more models is no better: its values are told, not tested. What an added model
    costs is told on the pictures there were before it: ``its candidates`` are those it has to make,
    ``others' candidates`` those of the earlier models that would have to be made again, and
    ``seconds a candidate`` what its own took when they were made.

    >>> Scalability()
    Scalability()
    """

    more: tuple[str, ...] = ("pocket-sd2", "pocket-pixart")
    revision: ClassVar[int] = 2

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results``, ``outcomes`` of every subset, ``scores`` and ``costs``."""
        import pandas as pd

        models = bench.zoo | {name: catalogue.load(name, "generator") for name in self.more}
        names: list[str] = list(models)
        costs: list[dict[str, Any]] = []
        before = _step(bench, models, names[:2])
        for k in range(3, len(names) + 1):
            added = names[k - 1]
            images, truth = bench.among(_only(models, names[: k - 1])).pictures()
            again = _step(bench, models, names[:k], images, truth)["candidates"]
            fresh = again.merge(before["candidates"][KEY], on=KEY, how="left", indicator=True)
            fresh = fresh[fresh["_merge"] == "left_only"]
            own = fresh["generator"] == added
            for metric, value, n in (
                ("its candidates", int(own.sum()), len(images)),
                ("others' candidates", int((~own).sum()), len(images)),
                ("seconds a candidate", float(fresh.loc[own, "seconds"].mean()), int(own.sum())),
            ):
                costs.append({"models": k, "added": added, "metric": metric, **single(value, n)})
            before = _step(bench, models, names[:k])
        method = bench.regeneration()
        frames = {
            "outcomes": _subsets(before, names, method.aggregate),
            "scores": before["scores"],
            "costs": pd.DataFrame(costs),
        }
        return {"results": self.measure(frames), **frames}

    def measure(self, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Return the results of outcomes and costs."""
        rows = frames["costs"].to_dict("records")
        key = ["image_id", "truth", "prompt"]
        for k, outcomes in frames["outcomes"].groupby("models", sort=True):
            mean = outcomes.groupby(key, sort=False)["correct"].mean().reset_index()
            at = {"models": int(k), "added": "any", "metric": "accuracy"}
            rows.append(at | cells(share(mean)))
            for subset, part in outcomes.groupby("subset", sort=False):
                rows.append(at | {"added": subset, "metric": EACH} | cells(share(part)))
        return results(rows)

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw accuracy over the number of models, and what each step made."""
        from workbench import figures

        figures.resize(figure, 9.5, 3.9)
        left, right = figure.subplots(1, 2)
        table = frames["results"]
        accuracy = table[table["metric"] == "accuracy"].assign(preset="preset")
        chance = list(1 / accuracy["models"])
        figures.curve(accuracy, x="models", line="preset", chance=chance, title="Accuracy", ax=left)
        left.set_xticks(list(accuracy["models"]))
        costs = table[table["metric"] == "its candidates"]
        right.bar(costs["added"], costs["value"], color=figures.colours(costs["added"]).values())
        right.yaxis.set_major_formatter("{x:,.0f}")
        note = f"the model added · n = {costs['n'].min()}–{costs['n'].max()} pictures attributed"
        figures.tidy(right, "Candidates made when it was added", note, grid="y")
        figures.source(right, costs)

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """State the mean accuracy over all subsets of each size, and what the last model cost."""
        results = frames["results"]
        accuracy = results[results["metric"] == "accuracy"]
        parts = [
            f"{row['models']} {percent(row)}"
            for _, row in accuracy.sort_values("models").iterrows()
        ]
        sentence = (
            f"Mean accuracy over all subsets of the models, by their number: {'; '.join(parts)} "
            f"(n = {accuracy['n'].max():.0f} pictures)"
        )
        costs = results[results["metric"].isin([f"{whose} candidates" for whose in OWNERS])]
        if costs.empty:
            return f"{sentence}."
        last = costs[costs["models"] == costs["models"].max()].set_index("metric")
        own, others = (last.loc[f"{whose} candidates", "value"] for whose in OWNERS)
        return (
            f"{sentence}; adding {last['added'].iloc[0]} takes {own:.0f} candidates of its own, "
            f"and {others:.0f} of the others again."
        )


def _subsets(frames: Mapping[str, pd.DataFrame], names: list[str], aggregate: str) -> pd.DataFrame:
    """Attribute the pictures of every subset of the models among the subset alone."""
    import pandas as pd

    values, truth = frames["similarities"], frames["outcomes"][["image_id", "truth", "prompt"]]
    kept = []
    for size in range(2, len(names) + 1):
        for some in itertools.combinations(names, size):
            known = truth[truth["truth"].isin(some)]
            ids = known["image_id"]
            inside = values[values["generator"].isin(some) & values["image_id"].isin(ids)]
            scores = ranking.score(inside, "preset", aggregate, ids.unique(), list(some))
            ranked = ranking.rank(scores)
            outcomes = evaluation.outcomes(ranking.decide(ranked), ranked, known)
            kept.append(outcomes.assign(models=size, subset=" + ".join(some)))
    return pd.concat(kept, ignore_index=True)


def _only(models: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    return {name: models[name] for name in names}


def _step(
    bench: Bench,
    models: Mapping[str, Any],
    names: list[str],
    images: pd.DataFrame | None = None,
    truth: pd.DataFrame | None = None,
) -> dict[str, pd.DataFrame]:
    """Attribute with some of the models: the pictures given, else those of the models."""
    step = bench.among(_only(models, names))
    if images is None or truth is None:
        images, truth = step.pictures()
    return step.run({"preset": step.regeneration()}, images, truth)
