"""Which pairs of models are confused, how well can they be told apart, and in which pictures?"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench import evaluation
from workbench.experiments import Bench, cells, results
from workbench.plugin import Plugin

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Pairs(Plugin):
    """Look at every pair of models alone: pictures of the two, scores of the two.

    ``pair accuracy`` is the share of their pictures whose own model scores higher (a tie counts
    half), chance ½; ``errors`` are the pictures of one that the whole zoo attributes to the other.

    >>> Pairs()
    Pairs()
    """

    revision: ClassVar[int] = 1

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results``, ``outcomes``, and ``pictures``, the confused ones, surest first."""
        from workbench.evaluation.statistics import bootstrap_interval, clopper_pearson

        images, truth = bench.pictures()
        frames = bench.run({"preset": bench.regeneration()}, images, truth)
        outcomes = frames["outcomes"]
        scores = frames["scores"].pivot(index="image_id", columns="generator", values="score")
        rows: list[dict[str, Any]] = []
        for one, two in itertools.combinations(bench.zoo, 2):
            part = outcomes[outcomes["truth"].isin([one, two])]
            known = (scores[one] - scores[two]).reindex(part["image_id"]).to_numpy()
            ahead = part["truth"].map({one: 1, two: -1}) * known
            right = ((ahead > 0) + 0.5 * (ahead == 0)).where(ahead.notna(), 0.0)
            found = bootstrap_interval(right, part["prompt"])
            rows.append({"pair": f"{one} ↔ {two}", "metric": "pair accuracy", **cells(found)})
            wrong = ~part["correct"] & part["predicted"].isin([one, two])
            lost = clopper_pearson(int(wrong.sum()), len(part))
            rows.append({"pair": f"{one} ↔ {two}", "metric": "errors", **cells(lost)})
        wrong = outcomes[~outcomes["correct"] & outcomes["predicted"].notna()]
        pictures = wrong.sort_values("margin", ascending=False, ignore_index=True)
        return {"results": results(rows), "outcomes": outcomes, "pictures": pictures}

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw the confusion of the zoo beside the accuracy within each pair."""
        from workbench import figures

        figures.resize(figure, 11, 4.6)
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
        labels = list(dict.fromkeys(frames["outcomes"]["truth"]))
        figures.confusion(frames["outcomes"], labels, ax=left)
        table = frames["results"]
        table = table[table["metric"] == "pair accuracy"]
        names = {pair: pair.replace(" ↔ ", " ↔\n") for pair in table["pair"]}
        title = "Right within the pair"
        figures.dots(table, by="pair", names=names, chance=0.5, title=title, ax=right)

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """Name the hardest pair, and its share of all errors."""
        outcomes = frames["outcomes"]
        table = frames["results"]
        table = table[table["metric"] == "pair accuracy"]
        hardest = table.loc[table["value"].idxmin()]
        if hardest["value"] == 1:
            return f"No pair was confused in its n = {hardest['n']:.0f} pictures."
        one, two = hardest["pair"].split(" ↔ ")
        counts = evaluation.confusion(outcomes, list(dict.fromkeys(outcomes["truth"])))
        both, total = counts.loc[one, two] + counts.loc[two, one], (~outcomes["correct"]).sum()
        return (
            f"{one} and {two} are the hardest pair: {hardest['value']:.1%} of their n = "
            f"{hardest['n']:.0f} pictures are right between the two ({hardest['low']:.1%} to "
            f"{hardest['high']:.1%}, chance 50 %), and they exchange {both} of all {total} errors."
        )
