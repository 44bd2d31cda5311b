"""Regeneration beside every rival, on equal pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.attributors.aedr import AEDR
from workbench.attributors.chance import Chance
from workbench.attributors.defake import DeFake
from workbench.attributors.family import Family
from workbench.attributors.knn import KNN
from workbench.attributors.layers import Layers
from workbench.attributors.probe import Probe
from workbench.attributors.prototype import Prototype
from workbench.attributors.reference_bank import ReferenceBank
from workbench.attributors.shortcut import Shortcut
from workbench.attributors.spectrum import Spectrum
from workbench.catalogue import presets
from workbench.evaluation import plan, tuning
from workbench.experiments import Bench, _family, by_accuracy, results
from workbench.experiments._family import single
from workbench.inverters.natural import Natural
from workbench.plugin import Plugin
from workbench.similarities.cosine import Cosine
from workbench.similarities.ssim import SSIM

if TYPE_CHECKING:
    import pandas as pd

COSTS = ("training pictures", "seconds to invert and generate")
LOOKS = {"file bytes": "bytes", "colour": "colours", "busyness": "busyness"}
"""Names of the controls that see nothing of a model but a shortcut, and what they look at."""


@dataclass(frozen=True, repr=False)
class Rivals(Plugin):
    """Compare all attributors on the same pictures; trained ones learn from few and many.

    Training pictures are of calibration prompts: one for each of so many prompts and each model, in
    `counts`, so that there is a learning curve. Each trained rival, and each control by a shortcut
    (`Shortcut`, of so many `trees`), is chosen from a grid by cross-validation in `folds` over the
    scenes it learns from, the layer of the encoder too (`tuned`). AEDR is of models with an
    autoencoder alone: its row is of their pictures and of them as candidates, and regeneration on
    the same stands beside it. `Layers` regenerates for what it learns from, so it is fitted on the
    fewest of `counts` alone, and is no rival of the plan.

    ``seconds to invert and generate`` are those of one picture when it was made: what dominates
    the cost, 0 for what looks at features alone. A bank is made once, for all pictures. Tests are
    those of the plan, with the largest of `counts`.

    >>> Rivals(counts=(5, 50))
    Rivals(counts=(5, 50))
    """

    counts: tuple[int, ...] = (5, 15, 50, 150, 375)
    folds: int = 5
    trees: int = 200
    revision: ClassVar[int] = 2

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results``, ``outcomes``, ``costs``, and ``choices`` (what for whom)."""
        import pandas as pd

        images, truth = bench.pictures()
        methods: dict[str, tuple[Any, int]] = {
            name: (method, 0) for name, method in self._free(bench).items()
        }
        choices = []
        for count in self.counts:
            chosen, table, learned = tuned(bench, count, grids(bench, self.trees), self.folds)
            choices.append(table)
            for name, (_, fitted) in chosen.items():
                methods[f"{name}, {count} prompts"] = fitted, learned
        methods[f"layers, {min(self.counts)} prompts"] = mixed(bench, min(self.counts))
        measured = [
            _measured(bench, name, method, learned, images, truth)
            for name, (method, learned) in methods.items()
        ]
        measured += _double(bench, max(self.counts), images, truth)
        frames = {
            "outcomes": pd.concat([outcomes for outcomes, _ in measured], ignore_index=True),
            "costs": pd.DataFrame([cost for _, cost in measured]),
            "choices": pd.concat(choices, ignore_index=True),
        }
        return {"results": self.measure(frames), **frames}

    def measure(self, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Return the accuracy of each attributor, what it cost, and the plan's paired tests."""
        outcomes, rows = frames["outcomes"], []
        for cost in frames["costs"].itertuples():
            name = cost.attributor
            rows += by_accuracy(outcomes, {name: name})
            for metric, value in zip(COSTS, (cost.pictures, cost.seconds), strict=True):
                rows.append({"attributor": name, "metric": metric, **single(value, cost.n)})
        return results(rows + _family.less(outcomes, self._pairs(list(frames["costs"].attributor))))

    def _pairs(self, names: list[str]) -> list[tuple[str, str]]:
        """Pair the attributors of the plan, trained ones with the largest of `counts`."""
        question = plan.of("rivals")
        last = f", {max(self.counts)} prompts"
        against = question.against or (
            *(name.removesuffix(last) for name in names if last in name),
        )
        full = [name + last if name + last in names else name for name in against]
        pairs = [(question.first or "regeneration", name) for name in full]
        coded = [name for name in names if name.startswith("AEDR, ")]
        return pairs + [(name.replace("AEDR", "regeneration"), name) for name in coded]

    def _free(self, bench: Bench) -> dict[str, Any]:
        """Make every attributor that learns from no picture."""
        return {
            "regeneration": bench.regeneration(),
            "regeneration, Li et al. 2024": bench.regeneration(
                similarity=Cosine(bench.encoder.at(None)), aggregate="mean"
            ),
            "regeneration, natural prompt": bench.regeneration(inverter=Natural()),
            "regeneration, SSIM": bench.regeneration(similarity=SSIM()),
            **banks(bench),
            "chance": Chance(),
        }

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw who learns nothing, who learned from most prompts, and what more prompts bring."""
        from workbench import figures

        table = frames["results"]
        table = table[table["metric"] == "accuracy"]
        parts = table["attributor"].str.extract(r"^(?P<rival>.+), (?P<prompts>\d+) prompts$")
        learned = table.assign(**parts).dropna(subset=["prompts"])
        learned = learned.assign(prompts=learned["prompts"].astype(int))
        last = learned.loc[learned.groupby("rival")["prompts"].idxmax()]
        last = last.sort_values("value", ascending=False)
        free = table[parts["prompts"].isna() & (table["attributor"] != "chance")]
        figures.resize(figure, 11, max(3.6, 0.34 * max(len(free), len(last)) + 1.8) + 4)
        above, below = figure.subfigures(2, 1, height_ratios=[5, 4])
        left, right = above.subplots(1, 2)
        chance = 1 / frames["outcomes"]["truth"].nunique()
        bold = {"regeneration": "the preset"}
        title = "Without training, and AEDR"
        figures.dots(free, by="attributor", chance=chance, bold=bold, title=title, ax=left)
        title = "Trained on most prompts, and controls"
        figures.dots(last, by="attributor", chance=chance, title=title, ax=right)
        learned = learned.rename(columns={"prompts": "training prompts"})
        control = learned["rival"].isin(LOOKS)
        options: dict[str, Any] = {"x": "training prompts", "line": "rival", "chance": chance}
        curves = (("What more prompts bring", ~control), ("The same for controls", control))
        for ax, (title, chosen) in zip(below.subplots(1, 2), curves, strict=True):
            figures.curve(learned[chosen], title=title, ax=ax, **options)
            ax.set_ylim(0, 1)

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """State regeneration's accuracy, and what it was compared with."""
        table = frames["results"].set_index(["attributor", "metric"])
        own = table.loc[("regeneration", "accuracy")]
        alone = [name for name, _ in table.index if name.startswith("AEDR")]
        aedr = "" if alone else " AEDR was not applied: fewer than two models have an autoencoder."
        return (
            f"Regeneration is right in {own['value']:.1%} ({own['low']:.1%} to {own['high']:.1%}, "
            f"n = {own['n']:.0f} equal pictures). "
            f"{_family.compared(frames['results'])}{aedr}"
        )


def grids(bench: Bench, trees: int = 200) -> dict[str, list[Any]]:
    """Make what each trained rival and control is chosen from, unfitted, what is usual first."""
    size, encoders = bench.preset.size, tuning.layers(bench.encoder)
    probes = [Probe(each, strength, size) for strength in (1.0, 0.1, 0.01) for each in encoders]
    grid: dict[str, list[Any]] = {
        "DE-FAKE": [DeFake(bench.inverter, each, size=size) for each in encoders],
        "linear probe": [*probes],
        "neighbours": [KNN(each, k, size) for k in (5, 1, 15) for each in encoders],
        "prototype": [Prototype(each, size) for each in encoders],
        "family": [Family(each, size=size) for each in encoders],
        "spectrum": [Spectrum(size)],
    }
    for name, looks in LOOKS.items():
        grid[name] = [Shortcut(looks, trees, leaf, size) for leaf in (5, 1, 15)]
    return grid


def tuned(
    bench: Bench, n: int, grids: Mapping[str, list[Any]], folds: int = 5
) -> tuple[dict[str, tuple[Any, Any]], pd.DataFrame, int]:
    """Choose and fit trained attributors on calibration pictures of ``n`` prompts.

    Args:
        bench: whose zoo draws them.
        n: prompts of the portion ``selection``, or all of them where there are fewer.
        grids: what each is chosen from, by name.
        folds: of the cross-validation.

    Returns:
        name → what was chosen, unfitted and fitted; a frame with prompts, rival, attributor, the
        cross-validated accuracy and n of each that was tried, and whether it was ``chosen``; and
        the number of training pictures.
    """
    import pandas as pd

    images, _ = bench.pictures("selection", min(n, len(bench.setting.prompts("selection"))))
    fitted, tables = {}, []
    options: dict[str, Any] = {"store": bench.store, "seed": bench.seed}
    for name, grid in grids.items():
        progress = bench.under(f"{name}, {n}")
        best, table = tuning.choose(
            grid, images, bench.zoo, folds=folds, progress=progress, **options
        )
        fitted[name] = best, best.fit(images, bench.zoo, progress=progress, **options)
        chosen = table["attributor"] == repr(best)
        tables.append(table.assign(prompts=n, rival=name, chosen=chosen))
    return fitted, pd.concat(tables, ignore_index=True), len(images)


def mixed(bench: Bench, n: int) -> tuple[Any, int]:
    """Fit a mix of layers on calibration pictures of ``n`` prompts; return it and their number."""
    images, _ = bench.pictures("selection", min(n, len(bench.setting.prompts("selection"))))
    method = bench.regeneration()
    plain = Layers(method.inverter, bench.encoder, method.aggregate, method.gamma, method.size)
    options: dict[str, Any] = {"store": bench.store, "seed": bench.seed}
    progress = bench.under(f"layers, {n}")
    return plain.fit(images, bench.zoo, progress=progress, **options), len(images)


def banks(bench: Bench) -> dict[str, Any]:
    """Return the controls that regenerate nothing, at the γ of the preset."""
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


def _double(
    bench: Bench, n: int, images: pd.DataFrame, truth: pd.DataFrame
) -> list[tuple[pd.DataFrame, dict[str, Any]]]:
    """Measure AEDR on the models with an autoencoder, and regeneration on the same.

    Its thresholds are fitted on calibration pictures of ``n`` prompts. Nothing is measured where
    fewer than two models have an autoencoder.
    """
    coded = {name: each for name, each in bench.zoo.items() if hasattr(each, "reconstruct")}
    if len(coded) < 2:
        return []
    own, size = bench.among(coded), f"{len(coded)} models with an autoencoder"
    learned, _ = bench.pictures("selection", min(n, len(bench.setting.prompts("selection"))))
    learned = learned[learned["source"].isin(coded)]
    fitted = AEDR().fit(learned, coded, store=bench.store, seed=bench.seed)
    known = truth[truth["truth"].isin(coded)].reset_index(drop=True)
    shown = images[images["image_id"].isin(known["image_id"])].reset_index(drop=True)
    return [
        _measured(own, f"regeneration, {size}", own.regeneration(), 0, shown, known),
        _measured(own, f"AEDR, {size}", fitted, len(learned), shown, known),
    ]


def _measured(
    bench: Bench, name: str, method: Any, learned: int, images: pd.DataFrame, truth: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Let one attributor attribute pictures: outcomes under its short name, and what it cost."""
    frames = bench.run({name: method}, images, truth)
    seconds = _seconds(frames["prompts"], frames["candidates"], len(images))
    cost = {"attributor": name, "pictures": learned, "seconds": seconds, "n": len(truth)}
    return frames["outcomes"].assign(attributor=name), cost


def _seconds(prompts: pd.DataFrame, candidates: pd.DataFrame, n: int) -> float:
    """Sum what the prompts of n images and the candidates of these prompts took; per image."""
    drawing = candidates.groupby("prompt_id")["seconds"].sum()
    drawn = prompts["prompt_id"].map(drawing).astype(float).sum()
    return float(drawn + prompts["seconds"].sum()) / max(n, 1)
