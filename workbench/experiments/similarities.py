"""Which similarity, layer and aggregation tell the models apart best?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.evaluation import calibration
from workbench.experiments import Bench, cells, results
from workbench.plugin import Plugin

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class SimilarityGrid(Plugin):
    """Compare similarity × layer × aggregation, RefPrint's grid (arXiv:2607.12052).

    The best cell is chosen on calibration pictures of `selection` prompts, and compared on the
    evaluation pictures with the paper's own setting (projected CLIP embedding, mean).

    >>> SimilarityGrid()
    SimilarityGrid()
    """

    selection: int = 25
    revision: ClassVar[int] = 1

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results`` and ``outcomes``."""
        from workbench.evaluation.statistics import bootstrap_interval, paired_difference

        chosen = calibration.compare(self._grid(bench, "selection", self.selection)).iloc[0]
        outcomes = self._grid(bench, "evaluation", bench.n)
        settings = outcomes.groupby(["similarity", "aggregate"], sort=False)
        rows: list[dict[str, Any]] = []
        for (similarity, aggregate), part in settings:
            found = bootstrap_interval(part["correct"], part["prompt"])
            row = {"similarity": similarity, "aggregate": aggregate, "metric": "accuracy"}
            rows.append(row | cells(found))
        paper = settings.get_group((rows[0]["similarity"], rows[0]["aggregate"]))
        best = settings.get_group((chosen["similarity"], chosen["aggregate"]))
        gain, p = paired_difference(best, paper)
        row = {"similarity": chosen["similarity"], "aggregate": chosen["aggregate"]}
        rows.append(row | {"metric": "gain over the paper's setting"} | cells(gain))
        p_value = {"value": p, "low": None, "high": None, "n": gain.n}
        rows.append(row | {"metric": "McNemar's p of the gain"} | p_value)
        return {"results": results(rows), "outcomes": outcomes}

    def _grid(self, bench: Bench, portion: str, n: int) -> pd.DataFrame:
        images, truth = bench.pictures(portion, n)
        method, progress = bench.regeneration(), bench.under(portion)
        return calibration.grid(
            method, bench.encoder, bench.zoo, images, truth, bench.store, bench.seed, progress
        )

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw the grid as a heat map, the chosen cell and the paper's framed."""
        from workbench import figures

        found = frames["results"]
        table = found[found["metric"] == "accuracy"]
        (chosen,) = found[found["metric"].str.startswith("gain")].itertuples()
        marks = {
            (table.iloc[0]["similarity"], table.iloc[0]["aggregate"]): "paper",
            (chosen.similarity, chosen.aggregate): "chosen",
        }
        figures.grid(table, rows="similarity", columns="aggregate", marks=marks, figure=figure)

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """Name the chosen cell and its gain."""
        found = frames["results"]
        accuracy = found[found["metric"] == "accuracy"].set_index(["similarity", "aggregate"])
        (gain,) = found[found["metric"].str.startswith("gain")].itertuples()
        best, paper = accuracy.loc[(gain.similarity, gain.aggregate)], accuracy.iloc[0]
        (p,) = found[found["metric"].str.startswith("McNemar")]["value"]
        return (
            f"{gain.similarity} with {gain.aggregate}, chosen on calibration pictures, is right in "
            f"{best['value']:.1%} of n = {gain.n} pictures, the paper's own setting in "
            f"{paper['value']:.1%}: {100 * gain.value:+.1f} points ({100 * gain.low:+.1f} to "
            f"{100 * gain.high:+.1f}, McNemar p = {p:.2g})."
        )
