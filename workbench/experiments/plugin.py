"""Does regeneration, put beside a trained attributor, make it better?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.attributors.fusion import Fusion
from workbench.experiments import Bench, _family, by_accuracy, results
from workbench.experiments.rivals import grids, tuned
from workbench.plugin import Plugin

if TYPE_CHECKING:
    import pandas as pd

RIVALS = ("DE-FAKE", "linear probe", "neighbours")
OWN = "regeneration"


@dataclass(frozen=True, repr=False)
class PlugIn(Plugin):
    """Compare the late fusion of each trained attributor and regeneration with both of them.

    All are chosen, in so many `folds`, and fitted on calibration pictures of `training` prompts;
    the weights of a fusion and the scale of its parts are found on the half of them that its parts
    did not learn from (`Fusion`, tuned and confident). On equal evaluation pictures each fusion is
    then compared with its trained part and with regeneration alone: a gain over the one may be a
    loss against the other.

    >>> PlugIn()
    PlugIn()
    """

    training: int = 50
    folds: int = 5
    revision: ClassVar[int] = 2

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results``, ``outcomes``, ``choices`` (what was chosen for whom), ``weights``."""
        import pandas as pd

        wanted = {name: grid for name, grid in grids(bench).items() if name in RIVALS}
        chosen, choices, learned = tuned(bench, self.training, wanted, self.folds)
        images, _ = bench.pictures(
            "selection", min(self.training, len(bench.setting.prompts("selection")))
        )
        own = bench.regeneration()
        methods: dict[str, Any] = {OWN: own}
        weights: list[dict[str, Any]] = []
        for name, (unfitted, fitted) in chosen.items():
            methods[name] = fitted
            fused: Any = Fusion((unfitted, own), tune=True, confident=True).fit(
                images, bench.zoo, store=bench.store, seed=bench.seed, progress=bench.under(name)
            )
            methods[f"{name} + {OWN}"] = fused
            weight = {"weight": fused.fitted["weights"][1], "pictures": learned}
            weights.append({"attributor": f"{name} + {OWN}", **weight})
        outcomes = bench.run(methods, *bench.pictures())["outcomes"]
        names = {repr(method): short for short, method in methods.items()}
        frames = {
            "outcomes": outcomes.assign(attributor=outcomes["attributor"].map(names)),
            "choices": choices,
            "weights": pd.DataFrame(weights),
        }
        return {"results": self.measure(frames), **frames}

    def measure(self, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Return the accuracy of each attributor, weights, and each fusion against its parts."""
        outcomes, weights = frames["outcomes"], frames["weights"]
        rows = by_accuracy(outcomes, {name: name for name in outcomes["attributor"].unique()})
        for row in weights.itertuples():
            weight = _family.single(row.weight, row.pictures)
            rows.append({"attributor": row.attributor, "metric": f"weight of {OWN}", **weight})
        pairs = [(name, part) for name in weights["attributor"] for part in name.split(" + ")]
        return results(rows + _family.less(outcomes, pairs))

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw each attributor alone and fused."""
        from workbench import figures

        table = frames["results"]
        table = table[table["metric"] == "accuracy"]
        figures.resize(figure, 6.6, 0.3 * len(table) + 1.4)
        figures.dots(
            table,
            by="attributor",
            chance=1 / frames["outcomes"]["truth"].nunique(),
            bold={"regeneration": "the preset"},
            title="Alone, and with regeneration",
            ax=figure.subplots(),
        )

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """State the accuracy of each part, and how each fusion differs from both of its parts."""
        results = frames["results"]
        table = results[results["metric"] == "accuracy"].set_index("attributor")
        alone = [
            f"{name} {_family.percent(row)}" for name, row in table.iterrows() if "+" not in name
        ]
        return (
            f"Alone are right, of n = {table['n'].max():.0f} equal pictures: {', '.join(alone)}. "
            f"{_family.compared(results)}"
        )
