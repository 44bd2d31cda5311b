"""Regeneration beside every rival, on equal pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.attributors.aedr import AEDR
from workbench.attributors.chance import Chance
from workbench.attributors.reference_bank import ReferenceBank
from workbench.catalogue import presets
from workbench.experiments import Bench, by_accuracy, results
from workbench.inverters.natural import Natural
from workbench.plugin import Plugin
from workbench.similarities.cosine import Cosine
from workbench.similarities.ssim import SSIM

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Rivals(Plugin):
    """Let every attributor attribute the same pictures; what is trained learns from few and many.

    Training pictures are of calibration prompts: one for each of `few` or `training` prompts and
    each model. ``seconds to invert and generate`` are those of one picture when it was made: what
    dominates the cost, 0 for what looks at features alone. A bank is made once, for all pictures.

    >>> Rivals(training=100)
    Rivals(training=100)
    """

    few: int = 5
    training: int = 50
    revision: ClassVar[int] = 1

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results`` and ``outcomes``."""
        import pandas as pd

        images, truth = bench.pictures()
        rows: list[dict[str, Any]] = []
        kept = []
        for name, (method, learned) in self._methods(bench).items():
            frames = bench.run({name: method}, images, truth)
            seconds = _seconds(frames["prompts"], frames["candidates"], len(images))
            rows += by_accuracy(frames["outcomes"], {name: repr(method)})
            for metric, value in (
                ("training pictures", learned),
                ("seconds to invert and generate", seconds),
            ):
                told = {"value": value, "low": None, "high": None, "n": len(truth)}
                rows.append({"attributor": name, "metric": metric, **told})
            kept.append(frames["outcomes"].assign(attributor=name))
        return {"results": results(rows), "outcomes": pd.concat(kept, ignore_index=True)}

    def _methods(self, bench: Bench) -> dict[str, tuple[Any, int]]:
        """Make every attributor, and say how many pictures it learned from."""
        plain = {
            "regeneration": bench.regeneration(),
            "regeneration, Li et al. 2024": bench.regeneration(
                similarity=Cosine(bench.encoder.at(None)), aggregate="mean"
            ),
            "regeneration, natural prompt": bench.regeneration(inverter=Natural()),
            "regeneration, SSIM": bench.regeneration(similarity=SSIM()),
            **self._banks(bench),
            "AEDR": AEDR(),
            "chance": Chance(),
        }
        methods = {name: (method, 0) for name, method in plain.items()}
        for count in dict.fromkeys([self.few, self.training]):
            fitted, learned = bench.trained(count)
            for name, method in fitted.items():
                methods[f"{name}, {count} prompts"] = method, learned
        return methods

    def _banks(self, bench: Bench) -> dict[str, Any]:
        prompts = tuple(presets.prompts(bench.preset, "bank"))
        method = bench.regeneration()
        return {
            f"{'matched' if matched else 'arbitrary'} bank": ReferenceBank(
                method.inverter,
                method.similarity,
                method.aggregate,
                method.gamma,
                method.size,
                prompts,
                matched,
            )
            for matched in (True, False)
            if not matched or hasattr(bench.encoder, "text")
        }

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw every attributor's accuracy, trained ones with their number of pictures."""
        from workbench import figures

        table = frames["results"]
        counts = table[table["metric"] == "training pictures"].set_index("attributor")["value"]
        table = table[table["metric"] == "accuracy"]
        names = {
            name: f"{name} ({counts[name]:.0f} pictures)" if counts[name] else name
            for name in table["attributor"]
        }
        figures.resize(figure, 8.2, 0.42 * len(table) + 1.3)
        chance = 1 / frames["outcomes"]["truth"].nunique()
        figures.dots(table, by="attributor", names=names, chance=chance, ax=figure.subplots())

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """Tell the best of all, the best training-free one, and regeneration."""
        table = frames["results"].pivot(index="attributor", columns="metric", values="value")
        free = table[table["training pictures"] == 0].drop(index="regeneration, natural prompt")
        best, first = table["accuracy"].idxmax(), free["accuracy"].idxmax()
        n = int(frames["results"]["n"].max())
        return (
            f"Best of all is {best} ({table.loc[best, 'accuracy']:.1%}), best without training and "
            f"without the natural prompt {first} ({free.loc[first, 'accuracy']:.1%}); regeneration "
            f"reaches {table.loc['regeneration', 'accuracy']:.1%} (n = {n} equal pictures)."
        )


def _seconds(prompts: pd.DataFrame, candidates: pd.DataFrame, n: int) -> float:
    """Sum what the prompts of n images and the candidates of these prompts took; per image."""
    drawing = candidates.groupby("prompt_id")["seconds"].sum()
    drawn = prompts["prompt_id"].map(drawing).astype(float).sum()
    return float(drawn + prompts["seconds"].sum()) / max(n, 1)
