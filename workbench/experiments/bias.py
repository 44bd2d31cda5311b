"""Does PEZ, which searches in an encoder's text tower, draw pictures to a model of that tower?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from workbench import catalogue
from workbench.catalogue.setting import make_inverter
from workbench.evaluation.prompts import scenes
from workbench.experiments import Bench, results
from workbench.experiments._family import Differences, detectable, family, named, share, told
from workbench.inverters.empty import Empty
from workbench.plugin import Plugin
from workbench.similarities.cosine import Cosine

if TYPE_CHECKING:
    import pandas as pd

PRESET = "preset"
PEZ = "PEZ"
INTERACTION = "interaction"


@dataclass(frozen=True, repr=False)
class Bias(Plugin):
    """Compare where false attributions go under prompts of PEZ, and under the preset's inverter.

    PEZ optimises a prompt in an encoder's text tower; a model conditioned on that very tower
    (pocket-sd, as SD on CLIP's) may follow such prompts better than others do. For each model: the
    share of other models' pictures that are attributed to it under each inverter, and its change
    against the preset's. Poor prompts of any kind change that too, so the change is held against
    three controls: the ``interaction``, by how much more it changes for the `shared` models than
    for those of `beside`, which are like them but for the tower; the same under the empty prompt;
    and under PEZ in the text tower of the encoder `other`, where one is named. All changes are one
    family of tests, all interactions another; a detectable interaction takes the two changes in it
    for independent, each seen on the pictures of all models but one.

    >>> Bias(other="clip-vit-b-32")
    Bias(other="clip-vit-b-32")
    """

    shared: tuple[str, ...] = ("pocket-sd",)
    beside: tuple[str, ...] = ("pocket-ld",)
    other: str = ""
    revision: ClassVar[int] = 2

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results``, ``outcomes`` (with ``inverter``) and ``scores``."""
        inverters = {
            PRESET: bench.inverter,
            PEZ: make_inverter("pez", bench.preset, bench.similarity),
            "empty prompt": Empty(),
        }
        if self.other:
            tower = Cosine(catalogue.load(self.other, "encoder"))
            inverters[f"PEZ in {self.other}"] = make_inverter("pez", bench.preset, tower)
        methods = {kind: bench.regeneration(inverter=each) for kind, each in inverters.items()}
        run = bench.run(methods, *bench.pictures())
        outcomes = named(run["outcomes"], methods, "inverter")
        frames = {"outcomes": outcomes, "scores": run["scores"]}
        return {"results": self.measure(frames), **frames}

    def measure(self, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Return the results of the outcomes, of one picture of each prompt by every model."""
        outcomes = frames["outcomes"]
        models = list(dict.fromkeys(outcomes["truth"]))
        kinds = list(dict.fromkeys(outcomes["inverter"]))
        rows: list[dict[str, Any]] = []
        for model in models:
            others = outcomes[outcomes["truth"] != model]
            others = others.assign(taken=(others["predicted"] == model).fillna(False).astype(bool))
            for kind, part in others.groupby("inverter", sort=False):
                at = {"model": model, "inverter": kind, "metric": "falsely attributed to it"}
                rows.append(at | vars(share(part, "taken")))
        taken = _taken(outcomes, models)
        changes = [
            ({"model": model, "inverter": kind}, *_changed(taken, model, kind))
            for kind in kinds
            if kind != PRESET
            for model in models
        ]
        rows += family(changes, "change")
        spread = 0.25 * 2**0.5 * len(models) / (len(models) - 1)
        interactions = self._interactions(taken, models, kinds)
        rows += family(interactions, INTERACTION, (-2.0, 2.0), spread)
        return results(rows)

    def _interactions(
        self, taken: pd.DataFrame, models: list[str], kinds: list[str]
    ) -> Iterator[Differences]:
        """Return the change for the shared models less that for those beside, by inverter."""
        ours = [model for model in models if model in self.shared]
        theirs = [model for model in models if model in self.beside]
        theirs = theirs or [model for model in models if model not in ours]
        if not ours:
            return
        for kind in kinds:
            if kind == PRESET:
                continue
            parts = {model: _weighted(taken, model, kind) for model in [*ours, *theirs]}
            mean = [np.mean([parts[model] for model in some], axis=0) for some in (ours, theirs)]
            at = {"model": " + ".join(ours) + " less " + " + ".join(theirs), "inverter": kind}
            yield at, mean[0] - mean[1], scenes(taken)

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw the false attributions to each model under every inverter."""
        from workbench import figures

        table = frames["results"]
        table = table[table["metric"].str.startswith("falsely")]
        if "inverter" not in table:  # revision 1 told it within the metric
            table = table.assign(inverter=table["metric"].str.rpartition(", ")[2])
        figures.resize(figure, 6.8, 3.8)
        ax = figure.subplots()
        title = "Pictures of other models attributed to it"
        figures.curve(table, x="model", line="inverter", joined=False, title=title, ax=ax)

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """State the interaction under PEZ and under the controls, and no cause."""
        table = frames["results"]
        rows = table[table["metric"] == INTERACTION]
        if rows.empty:
            return "No model of the zoo shares the text tower of PEZ, so no bias can be measured."
        pair = rows.iloc[0]["model"]
        parts = [f"{kind} {told(table, INTERACTION, inverter=kind)}" for kind in rows["inverter"]]
        changes = table[(table["metric"] == "change") & (table["inverter"] == PEZ)]
        each = "; ".join(
            f"{model} {told(table, 'change', model=model, inverter=PEZ)}"
            for model in changes["model"]
        )
        tower = "" if len(parts) > 2 else "; PEZ in another text tower was not measured"
        n = int(rows["n"].iloc[0])
        return (
            f"With PEZ instead of the preset's inverter the false attributions change for {each}. "
            f"The change for {pair}: {'; '.join(parts)}{tower} (n = {n} pictures of "
            f"{detectable(table, INTERACTION)}). The difference says nothing of its cause."
        )


def _taken(outcomes: pd.DataFrame, models: list[str]) -> pd.DataFrame:
    """Return a row for each picture: truth, prompt, and by inverter and model whether it is taken.

    Of a model's own pictures nothing is told: NaN.
    """
    import pandas as pd

    keys = ["image_id", "truth", "prompt"]
    table = outcomes[keys].drop_duplicates().reset_index(drop=True)
    for kind, part in outcomes.groupby("inverter", sort=False):
        predicted = table.merge(part[[*keys, "predicted"]], on=keys, how="left")["predicted"]
        for model in models:
            taken = (predicted == model).fillna(False).astype(float)
            table[(kind, model)] = pd.Series(taken).where(table["truth"] != model)
    return table


def _changed(taken: pd.DataFrame, model: str, kind: str) -> tuple[np.ndarray, list[str]]:
    """Return the change of each picture of another model, and its scene."""
    others = taken[taken["truth"] != model]
    values = others[[(kind, model), (PRESET, model)]].to_numpy(float)
    return values[:, 0] - values[:, 1], scenes(others)


def _weighted(taken: pd.DataFrame, model: str, kind: str) -> np.ndarray:
    """Return values of all pictures whose mean is the mean change over those of other models."""
    change = (taken[(kind, model)] - taken[(PRESET, model)]).to_numpy(float)
    known = ~np.isnan(change)
    return np.where(known, change, 0.0) * len(change) / max(known.sum(), 1)
