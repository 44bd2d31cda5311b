"""Does PEZ favour the models that share its text encoder?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.catalogue.setting import make_inverter
from workbench.experiments import Bench, cells, results
from workbench.plugin import Plugin

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Bias(Plugin):
    """Compare where false attributions go: with prompts of PEZ, and with the preset's inverter.

    PEZ optimises a prompt in an encoder's text tower; a model conditioned on that very tower
    (pocket-sd, as SD on CLIP's) may follow such prompts better than others do. For each model:
    the share of other models' pictures that are attributed to it, under both inverters, and the
    paired difference with its interval. A bias shows as a gain of the `shared` models alone.

    >>> Bias()
    Bias()
    """

    shared: tuple[str, ...] = ("pocket-sd",)
    revision: ClassVar[int] = 1

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results`` and ``outcomes``."""
        from workbench.evaluation.statistics import bootstrap_interval, holm, mcnemar

        pez = make_inverter("pez", bench.preset, bench.similarity)
        methods = {"PEZ": bench.regeneration(inverter=pez), "preset": bench.regeneration()}
        frames = bench.run(methods, *bench.pictures())
        keys = ["image_id", "truth", "prompt"]
        one, two = (
            frames["outcomes"].query("attributor == @name")[[*keys, "predicted"]]
            for name in map(repr, methods.values())
        )
        pairs = one.merge(two, on=keys, suffixes=("_pez", "_preset"))
        rows: list[dict[str, Any]] = []
        values = []
        for model in bench.zoo:
            others = pairs[pairs["truth"] != model]
            there = {
                kind: (others[f"predicted_{end}"] == model).fillna(False).astype(float)
                for kind, end in (("PEZ", "pez"), ("preset", "preset"))
            }
            for kind, taken in there.items():
                found = bootstrap_interval(taken, others["prompt"])
                row = {"model": model, "metric": f"falsely attributed to it, {kind}"}
                rows.append(row | cells(found))
            gain = bootstrap_interval(there["PEZ"] - there["preset"], others["prompt"])
            rows.append({"model": model, "metric": "difference", **cells(gain)})
            values.append(mcnemar(there["PEZ"], there["preset"]))
        for model, p in zip(bench.zoo, holm(values), strict=True):
            told = {"value": p, "low": None, "high": None, "n": len(pairs)}
            rows.append({"model": model, "metric": "McNemar's p, Holm", **told})
        return {"results": results(rows), "outcomes": frames["outcomes"]}

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw the false attributions to each model under both inverters."""
        from workbench import figures

        table = frames["results"]
        table = table[table["metric"].str.startswith("falsely")]
        inverter = table["metric"].str.rpartition(", ")[2]
        figures.resize(figure, 6.8, 3.8)
        ax = figure.subplots()
        title = "Pictures of other models attributed to it"
        table = table.assign(inverter=inverter)
        figures.curve(table, x="model", line="inverter", joined=False, title=title, ax=ax)

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """Say whether the models that share the encoder gain."""
        table = frames["results"].set_index(["model", "metric"])
        models = list(dict.fromkeys(table.index.get_level_values("model")))
        parts = []
        for model in models:
            gain = table.loc[(model, "difference")]
            p = table.loc[(model, "McNemar's p, Holm"), "value"]
            parts.append(
                f"{model} {100 * gain['value']:+.1f} points ({100 * gain['low']:+.1f} to "
                f"{100 * gain['high']:+.1f}, p = {p:.2g})"
            )
        shared = ", ".join(model for model in models if model in self.shared) or "none of the zoo"
        return (
            f"With PEZ instead of the preset's inverter, false attributions change for "
            f"{'; '.join(parts)}; sharing PEZ's text encoder: {shared}."
        )
