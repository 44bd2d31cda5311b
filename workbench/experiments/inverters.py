"""Which inverter for which model, clean and after an attack?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.attacks.blur import Blur
from workbench.attacks.jpeg import JPEG
from workbench.catalogue.setting import make_inverter
from workbench.evaluation.prompts import token_f1
from workbench.experiments import Bench, by_accuracy, cells, results
from workbench.inverters.empty import Empty
from workbench.inverters.natural import Natural
from workbench.plugin import Plugin

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Inverters(Plugin):
    """Attribute the same pictures with every inverter, and with the natural and the empty prompt.

    Untouched, and under JPEG of quality 70 and the blur of RefPrint's σ = 3 (arXiv:2607.12052). The
    quality of a prompt is its token F1 against the natural one, seconds are those of one inversion.

    >>> Inverters()
    Inverters()
    """

    jpeg: float = 30
    blur: float = 30
    revision: ClassVar[int] = 1

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results``, ``outcomes`` and ``prompts``."""
        import pandas as pd

        from workbench.evaluation.statistics import bootstrap_interval

        images, truth = bench.pictures()
        attacks = [JPEG(intensity=self.jpeg), Blur(intensity=self.blur)]
        rows: list[dict[str, Any]] = []
        kept, told = [], []
        for name, inverter in self._inverters(bench).items():
            method = bench.regeneration(inverter=inverter)
            frames = bench.run({name: method}, images, truth, attacks=attacks)
            outcomes = frames["outcomes"].assign(inverter=name)
            by_model = by_accuracy(outcomes, {name: repr(method)}, ("attack", "intensity", "truth"))
            overall = by_accuracy(outcomes, {name: repr(method)}, ("attack", "intensity"))
            rows += [row | {"truth": "all"} for row in overall] + by_model
            prompts = frames["prompts"].assign(inverter=name)
            clean = outcomes.loc[outcomes["attack"] == "none", ["image_id", "prompt"]]
            pairs = prompts.rename(columns={"prompt": "found"}).merge(clean, on="image_id")
            pairs = pairs.dropna(subset=["found"])
            quality = [
                token_f1(*pair) for pair in zip(pairs["found"], pairs["prompt"], strict=True)
            ]
            at = {"attributor": name, "attack": "none", "intensity": 0.0, "truth": "all"}
            f1 = bootstrap_interval(quality, pairs["prompt"])
            rows.append(at | {"metric": "token F1", **cells(f1)})
            seconds = {"value": float(pairs["seconds"].mean()), "low": None, "high": None}
            rows.append(at | {"metric": "seconds", **seconds, "n": len(pairs)})
            kept.append(outcomes)
            told.append(prompts)
        order = ["attributor", "attack", "intensity", "truth", "metric"]
        found = results(rows)
        return {
            "results": found[[*order, "value", "low", "high", "n"]],
            "outcomes": pd.concat(kept, ignore_index=True),
            "prompts": pd.concat(told, ignore_index=True),
        }

    def _inverters(self, bench: Bench) -> dict[str, Any]:
        searching = {
            label: make_inverter(name, bench.preset, bench.similarity)
            for label, name in (("PEZ", "pez"), ("interrogator", "interrogator"))
        }
        return {
            "natural prompt": Natural(),
            repr(bench.inverter): bench.inverter,
            **searching,
            "empty prompt": Empty(),
        }

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw the accuracy by inverter in each condition, and by model where untouched."""
        from workbench import figures

        figures.resize(figure, 11, 4.4)
        left, right = figure.subplots(1, 2)
        table = frames["results"]
        table = table[table["metric"] == "accuracy"]
        overall = table[table["truth"] == "all"]
        condition = overall["attack"] + " " + overall["intensity"].map("{:g}".format)
        overall = overall.assign(
            condition=condition.str.replace("()", "").replace("none 0", "untouched")
        )
        options: dict[str, Any] = {"line": "attributor", "joined": False}
        figures.curve(overall, x="condition", title="All models", ax=left, **options)
        clean = table[(table["attack"] == "none") & (table["truth"] != "all")]
        figures.curve(clean, x="truth", title="By true model, untouched", ax=right, **options)
        handles, labels = left.get_legend_handles_labels()
        for ax in (left, right):
            ax.get_legend().remove()
        figures.legend(figure, handles, labels)

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """Name the best inverter for all models and for each."""
        table = frames["results"]
        table = table[(table["metric"] == "accuracy") & (table["attack"] == "none")]
        table = table[~table["attributor"].isin(["natural prompt", "empty prompt"])]
        best = {
            model: part.loc[part["value"].idxmax()]
            for model, part in table.groupby("truth", sort=False)
        }
        whole = best.pop("all")
        each = ", ".join(
            f"{model} {row['attributor']} ({row['value']:.1%})" for model, row in best.items()
        )
        return (
            f"Over all models {whole['attributor']} serves best ({whole['value']:.1%}, "
            f"{whole['low']:.1%} to {whole['high']:.1%}, n = {whole['n']:.0f}); by model: {each}."
        )
