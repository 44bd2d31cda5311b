"""Which pairs of models are confused, how well can they be told apart, and in which pictures?"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from workbench.evaluation.prompts import scenes
from workbench.experiments import Bench, cells, results
from workbench.experiments._family import chosen, detectable, family, percent, share, told
from workbench.plugin import Plugin

if TYPE_CHECKING:
    import pandas as pd

ACCURACY = "pair accuracy"
LESS = "less the mean of the other pairs"


@dataclass(frozen=True, repr=False)
class Pairs(Plugin):
    """Look at every pair of models alone: pictures of the two, scores of the two.

    ``pair accuracy`` is the share of their pictures whose own model scores higher (a tie counts
    half), chance ½; ``errors`` are the pictures of one that the whole zoo attributes to the other.
    The pairs `kin` are named before anything is measured, by what is known of the models (the paper
    found SD and LD confused): their accuracy is compared with the mean of all other pairs, scene
    by scene. No pair is called the hardest because it came out so.

    >>> Pairs()
    Pairs()
    """

    kin: tuple[tuple[str, str], ...] = (("pocket-sd", "pocket-ld"),)
    revision: ClassVar[int] = 2

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results``, ``outcomes``, ``scores``, and ``pictures``, the confused ones."""
        run = bench.run({"preset": bench.regeneration()}, *bench.pictures())
        outcomes = run["outcomes"]
        wrong = outcomes[~outcomes["correct"] & outcomes["predicted"].notna()]
        frames = {
            "outcomes": outcomes,
            "scores": run["scores"],
            "pictures": wrong.sort_values("margin", ascending=False, ignore_index=True),
        }
        return {"results": self.measure(frames), **frames}

    def measure(self, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Return the results of outcomes and scores."""
        outcomes = frames["outcomes"]
        table = frames["scores"].pivot(index="image_id", columns="generator", values="score")
        rows: list[dict[str, Any]] = []
        parts = {}
        for one, two in itertools.combinations(dict.fromkeys(outcomes["truth"]), 2):
            name = f"{one} ↔ {two}"
            part = outcomes[outcomes["truth"].isin([one, two])]
            known = (table[one] - table[two]).reindex(part["image_id"]).to_numpy()
            ahead = part["truth"].map({one: 1, two: -1}) * known
            part = part.assign(
                right=((ahead > 0) + 0.5 * (ahead == 0)).where(ahead.notna(), 0.0),
                lost=~part["correct"] & part["predicted"].isin([one, two]),
            )
            parts[one, two] = part
            rows.append({"pair": name, "metric": ACCURACY, **cells(share(part, "right"))})
            rows.append({"pair": name, "metric": "errors", **cells(share(part, "lost"))})
        compared = []
        for pair in self._kin(parts):
            rest = {other: part for other, part in parts.items() if other != pair}
            if rest:
                compared.append(({"pair": " ↔ ".join(pair)}, *_less(parts[pair], rest.values())))
        return results([*rows, *family(compared, LESS)])

    def _kin(self, pairs: Mapping[tuple[str, str], Any]) -> list[tuple[str, str]]:
        """Return those of the pairs that were named before, in whichever order."""
        return [pair for pair in pairs if pair in self.kin or pair[::-1] in self.kin]

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw the confusion of the zoo beside the accuracy within each pair."""
        from workbench import figures

        figures.resize(figure, 11, 4.6)
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
        labels = list(dict.fromkeys(frames["outcomes"]["truth"]))
        figures.confusion(frames["outcomes"], labels, ax=left)
        table = frames["results"]
        table = table[table["metric"] == ACCURACY]
        names = {pair: pair.replace(" ↔ ", " ↔\n") for pair in table["pair"]}
        title = "Right within the pair"
        figures.dots(table, by="pair", names=names, chance=0.5, title=title, ax=right)

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """State the pairs that were named before, against the others; else the range of all."""
        table = frames["results"]
        pairs = table[table["metric"] == ACCURACY].set_index("pair")
        named = table.loc[table["metric"] == LESS, "pair"]
        least, most = pairs.loc[pairs["value"].idxmin()], pairs.loc[pairs["value"].idxmax()]
        spread = (
            f"over all {len(pairs)} pairs it lies between {percent(least)} and {percent(most)}, "
            "which of them is lowest not being tested"
        )
        if named.empty:
            return f"No pair was named before; the accuracy within a pair, chance 50 %: {spread}."
        parts = [
            f"{pair} {percent(pairs.loc[pair])} of n = {pairs.loc[pair, 'n']:.0f}, "
            f"{told(table, LESS, pair=pair)} {LESS}"
            for pair in named
        ]
        lost = "; ".join(
            f"{chosen(table, 'errors', pair=pair)['value']:.1%} of its pictures are exchanged"
            for pair in named
        )
        return (
            f"Within the pair named before, chance 50 %: {'; '.join(parts)} "
            f"({detectable(table, LESS)}); {lost}; {spread}."
        )


def _less(part: pd.DataFrame, rest: Any) -> tuple[np.ndarray, list[str]]:
    """Return by scene the pair's accuracy less the mean of the other pairs', and the scenes."""
    import pandas as pd

    def by_scene(table: pd.DataFrame) -> pd.Series:
        return table.assign(scene=scenes(table)).groupby("scene")["right"].mean()

    others = pd.concat([by_scene(each) for each in rest], axis=1).mean(axis=1)
    differences = (by_scene(part) - others).dropna()
    return differences.to_numpy(float), [str(name) for name in differences.index]
