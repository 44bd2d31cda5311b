"""What does one more candidate model cost, and what does it take from the accuracy?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench import catalogue
from workbench.experiments import Bench, cells, results
from workbench.plugin import Plugin

if TYPE_CHECKING:
    import pandas as pd

KEY = ["prompt_id", "generator", "index"]
OWNERS = ("its", "others'")


@dataclass(frozen=True, repr=False)
class Scalability(Plugin):
    """Add candidate models one by one: the zoo's, then those of `more`.

    With k models the accuracy is that on pictures of the k models. What an added model costs is
    told on the pictures there were before it: ``its candidates`` are those it has to make,
    ``others' candidates`` those of the earlier models that would have to be made again, and
    ``seconds a candidate`` what its own took when they were made.

    >>> Scalability()
    Scalability()
    """

    more: tuple[str, ...] = ("pocket-sd2", "pocket-pixart")
    revision: ClassVar[int] = 1

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results`` and ``outcomes``."""
        import pandas as pd

        from workbench.evaluation.statistics import bootstrap_interval

        models = bench.zoo | {name: catalogue.load(name, "generator") for name in self.more}
        names: list[str] = list(models)
        rows: list[dict[str, Any]] = []
        kept: list[pd.DataFrame] = []
        before = _step(bench, models, names[:2])
        kept.append(before["outcomes"].assign(models=2))
        for k in range(3, len(names) + 1):
            added = names[k - 1]
            images, truth = bench.among(_only(models, names[: k - 1])).pictures()
            again = _step(bench, models, names[:k], images, truth)["candidates"]
            made = again.merge(before["candidates"][KEY], on=KEY, how="left", indicator=True)
            made = made[made["_merge"] == "left_only"]
            own = made["generator"] == added
            for metric, value, n in (
                ("its candidates", int(own.sum()), len(images)),
                ("others' candidates", int((~own).sum()), len(images)),
                ("seconds a candidate", float(made.loc[own, "seconds"].mean()), int(own.sum())),
            ):
                told = {"metric": metric, "value": value, "low": None, "high": None, "n": n}
                rows.append({"models": k, "added": added, **told})
            before = _step(bench, models, names[:k])
            kept.append(before["outcomes"].assign(models=k))
        for outcomes in kept:
            k = int(outcomes["models"].iloc[0])
            found = bootstrap_interval(outcomes["correct"], outcomes["prompt"])
            at = {"models": k, "added": names[k - 1], "metric": "accuracy"}
            rows.append(at | cells(found))
        return {"results": results(rows), "outcomes": pd.concat(kept, ignore_index=True)}

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw accuracy over the number of models, and what each step made."""
        from workbench import figures

        figures.resize(figure, 9.5, 3.9)
        left, right = figure.subplots(1, 2)
        table = frames["results"]
        accuracy = table[table["metric"] == "accuracy"].assign(preset="preset")
        figures.curve(accuracy, x="models", line="preset", title="Accuracy", ax=left)
        left.plot(accuracy["models"], 1 / accuracy["models"], color="0.5", ls=":", label="chance")
        left.set_xticks(list(accuracy["models"]))
        left.legend(frameon=False, fontsize="small")
        made = table[table["metric"] == "its candidates"]
        right.bar(made["added"], made["value"], color=figures.colours(made["added"]).values())
        note = f"the model added · n = {made['n'].min()}–{made['n'].max()} pictures attributed"
        figures.tidy(right, "Candidates made when it was added", note, grid="y")
        figures.source(right, made)

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """Tell the accuracy at both ends, and what the last model made necessary."""
        table = frames["results"].set_index(["models", "metric"])
        few, many = min(table.index)[0], max(table.index)[0]
        first, last = table.loc[(few, "accuracy")], table.loc[(many, "accuracy")]
        own, others = (table.loc[(many, f"{whose} candidates"), "value"] for whose in OWNERS)
        return (
            f"From {few} to {many} models the accuracy goes from {first['value']:.1%} to "
            f"{last['value']:.1%} ({last['low']:.1%} to {last['high']:.1%}, n = {last['n']:.0f}, "
            f"chance {1 / many:.0%}); adding {last['added']} takes {own:.0f} candidates of its "
            f"own, and {others:.0f} of the others again."
        )


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
