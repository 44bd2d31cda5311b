"""How far does the attribution survive what happens, or is done, to a picture?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench import catalogue
from workbench.experiments import Bench, by_accuracy, results
from workbench.inverters.natural import Natural
from workbench.plugin import Plugin
from workbench.similarities.cosine import Cosine
from workbench.similarities.hybrid import Hybrid
from workbench.similarities.ssim import SSIM

if TYPE_CHECKING:
    import pandas as pd

REFPRINT = {"jpeg": (10, 20, 30), "resize": (25, 50, 65), "blur": (10, 20, 30)}
"""Intensities of RefPrint's levels: quality 90 … 70, factor .75 … .35, σ 1 … 3."""
OTHERS = {
    "webp": (10, 30, 60),
    "noise": (5, 15, 30),
    "crop": (20, 50, 100),
    "rotation": (10, 30, 60),
    "brightness": (15, 30, 60),
    "contrast": (15, 30, 60),
    "social": (25, 50, 100),
}
WHITE_BOX = (25, 50, 100)
LAUNDERED = (10, 30, 60)


@dataclass(frozen=True, repr=False)
class Robustness(Plugin):
    """Attribute the same pictures untouched and under every attack, at rising intensity.

    Each time by the preset's own setting; by CosCLIP and the mean (the paper's); by SSIM; by a
    hybrid of the preset's similarity and SSIM, fitted on calibration pictures of `fitting` prompts;
    and by the preset's setting with the natural prompt, which shows how much of a loss is the
    prompt's. PGD is white-box against the encoder layer of the preset's similarity, and transfers
    to the others; laundering paints with each candidate model that can.

    >>> Robustness(attacks=("jpeg",))
    Robustness(attacks=('jpeg',))
    """

    attacks: tuple[str, ...] = (*REFPRINT, *OTHERS, "pgd", "launder")
    fitting: int = 10
    revision: ClassVar[int] = 1

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results`` and ``outcomes``."""
        images, truth = bench.pictures()
        methods = self._methods(bench)
        frames = bench.run(methods, images, truth, attacks=self._attacks(bench))
        outcomes = frames["outcomes"]
        names = {short: repr(method) for short, method in methods.items()}
        rows = by_accuracy(outcomes, names, ("attack", "intensity"))
        return {"results": results(rows), "outcomes": outcomes}

    def _methods(self, bench: Bench) -> dict[str, Any]:
        both = bench.regeneration(similarity=Hybrid((bench.similarity, SSIM())))
        images, _ = bench.pictures("selection", self.fitting)
        fitted = both.fit(
            images, bench.zoo, store=bench.store, seed=bench.seed, progress=bench.under("fit")
        )
        return {
            "preset": bench.regeneration(),
            "CosCLIP, mean": bench.regeneration(
                similarity=Cosine(bench.encoder.at(None)), aggregate="mean"
            ),
            "SSIM": bench.regeneration(similarity=SSIM()),
            "hybrid": fitted,
            "preset, natural prompt": bench.regeneration(inverter=Natural()),
        }

    def _attacks(self, bench: Bench) -> list[Any]:
        levels = REFPRINT | OTHERS
        made = [
            catalogue.load(name, "attack", intensity=level)
            for name in self.attacks
            for level in levels.get(name, ())
        ]
        if "pgd" in self.attacks:
            kind = catalogue.plugin_class("pgd", "attack")
            made += [kind(bench.encoder, intensity=level) for level in WHITE_BOX]
        if "launder" in self.attacks:
            made += self._painters(bench)
        return made

    def _painters(self, bench: Bench) -> list[Any]:
        kind, made = catalogue.plugin_class("launder", "attack"), []
        for generator in bench.zoo.values():
            for level in LAUNDERED:
                try:
                    made.append(kind(generator.checkpoint, intensity=level))
                except (AttributeError, ValueError):
                    break  # a model that does not paint pictures anew
        return made

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw accuracy over intensity, a panel for each attack; dotted: RefPrint's levels."""
        import pandas as pd

        from workbench import figures

        table = frames["results"]
        attacks = [name for name in dict.fromkeys(table["attack"]) if name != "none"]
        clean = table[table["attack"] == "none"]
        columns = min(4, len(attacks))
        rows = -(-len(attacks) // columns)
        figures.resize(figure, 3.1 * columns, 2.6 * rows + 0.6)
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for ax, attack in zip(panels, attacks, strict=False):
            part = pd.concat([clean, table[table["attack"] == attack]])
            marks = REFPRINT.get(attack.partition("(")[0].lower(), ())
            kind = attack.partition("(")[0]
            alone = [each.partition("(")[0] for each in attacks].count(kind) == 1
            figures.curve(
                part,
                x="intensity",
                line="attributor",
                marks=marks,
                title=kind if alone else attack,
                ax=ax,
            )
            ax.set_xlabel("")
            ax.get_legend().remove()
        for ax in panels[len(attacks) :]:
            ax.remove()
        handles, labels = panels[0].get_legend_handles_labels()
        figures.legend(figure, handles, labels)
        figure.suptitle(
            f"Accuracy over intensity, n = {table['n'].max()} pictures a point; band: 95 %",
            x=0.01,
            ha="left",
            fontsize="medium",
        )

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """Tell what RefPrint's strongest levels and the worst attack leave, and of what cause."""
        table = frames["results"]
        found = table.set_index(["attributor", "attack", "intensity"]).sort_index()["value"]
        own = table[table["attributor"] == "preset"].set_index(["attack", "intensity"])
        clean, prompt = own.loc[("none", 0.0)], "preset, natural prompt"
        parts = [
            f"Untouched {clean['value']:.1%} (n = {clean['n']:.0f}; with the natural prompt "
            f"{found[prompt, 'none', 0.0]:.1%})"
        ]
        for name, levels in REFPRINT.items():
            for attack, intensity in own.index:
                kind = attack.partition("(")[0]
                if kind.lower() == name and intensity == levels[-1]:
                    row = own.loc[(attack, intensity)]
                    parts.append(
                        f"{kind} at {intensity:g} {row['value']:.1%} ({row['low']:.1%} to "
                        f"{row['high']:.1%}; {found[prompt, attack, intensity]:.1%})"
                    )
        worst = own["value"].idxmin()
        return (
            f"{', '.join(parts)}; the worst is {worst[0]} at {worst[1]:g}, which leaves "
            f"{own.loc[worst, 'value']:.1%} ({found[(prompt, *worst)]:.1%})."
        )
