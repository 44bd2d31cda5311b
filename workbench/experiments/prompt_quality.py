"""How good are inverted prompts, and how much does the attribution depend on them?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from workbench import pipeline
from workbench.evaluation import prompts as quality
from workbench.experiments import Bench, cells, results
from workbench.inverters.natural import Natural
from workbench.plugin import Plugin

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("worst third", "middle third", "best third")


@dataclass(frozen=True, repr=False)
class PromptQuality(Plugin):
    """Hold inverted prompts against the natural ones: words, slots, and the encoder's text space.

    ``token F1``: `prompts.token_f1`; ``slot NAME``: share of pictures whose slot is right;
    ``text similarity``: cosine of the two prompts in the encoder's text tower. The accuracy is
    then told by thirds of the token F1 (pictures of equal quality fall into one third by their
    image_id), and beside it that of the natural prompt on the same pictures.

    >>> PromptQuality()
    PromptQuality()
    """

    revision: ClassVar[int] = 1

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results`` and ``pictures``, a row for each with its prompts and qualities."""
        from workbench.evaluation.statistics import bootstrap_interval

        images, truth = bench.pictures()
        methods = {
            "inverted": bench.regeneration(),
            "natural": bench.regeneration(inverter=Natural()),
        }
        frames = bench.run(methods, images, truth)
        table = _pictures(frames, {kind: repr(each) for kind, each in methods.items()})
        table = _with_qualities(table, bench)
        measures = [name for name in table.columns if name.startswith(("token", "slot", "text"))]
        rows: list[dict[str, Any]] = []
        for model, part in [("all", table), *table.groupby("truth", sort=False)]:
            for name in measures:
                found = bootstrap_interval(part[name], part["prompt"])
                rows.append({"slice": model, "metric": name, **cells(found)})
        for third in PARTS:
            part = table[table["third"] == third]
            for kind in methods:
                found = bootstrap_interval(part[kind], part["prompt"])
                rows.append({"slice": third, "metric": f"accuracy, {kind} prompt", **cells(found)})
        return {"results": results(rows), "pictures": table}

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw the qualities on the left, the accuracy over them on the right."""
        from workbench import figures

        figures.resize(figure, 10.5, 4.2)
        left, right = figure.subplots(1, 2)
        table = frames["results"]
        quality = table[(table["slice"] == "all")]
        figures.dots(quality, by="metric", title="Inverted against natural prompt", ax=left)
        accuracy = table[table["metric"].str.startswith("accuracy")]
        title = "Accuracy by token F1"
        figures.curve(accuracy, x="slice", line="metric", title=title, ax=right)

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """Tell the quality, and the accuracy at both its ends."""
        table = frames["results"].set_index(["slice", "metric"])
        f1 = table.loc[("all", "token F1")]
        worst, best = (table.loc[(PARTS[i], "accuracy, inverted prompt")] for i in (0, 2))
        natural = table.loc[(PARTS[0], "accuracy, natural prompt")]
        return (
            f"Inverted prompts reach a token F1 of {f1['value']:.2f} ({f1['low']:.2f} to "
            f"{f1['high']:.2f}, n = {f1['n']:.0f}); the attribution is right in "
            f"{worst['value']:.1%} of the pictures with the worst third of the prompts and in "
            f"{best['value']:.1%} of those with the best, and the natural prompt lifts the former "
            f"to {natural['value']:.1%}."
        )


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
        values = [found.get(name, np.nan) for found in matches]
        if not np.isnan(values).all():
            table[f"slot {name}"] = values
    if hasattr(bench.encoder, "text"):
        found, natural = (
            pipeline.encode_texts(list(table[name]), bench.encoder, bench.store)
            for name in ("found", "prompt")
        )
        table["text similarity"] = (found * natural).sum(axis=1).astype(float)
    order = table.sort_values(["token F1", "image_id"]).index
    place = np.empty(len(table), int)
    place[order] = np.arange(len(table)) * len(PARTS) // max(len(table), 1)
    table["third"] = [PARTS[i] for i in place]
    return table
