"""What does that which happens, or is done, to a picture take from the attribution?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench import catalogue
from workbench.evaluation.statistics import mean_interval
from workbench.experiments import Bench, cells, results
from workbench.experiments._family import (
    chosen,
    detectable,
    family,
    named,
    paired,
    percent,
    share,
    told,
)
from workbench.inverters.natural import Natural
from workbench.plugin import Plugin
from workbench.similarities.cosine import Cosine
from workbench.similarities.hybrid import Hybrid
from workbench.similarities.ssim import SSIM

if TYPE_CHECKING:
    import pandas as pd

PRESET = "preset"
NATURAL = "preset, natural prompt"
TREATED = "preset, candidates treated alike"
LOSS, GAIN = "loss", "gain of treating alike"
PICTURE = ("truth", "prompt")
"""What tells a picture and its attacked ones apart from others."""
REFPRINT = {"jpeg": (10, 20, 30), "resize": (25, 50, 65), "blur": (10, 20, 30)}
"""Intensities of RefPrint's levels: quality 90 … 70, factor .75 … .35, σ 1 … 3 pixels, which are
read in pixels of the picture itself."""
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
ATTACKS = (*REFPRINT, *OTHERS, "pgd", "launder")


@dataclass(frozen=True, repr=False)
class Robustness(Plugin):
    """Attribute the same pictures untouched and under every attack, at rising intensity.

    Each time by the preset's own setting; by CosCLIP and the mean (the paper's); by SSIM; by a
    hybrid of the preset's similarity and SSIM, fitted on calibration pictures of `fitting` prompts;
    and by the preset's setting with the natural prompt, which shows how much of a loss is the
    prompt's. PGD is white-box against the encoder layer of the preset's similarity, and transfers
    to the others; laundering paints with each candidate model that can. ``loss``: the preset's
    accuracy under an attack less that untouched, picture by picture, all levels of all attacks one
    family of tests; ``pictures changed``: the share of pictures in which a pixel changed at all.

    With `alike`, the preset's own setting alone, with clean candidates and with candidates that
    went the way each picture seems to have gone (`Regeneration.alike`), and the ``gain`` of that.

    >>> Robustness(attacks=("jpeg",))
    Robustness(attacks=('jpeg',))
    """

    attacks: tuple[str, ...] = ATTACKS
    fitting: int = 10
    alike: bool = False
    revision: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if unknown := [name for name in self.attacks if name not in ATTACKS]:
            raise ValueError(f"no levels of {unknown[0]!r}; there are: {', '.join(ATTACKS)}")

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results``, ``outcomes`` and ``scores``."""
        images, truth = bench.pictures()
        methods = self._methods(bench)
        run = bench.run(methods, images, truth, attacks=self._attacks(bench))
        outcomes = named(run["outcomes"], methods, "setting")
        frames = {"outcomes": outcomes, "scores": run["scores"]}
        return {"results": self.measure(frames), **frames}

    def measure(self, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Return the results of the outcomes."""
        outcomes = frames["outcomes"]
        rows: list[dict[str, Any]] = []
        keys = ["setting", "attack", "intensity"]
        for (name, attack, intensity), part in outcomes.groupby(keys, sort=False):
            at = {"attributor": name, "attack": attack, "intensity": intensity}
            rows.append({**at, "metric": "accuracy", **cells(share(part))})
        own = outcomes[outcomes["setting"] == PRESET]
        clean = own[own["attack"] == "none"]
        losses = []
        for (attack, intensity), part in own.groupby(["attack", "intensity"], sort=False):
            if attack == "none":
                continue
            at = {"attributor": PRESET, "attack": attack, "intensity": intensity}
            both = part.merge(clean, on=list(PICTURE), suffixes=("", "_clean"))
            changed = both.assign(changed=both["image_id"] != both["image_id_clean"])
            rows.append({**at, "metric": "pictures changed", **cells(share(changed, "changed"))})
            losses.append((at, *paired(part, clean, PICTURE)))
            rows += self._gain(outcomes, part, at)
        return results([*rows, *family(losses, LOSS)])

    def _gain(
        self, outcomes: pd.DataFrame, clean: pd.DataFrame, at: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Measure treated candidates against clean ones on the same attacked pictures."""
        same = outcomes[["attack", "intensity"]].eq([at["attack"], at["intensity"]]).all(axis=1)
        treated = outcomes[same & (outcomes["setting"] == TREATED)]
        if treated.empty:
            return []
        gain, places = paired(treated, clean, PICTURE)
        interval = mean_interval(gain, places, (-1.0, 1.0))
        return [{**at, "attributor": TREATED, "metric": GAIN, **cells(interval)}]

    def _methods(self, bench: Bench) -> dict[str, Any]:
        if self.alike:
            return {PRESET: bench.regeneration(), TREATED: bench.regeneration(alike=True)}
        both = bench.regeneration(similarity=Hybrid((bench.similarity, SSIM())))
        images, _ = bench.pictures("selection", self.fitting)
        fitted = both.fit(
            images, bench.zoo, store=bench.store, seed=bench.seed, progress=bench.under("fit")
        )
        return {
            PRESET: bench.regeneration(),
            "CosCLIP, mean": bench.regeneration(
                similarity=Cosine(bench.encoder.at(None)), aggregate="mean"
            ),
            "SSIM": bench.regeneration(similarity=SSIM()),
            "hybrid": fitted,
            NATURAL: bench.regeneration(inverter=Natural()),
        }

    def _attacks(self, bench: Bench) -> list[Any]:
        levels = REFPRINT | OTHERS
        own = {"blur": {"side": bench.preset.size}}
        attacks = [
            catalogue.load(name, "attack", intensity=level, **own.get(name, {}))
            for name in self.attacks
            for level in levels.get(name, ())
        ]
        if "pgd" in self.attacks:
            kind = catalogue.plugin_class("pgd", "attack")
            attacks += [kind(bench.encoder, intensity=level) for level in WHITE_BOX]
        if "launder" in self.attacks:
            attacks += self._painters(bench)
        return attacks

    def _painters(self, bench: Bench) -> list[Any]:
        kind, attacks = catalogue.plugin_class("launder", "attack"), []
        for generator in bench.zoo.values():
            for level in LAUNDERED:
                try:
                    attacks.append(kind(generator.checkpoint, intensity=level))
                except (AttributeError, ValueError):
                    break  # a model that does not paint pictures anew
        return attacks

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw accuracy over intensity, a panel for each attack; dotted: RefPrint's levels."""
        import pandas as pd

        from workbench import figures
        from workbench.catalogue.wording import readable

        table = frames["results"]
        table = table[table["metric"] == "accuracy"]
        attacks = [name for name in dict.fromkeys(table["attack"]) if name != "none"]
        clean = table[table["attack"] == "none"]
        chance = 1 / frames["outcomes"]["truth"].nunique()
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
                title=kind if alone else readable(attack),
                chance=chance,
                ax=ax,
            )
            interval = "band" if "band:" in ax.get_xlabel() else "bar"
            ax.set_xlabel("")
            ax.get_legend().remove()
        for ax in panels[len(attacks) :]:
            ax.remove()
        handles, labels = panels[0].get_legend_handles_labels()
        figures.legend(figure, handles, labels)
        figure.suptitle(
            f"Accuracy over intensity, n = {table['n'].max()} pictures a point\n"
            f"{interval}: 95% interval; dotted: RefPrint's levels",
            x=0.01,
            ha="left",
            fontsize="medium",
        )

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """State the accuracy left by RefPrint's strongest levels and at worst, each loss tested."""
        table = frames["results"]
        own = table[(table["attributor"] == PRESET) & (table["metric"] == "accuracy")]
        clean = own[own["attack"] == "none"].iloc[0]
        under = own[own["attack"] != "none"]
        kinds = under["attack"].str.partition("(")[0].str.lower()
        parts = []
        for name, levels in REFPRINT.items():
            strongest = under[(kinds == name) & (under["intensity"] == levels[-1])]
            parts += [_left(table, row) for _, row in strongest.iterrows()]
        lowest = _left(table, under.loc[under["value"].idxmin()])
        gains = "".join(
            f" Treated alike, {row.attack} at {row.intensity:g}: {100 * row.value:+.1f} points "
            f"({100 * row.low:+.1f} to {100 * row.high:+.1f})."
            for row in table[table["metric"] == GAIN].itertuples()
        )
        return (
            f"Untouched {percent(clean)} of n = {clean['n']:.0f} pictures are right; "
            f"{'; '.join(parts)}; the lowest of all {len(under)} levels: {lowest} "
            f"({detectable(table, LOSS)}).{gains}"
        )


def _left(table: pd.DataFrame, row: Any) -> str:
    """Return what an attack leaves, what that is less than untouched, and where nothing changed."""
    at = {"attack": row["attack"], "intensity": row["intensity"]}
    changed = chosen(table, "pictures changed", **at)["value"]
    rest = "" if changed == 1 else f", {changed:.0%} of the pictures changed"
    kind = f"{row['attack']} at {row['intensity']:g}"
    return f"{kind} {percent(row)}, {told(table, LOSS, **at)}{rest}"
