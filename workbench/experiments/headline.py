"""Regeneration against the paper's own setting and its controls, over several seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.evaluation import plan
from workbench.experiments import Bench, _family, cells, results
from workbench.experiments.rivals import banks
from workbench.plugin import Plugin
from workbench.similarities.cosine import Cosine

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Headline(Plugin):
    """Measure the preset's own attributor again with every seed: other prompts, other noise.

    `seeds` are those of the plan when left out; the bench's own is not used. Accuracies and
    differences are of all seeds together, their intervals and tests over scenes, so that one that
    several seeds drew counts once. ``seed by seed`` is the mean of the accuracies of single seeds,
    and its ends are the lowest and the highest of them.

    >>> Headline(seeds=(0, 1))
    Headline(seeds=(0, 1))
    """

    seeds: tuple[int, ...] = ()
    revision: ClassVar[int] = 1

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results`` and ``outcomes``, which tell the seed."""
        import pandas as pd

        kept = []
        for seed in self.seeds or plan.of("headline").seeds:
            own = replace(bench, seed=seed)
            methods = {
                "regeneration": own.regeneration(),
                "regeneration, Li et al. 2024": own.regeneration(
                    similarity=Cosine(own.encoder.at(None)), aggregate="mean"
                ),
                **banks(own),
            }
            names = {repr(method): name for name, method in reversed(methods.items())}
            outcomes = own.run(methods, *own.pictures())["outcomes"]
            short = outcomes["attributor"].map(names)
            kept.append(outcomes.assign(attributor=short, seed=seed))
        frames = {"outcomes": pd.concat(kept, ignore_index=True)}
        return {"results": self.measure(frames), **frames}

    def measure(self, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Return the accuracies of the outcomes, their spread over seeds, and the plan's tests."""
        outcomes, question = frames["outcomes"], plan.of("headline")
        rows: list[dict[str, Any]] = []
        for name, part in outcomes.groupby("attributor", sort=False):
            measured = _family.share(part)
            rows.append({"attributor": name, "metric": "accuracy", **cells(measured)})
            single = part.groupby("seed")["correct"].mean()
            ends = {"low": single.min(), "high": single.max(), "n": len(single)}
            row = {"attributor": name, "metric": "seed by seed", "value": single.mean()}
            rows.append(row | ends)
        pairs = [
            ("regeneration", other)
            for other in question.against or ("regeneration, Li et al. 2024",)
            if other in set(outcomes["attributor"])
        ]
        rows += _family.less(outcomes, pairs, ("image_id", "truth", "prompt", "seed"))
        return results(rows)

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw every attributor, all seeds together."""
        from workbench import figures

        table = frames["results"]
        table = table[table["metric"] == "accuracy"]
        figures.resize(figure, 6.8, 0.3 * len(table) + 1.3)
        chance = 1 / frames["outcomes"]["truth"].nunique()
        bold = {"regeneration": "the preset"}
        ax = figure.subplots()
        figures.dots(table, by="attributor", chance=chance, bold=bold, ax=ax)

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """State the accuracy, its spread over seeds, and what was compared."""
        table = frames["results"].set_index(["attributor", "metric"])
        own = table.loc[("regeneration", "accuracy")]
        spread = table.loc[("regeneration", "seed by seed")]
        return (
            f"Regeneration is right in {own['value']:.1%} ({own['low']:.1%} to {own['high']:.1%}, "
            f"n = {own['n']:.0f} pictures; {spread['low']:.1%} to {spread['high']:.1%} over "
            f"{spread['n']:.0f} seeds). {_family.compared(frames['results'])}"
        )
