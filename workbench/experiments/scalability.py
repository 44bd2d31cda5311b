"""What does one more candidate model cost, and what does it take from the accuracy?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from workbench import catalogue
from workbench.checkpoints import Named
from workbench.experiments import Bench, cells, results

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Scalability(Named):
    """Add candidate models one by one: the zoo's, then those of `more`.

    With k models the pictures are those of the k models. ``candidates made`` counts the pictures
    that had to be generated at that step for the pictures seen before: only the added model's,
    everything else comes from the store. ``seconds a candidate`` is what the models told when the
    pictures were made.

    >>> Scalability()
    Scalability()
    """

    more: tuple[str, ...] = ()
    revision: ClassVar[int] = 1

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Answer ``results`` and ``outcomes``."""
        import pandas as pd

        from workbench.statistics import bootstrap_interval

        models = bench.zoo | {name: catalogue.load(name, "generator") for name in self.more}
        names, rows, kept = list(models), [], []
        for k in range(2, len(names) + 1):
            step = replace(bench, zoo={name: models[name] for name in names[:k]})
            known = replace(bench, zoo={name: models[name] for name in names[: max(k - 1, 2)]})
            images, truth = known.pictures()
            before = bench.store.info()["generations"]
            step.run({"preset": step.regeneration()}, images, truth)
            made = bench.store.info()["generations"] - before
            images, truth = step.pictures()
            began = time.perf_counter()
            frames = step.run({"preset": step.regeneration()}, images, truth)
            warm = time.perf_counter() - began
            outcomes = frames["outcomes"]
            found = bootstrap_interval(outcomes["correct"], outcomes["prompt"])
            at = {"models": k, "added": names[k - 1]}
            rows.append({**at, "metric": "accuracy", **cells(found)})
            alone = frames["candidates"].query("generator == @names[@k - 1]")["seconds"]
            for metric, value, n in (
                ("candidates made", made, len(images)),
                ("seconds a candidate", float(alone.mean()), len(alone)),
                ("seconds for the run, in part from the store", warm, len(images)),
            ):
                rows.append(
                    {**at, "metric": metric, "value": value, "low": None, "high": None} | {"n": n}
                )
            kept.append(outcomes.assign(models=k))
        return {"results": results(rows), "outcomes": pd.concat(kept, ignore_index=True)}

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw accuracy over the number of models, and what each step made."""
        from workbench import figures

        figure.set_size_inches(9.5, 3.9)
        left, right = figure.subplots(1, 2)
        table = frames["results"]
        accuracy = table[table["metric"] == "accuracy"].assign(preset="preset")
        figures.curve(accuracy, x="models", line="preset", ax=left)
        left.plot(accuracy["models"], 1 / accuracy["models"], color="0.5", ls=":", label="chance")
        left.set_xticks(list(accuracy["models"]))
        left.legend(frameon=False, fontsize="small")
        left.set_title("Accuracy", loc="left", fontsize="medium", fontweight="bold")
        made = table[table["metric"] == "candidates made"]
        right.bar(made["added"], made["value"], color="0.6")
        right.set_title(
            "Candidates made when it was added", loc="left", fontsize="medium", fontweight="bold"
        )
        right.tick_params(axis="x", rotation=30)
        for side in ("top", "right"):
            right.spines[side].set_visible(False)

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """Tell the accuracy at both ends, and what the last model made necessary."""
        table = frames["results"].set_index(["models", "metric"])
        few, many = min(table.index)[0], max(table.index)[0]
        first, last = table.loc[(few, "accuracy")], table.loc[(many, "accuracy")]
        made = table.loc[(many, "candidates made")]
        return (
            f"From {few} to {many} models the accuracy goes from {first['value']:.1%} to "
            f"{last['value']:.1%} ({last['low']:.1%} to {last['high']:.1%}, n = {last['n']:.0f}, "
            f"chance {1 / many:.0%}); adding {last['added']} made {made['value']:.0f} candidates, "
            "its own, and nothing of the others again."
        )
