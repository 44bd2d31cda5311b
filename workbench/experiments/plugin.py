"""Does regeneration, put beside a trained attributor, make it better?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.attributors.fusion import Fusion
from workbench.experiments import Bench, by_accuracy, cells, results
from workbench.plugin import Plugin

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class PlugIn(Plugin):
    """Compare each trained attributor alone with its late fusion with regeneration.

    All are fitted on calibration pictures of `training` prompts, and judged on the same evaluation
    pictures: the difference is paired, its p is McNemar's, corrected over the family (Holm).

    >>> PlugIn()
    PlugIn()
    """

    training: int = 50
    revision: ClassVar[int] = 1

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results`` and ``outcomes``."""
        from workbench.evaluation.statistics import holm, paired_difference

        alone, _ = bench.trained(self.training)
        own = bench.regeneration()
        fused = {f"{name} + regeneration": Fusion((method, own)) for name, method in alone.items()}
        methods = {"regeneration": own} | alone | fused
        frames = bench.run(methods, *bench.pictures())
        outcomes = frames["outcomes"]
        names = {short: repr(method) for short, method in methods.items()}
        rows = by_accuracy(outcomes, names)
        pairs = {}
        for short in alone:
            one, two = (
                outcomes[outcomes["attributor"] == names[which]]
                for which in (f"{short} + regeneration", short)
            )
            pairs[short] = paired_difference(one, two)
        corrected = holm([p for _, p in pairs.values()])
        for (short, (gain, _)), p in zip(pairs.items(), corrected, strict=True):
            rows.append({"attributor": short, "metric": "gain by regeneration", **cells(gain)})
            told = {"value": p, "low": None, "high": None, "n": gain.n}
            rows.append({"attributor": short, "metric": "McNemar's p, Holm", **told})
        return {"results": results(rows), "outcomes": outcomes}

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw each attributor alone and fused."""
        from workbench import figures

        table = frames["results"]
        table = table[table["metric"] == "accuracy"]
        figures.resize(figure, 6.6, 0.45 * len(table) + 1.4)
        ax = figure.subplots()
        figures.dots(table, by="attributor", title="Alone, and with regeneration", ax=ax)

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """Tell every gain."""
        table = frames["results"].set_index(["attributor", "metric"])
        parts = []
        for short, metric in table.index:
            if metric != "gain by regeneration":
                continue
            gain, p = table.loc[(short, metric)], table.loc[(short, "McNemar's p, Holm"), "value"]
            parts.append(
                f"{short} {100 * gain['value']:+.1f} points ({100 * gain['low']:+.1f} to "
                f"{100 * gain['high']:+.1f}, p = {p:.2g})"
            )
        n = int(table["n"].max())
        return f"Regeneration as a plug-in changes {'; '.join(parts)}; n = {n}, paired."
