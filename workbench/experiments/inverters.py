"""Which inverter for which model, clean and after an attack?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.attacks.blur import Blur
from workbench.attacks.jpeg import JPEG
from workbench.catalogue.setting import make_inverter
from workbench.evaluation.prompts import scenes, token_f1
from workbench.evaluation.statistics import mean_interval
from workbench.experiments import NUMBERS, Bench, cells, results
from workbench.experiments._family import (
    Differences,
    detectable,
    family,
    paired,
    percent,
    share,
    single,
    told,
)
from workbench.inverters.empty import Empty
from workbench.inverters.natural import Natural
from workbench.plugin import Plugin

if TYPE_CHECKING:
    import pandas as pd


OTHERS = ("natural prompt", "PEZ", "interrogator", "empty prompt")
"""What is compared with the preset's own inverter."""
LESS = "less the preset's inverter"
ORDER = ["attributor", "attack", "intensity", "truth", "metric"]


@dataclass(frozen=True, repr=False)
class Inverters(Plugin):
    """Attribute the same pictures with every inverter, and with the natural and the empty prompt.

    Untouched, and under JPEG of quality 100 − `jpeg` and a blur of σ = `blur` / 10 pixels of the
    picture. Every other one is compared with the preset's own inverter in each condition, one
    family of paired tests; by true model there are shares and intervals alone. The quality of a
    prompt is its token F1 against the natural one, seconds are those of one inversion.

    >>> Inverters()
    Inverters()
    """

    jpeg: float = 30
    blur: float = 10
    revision: ClassVar[int] = 2

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results``, ``outcomes``, ``scores`` and ``prompts``."""
        import pandas as pd

        images, truth = bench.pictures()
        attacks = [
            JPEG(intensity=self.jpeg),
            Blur(intensity=self.blur, side=bench.preset.size),
        ]
        kept: dict[str, list[pd.DataFrame]] = {"outcomes": [], "scores": [], "prompts": []}
        for name, inverter in self._inverters(bench).items():
            method = bench.regeneration(inverter=inverter)
            run = bench.run({name: method}, images, truth, attacks=attacks)
            for which, tables in kept.items():
                tables.append(run[which].assign(inverter=name))
        frames = {name: pd.concat(tables, ignore_index=True) for name, tables in kept.items()}
        return {"results": self.measure(frames), **frames}

    def measure(self, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Return the results of outcomes and prompts."""
        outcomes = frames["outcomes"]
        rows: list[dict[str, Any]] = []
        keys = ["inverter", "attack", "intensity"]
        for (name, attack, intensity), part in outcomes.groupby(keys, sort=False):
            at = {"attributor": name, "attack": attack, "intensity": intensity}
            for model, own in [("all", part), *part.groupby("truth", sort=False)]:
                rows.append({**at, "truth": model, "metric": "accuracy", **cells(share(own))})
        clean = outcomes.loc[outcomes["attack"] == "none", ["image_id", "prompt"]].drop_duplicates()
        for name, prompts in frames["prompts"].groupby("inverter", sort=False):
            inverted = prompts.rename(columns={"prompt": "found"}).merge(clean, on="image_id")
            inverted = inverted.dropna(subset=["found"])
            pairs = zip(inverted["found"], inverted["prompt"], strict=True)
            f1 = mean_interval([token_f1(*pair) for pair in pairs], scenes(inverted))
            at = {"attributor": name, "attack": "none", "intensity": 0.0, "truth": "all"}
            rows.append({**at, "metric": "token F1", **cells(f1)})
            seconds = single(float(inverted["seconds"].mean()), len(inverted))
            rows.append({**at, "metric": "seconds", **seconds})
        rows += family(_against(outcomes), LESS)
        return results(rows)[[*ORDER, *NUMBERS]]

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
        chance = 1 / (table["truth"].nunique() - 1)  # "all" is no model
        options: dict[str, Any] = {"line": "attributor", "joined": False, "chance": chance}
        figures.curve(overall, x="condition", title="All models", ax=left, **options)
        clean = table[(table["attack"] == "none") & (table["truth"] != "all")]
        figures.curve(clean, x="truth", title="By true model, untouched", ax=right, **options)
        handles, labels = left.get_legend_handles_labels()
        for ax in (left, right):
            ax.get_legend().remove()
        figures.legend(figure, handles, labels)

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """State the preset's own inverter untouched, and how every other differs from it."""
        table = frames["results"]
        whole = table[
            (table["metric"] == "accuracy")
            & (table["attack"] == "none")
            & (table["truth"] == "all")
        ]
        own = whole[~whole["attributor"].isin(OTHERS)].iloc[0]
        parts = [
            f"{name} {told(table, LESS, attributor=name, attack='none')}"
            for name in whole["attributor"]
            if name in OTHERS
        ]
        return (
            f"Untouched, {own['attributor']} leads to {percent(own)} right (n = {own['n']:.0f}); "
            f"against it {'; '.join(parts)} ({detectable(table, LESS)})."
        )


def _against(outcomes: pd.DataFrame) -> Iterator[Differences]:
    """Return the differences of every other inverter from the preset's own, by condition."""
    for (attack, intensity), there in outcomes.groupby(["attack", "intensity"], sort=False):
        own = there[~there["inverter"].isin(OTHERS)]
        for name, part in there[there["inverter"].isin(OTHERS)].groupby("inverter", sort=False):
            at = {"attributor": name, "attack": attack, "intensity": intensity, "truth": "all"}
            yield at, *paired(part, own)
