"""Which similarity, layer and aggregation tell the models apart, and what does each add?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.evaluation import calibration
from workbench.experiments import Bench, cells, results
from workbench.experiments._family import (
    chosen,
    detectable,
    family,
    paired,
    percent,
    share,
    told,
)
from workbench.plugin import Plugin

if TYPE_CHECKING:
    import pandas as pd

STEPS = ("layer", "aggregation", "both")
SELECTED = "accuracy at selection"


@dataclass(frozen=True, repr=False)
class SimilarityGrid(Plugin):
    """Compare similarity × layer × aggregation, RefPrint's grid (arXiv:2607.12052).

    A cell is chosen on calibration pictures of `selection` prompts, and compared on the evaluation
    pictures with the paper's own setting (projected CLIP embedding, mean), in steps that share the
    credit: the ``layer`` (or other similarity) with the mean still, the ``aggregation`` on that
    layer, and ``both``; one family of paired tests. ``accuracy at selection`` is that of the chosen
    cell on the calibration pictures, too high an estimate, as the highest of all cells.

    >>> SimilarityGrid()
    SimilarityGrid()
    """

    selection: int = 25
    revision: ClassVar[int] = 2

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results``, ``outcomes``, and ``selection``, the grid on calibration pictures."""
        frames = {
            "outcomes": self._grid(bench, "evaluation", bench.n),
            "selection": calibration.compare(self._grid(bench, "selection", self.selection)),
        }
        return {"results": self.measure(frames), **frames}

    def measure(self, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Return the results of the outcomes, and of the selection's first cell."""
        settings = frames["outcomes"].groupby(["similarity", "aggregate"], sort=False)
        rows: list[dict[str, Any]] = []
        for (similarity, aggregate), part in settings:
            at = {"similarity": similarity, "aggregate": aggregate, "step": "none"}
            rows.append({**at, "metric": "accuracy", **cells(share(part))})
        first = frames["selection"].iloc[0]
        paper = (rows[0]["similarity"], rows[0]["aggregate"])
        best = (first["similarity"], first["aggregate"])
        at = dict(zip(("similarity", "aggregate"), best, strict=True))
        there = {"value": first["accuracy"], **first[["low", "high", "n"]]}
        rows.append({**at, "step": "none", "metric": SELECTED, **there})
        between = (best[0], paper[1])
        pairs = zip(STEPS, ((between, paper), (best, between), (best, paper)), strict=True)
        rows += family(
            ({**at, "step": step}, *paired(*(settings.get_group(cell) for cell in pair)))
            for step, pair in pairs
        )
        return results(rows)

    def _grid(self, bench: Bench, portion: str, n: int) -> pd.DataFrame:
        images, truth = bench.pictures(portion, n)
        method, progress = bench.regeneration(), bench.under(portion)
        return calibration.grid(
            method, bench.encoder, bench.zoo, images, truth, bench.store, bench.seed, progress
        )

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw the grid as a heat map, the chosen cell and the paper's framed."""
        from workbench import figures

        results = frames["results"]
        table = results[results["metric"] == "accuracy"]
        gain = results[results["metric"].str.startswith(("gain", "difference"))].iloc[-1]
        marks = {
            (table.iloc[0]["similarity"], table.iloc[0]["aggregate"]): "the paper's setting",
            (gain["similarity"], gain["aggregate"]): "chosen",
        }
        figures.grid(table, rows="similarity", columns="aggregate", marks=marks, figure=figure)

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """Return the chosen cell, and what layer and aggregation add to the paper's setting."""
        results = frames["results"]
        accuracy = results[results["metric"] == "accuracy"].set_index(["similarity", "aggregate"])
        there = chosen(results, SELECTED)
        cell = (there["similarity"], there["aggregate"])
        own = accuracy.loc[cell]
        return (
            f"{cell[0]} with {cell[1]}, chosen on n = {there['n']:.0f} calibration pictures (right "
            f"in {there['value']:.1%} there, the highest of {len(accuracy)} settings), is right in "
            f"{percent(own)} of n = {own['n']:.0f} others, the paper's own setting in "
            f"{percent(accuracy.iloc[0])}: {told(results, step='both')}; of it the layer "
            f"{told(results, step='layer')}, the aggregation {told(results, step='aggregation')} "
            f"({detectable(results)})."
        )
