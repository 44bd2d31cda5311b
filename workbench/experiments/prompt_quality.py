"""How good are inverted prompts, and how much does the attribution depend on them?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from workbench import pipeline
from workbench.evaluation import prompts as quality
from workbench.evaluation.prompts import scenes
from workbench.evaluation.statistics import influence_interval, influence_test, mean_interval
from workbench.experiments import Bench, cells, results
from workbench.experiments._family import (
    chosen,
    detectable,
    family,
    percent,
    share,
    single,
    told,
)
from workbench.inverters.natural import Natural
from workbench.plugin import Plugin

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("worst third", "middle third", "best third")


TREND = "best third less worst third"
GAIN = "natural less inverted prompt"


@dataclass(frozen=True, repr=False)
class PromptQuality(Plugin):
    """Compare inverted with natural prompts: words, slots, and the encoder's text space.

    ``token F1``: `prompts.token_f1`; ``slot NAME``: share of pictures whose slot is right;
    ``text similarity``: cosine of the two prompts in the encoder's text tower. The accuracy is
    then told by thirds of the token F1, and beside it that of the natural prompt on the same
    pictures. The thirds are those of each true model's own pictures (equal F1: by image_id), so
    that every third holds as many of each: a model whose pictures are captioned badly, and told
    apart easily, would else make bad prompts look harmless. ``best third less worst third`` is the
    mean of its differences within the models, with a t test over scenes; ``natural less inverted
    prompt`` is paired, a family of the thirds.

    >>> PromptQuality()
    PromptQuality()
    """

    revision: ClassVar[int] = 2

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results`` and ``pictures``, a row for each with its prompts and qualities."""
        methods = {
            "inverted": bench.regeneration(),
            "natural": bench.regeneration(inverter=Natural()),
        }
        run = bench.run(methods, *bench.pictures())
        table = _pictures(run, {kind: repr(each) for kind, each in methods.items()})
        frames = {"pictures": _with_qualities(table, bench)}
        return {"results": self.measure(frames), **frames}

    def measure(self, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Return the results of the pictures."""
        table = frames["pictures"]
        measures = [name for name in table.columns if name.startswith(("token", "slot", "text"))]
        rows: list[dict[str, Any]] = []
        for model, part in [("all", table), *table.groupby("truth", sort=False)]:
            for name in measures:
                bounds = (-1.0, 1.0) if name.startswith("text") else (0.0, 1.0)
                if name.startswith("slot"):
                    mean = share(part, name)
                else:
                    mean = mean_interval(part[name], scenes(part), bounds)
                if mean.n:
                    rows.append({"slice": model, "metric": name, **cells(mean)})
        gains = []
        for third in PARTS:
            part = table[table["third"] == third]
            for kind in ("inverted", "natural"):
                at = {"slice": third, "metric": f"accuracy, {kind} prompt"}
                rows.append(at | cells(share(part, kind)))
            lifted = part["natural"].astype(float) - part["inverted"].astype(float)
            gains.append(({"slice": third}, lifted.to_numpy(), scenes(part)))
        return results([*rows, *_trend(table), *family(gains, GAIN)])

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw the qualities on the left, the accuracy over them on the right."""
        from workbench import figures

        figures.resize(figure, 10.5, 4.2)
        left, right = figure.subplots(1, 2)
        table = frames["results"]
        quality = table[(table["slice"] == "all")]
        title = "Inverted against natural prompt"
        figures.dots(quality, by="metric", title=title, sort=False, ax=left)
        accuracy = table[table["metric"].str.startswith("accuracy")]
        title = "Accuracy by token F1"
        chance = 1 / frames["pictures"]["truth"].nunique()
        figures.curve(accuracy, x="slice", line="metric", chance=chance, title=title, ax=right)

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """State the quality, how the accuracy goes with it, and what the natural prompt changes."""
        table = frames["results"]
        f1 = chosen(table, "token F1", slice="all")
        worst, best = (chosen(table, "accuracy, inverted prompt", slice=PARTS[i]) for i in (0, 2))
        return (
            f"Inverted prompts reach a token F1 of {f1['value']:.2f} ({f1['low']:.2f} to "
            f"{f1['high']:.2f}, n = {f1['n']:.0f}). Within each model's own pictures the "
            f"attribution is right in {percent(worst)} with the worst third of the prompts and in "
            f"{percent(best)} with the best: {told(table, TREND)}. The natural prompt changes the "
            f"worst third by {told(table, GAIN, slice=PARTS[0])} ({detectable(table, GAIN)})."
        )


def _trend(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Compare the best third with the worst within each model; the mean over models, tested."""
    differences, influence = [], np.zeros(len(table))
    models = list(dict.fromkeys(table["truth"]))
    right = table["inverted"].to_numpy(float)
    for model in models:
        own = (table["truth"] == model).to_numpy()
        means = []
        for third, sign in ((PARTS[2], 1), (PARTS[0], -1)):
            part = own & (table["third"] == third).to_numpy()
            if not part.any():
                return []
            means.append(sign * right[part].mean())
            influence[part] += sign * (right[part] - right[part].mean()) / part.sum() / len(models)
        differences.append(sum(means))
    value, places = float(np.mean(differences)), scenes(table)
    interval = influence_interval(value, influence, places, (-1.0, 1.0))
    at = {"slice": "within models"}
    p = single(influence_test(value, influence, places), len(table))
    return [
        {**at, "metric": TREND, **cells(interval)},
        {**at, "metric": f"p of the {TREND}, Holm", **p},
    ]


def _pictures(frames: Mapping[str, pd.DataFrame], names: Mapping[str, str]) -> pd.DataFrame:
    """Return a row for each test image: both prompts, and whether each attribution was right."""
    outcomes = frames["outcomes"].set_index("attributor")
    table = outcomes.loc[names["inverted"]].reset_index(drop=True)
    table = table[["image_id", "truth", "prompt", "correct"]].rename(
        columns={"correct": "inverted"}
    )
    other = outcomes.loc[names["natural"]].reset_index(drop=True)[["image_id", "truth", "correct"]]
    table = table.merge(other.rename(columns={"correct": "natural"}), on=["image_id", "truth"])
    prompts = frames["prompts"][["image_id", "prompt"]].rename(columns={"prompt": "found"})
    return table.merge(prompts, on="image_id", how="left").dropna(subset=["found"])


def _with_qualities(table: pd.DataFrame, bench: Bench) -> pd.DataFrame:
    """Add the measures of every prompt and the third its token F1 falls into."""
    table = table.reset_index(drop=True)
    pairs = list(zip(table["found"], table["prompt"], strict=True))
    table["token F1"] = [quality.token_f1(*pair) for pair in pairs]
    slots = quality.slots(bench.preset)
    matches = [quality.slot_matches(*pair, slots) for pair in pairs]
    for name in slots:
        values = [match.get(name, np.nan) for match in matches]
        if not np.isnan(values).all():
            table[f"slot {name}"] = values
    if hasattr(bench.encoder, "text"):
        inverted, natural = (
            pipeline.encode_texts(list(table[name]), bench.encoder, bench.store)
            for name in ("found", "prompt")
        )
        table["text similarity"] = np.clip((inverted * natural).sum(axis=1), -1.0, 1.0)
    table["third"] = _thirds(table)
    return table


def _thirds(table: pd.DataFrame) -> list[str]:
    """Place each picture among those of its true model, by the token F1 of its prompt."""
    place = np.empty(len(table), int)
    for rows in table.groupby("truth").indices.values():
        order = table.iloc[rows].sort_values(["token F1", "image_id"]).index
        place[order] = np.arange(len(rows)) * len(PARTS) // len(rows)
    return [PARTS[i] for i in place]
