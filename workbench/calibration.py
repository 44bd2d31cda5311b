"""Choose a setting and its threshold on calibration pictures, never on evaluation pictures.

`select` compares layer × aggregation × similarity with the preset's inverter; `threshold` finds
the smallest reliable margin of a preset. They take disjoint calibration prompts, and neither
shares one with the reference bank (`catalogue.PORTIONS`). The command ``workbench calibrate``
prints what either found as lines for presets.toml.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from workbench import catalogue, evaluation, frames, pipeline, ranking
from workbench.attributors.regeneration import Regeneration
from workbench.catalogue import Preset
from workbench.pipeline import Progress
from workbench.similarities.cosine import Cosine
from workbench.similarities.mse import NegativeMSE
from workbench.similarities.ssim import SSIM
from workbench.store import Store

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Selection:
    """Hold the best setting found, and the whole grid it was found in.

    ``grid``: similarity, aggregate, accuracy with low and high (bootstrap over prompts), mrr, n;
    best first. Many settings were compared, so the best one's accuracy here is optimistic.
    """

    preset: str
    similarity: str
    aggregate: str
    provenance: str
    grid: pd.DataFrame = field(repr=False)

    def toml(self) -> str:
        """Write the lines for presets.toml."""
        return (
            f"# {self.provenance}\n[presets.{self.preset}]\nsimilarity = '{self.similarity}'\n"
            f"aggregate = {json.dumps(self.aggregate)}\n"
        )


@dataclass(frozen=True)
class Threshold:
    """Hold the threshold of a preset and how it was found."""

    preset: str
    value: float
    provenance: str
    outcomes: pd.DataFrame = field(repr=False)

    def toml(self) -> str:
        """Write the lines for presets.toml.

        >>> print(Threshold("x", float("inf"), "a test", None).toml())
        [presets.x]
        threshold = "inf"
        threshold_from = "a test"
        <BLANKLINE>
        """
        value = '"inf"' if self.value == float("inf") else repr(self.value)
        return (
            f"[presets.{self.preset}]\nthreshold = {value}\n"
            f"threshold_from = {json.dumps(self.provenance, ensure_ascii=False)}\n"
        )


def select(
    preset: str | Preset = "pocket",
    n: int = 100,
    seed: int = 0,
    *,
    encoder: Any = None,
    zoo: Any = None,
    store: Store | None = None,
    progress: Progress | None = None,
) -> Selection:
    """Find the best similarity and aggregation for a preset's zoo, inverter, γ and size.

    The grid: cosine over every layer of the encoder, CLS and mean of the patches, SSIM and negative
    MSE, each with every aggregation. The most accurate wins; among equals the higher mean
    reciprocal rank, then the earlier in the grid, which begins with the paper's own setting.

    Args:
        preset: a name, or a `Preset`.
        n: prompts of the portion ``selection``; every model makes one picture of each.
        seed: of the draw and the pictures.
        encoder: whose layers are compared; the one of the preset's similarity when left out.
        zoo: another zoo than the preset's.
        store: where everything made is kept; the user's own when left out.
        progress: called with (stage, done, total).

    Raises:
        LookupError: weights or prompts are missing.
        ValueError: n makes no sense, or the preset's similarity has no encoder.
    """
    import pandas as pd

    row = catalogue.preset(preset) if isinstance(preset, str) else preset
    if encoder is None:
        encoder = getattr(catalogue.load(row.similarity, "similarity"), "encoder", None)
        if encoder is None:
            raise ValueError(f"{row.similarity!r} has no encoder whose layers could be compared")
    if store is None:
        store = Store()
    models, images, truth = _pictures(row, "selection", n, seed, zoo, store, progress)
    inverter = catalogue.inverter(row.inverter, row)
    prompts = pipeline.invert(images, inverter, store, progress)
    candidates = pipeline.generate(prompts, models, row.gamma, seed, store, progress)
    ids = [*images["image_id"], *candidates["candidate_id"].dropna()]
    encoders = [*_layers(ids, encoder, store, row.size, progress)]
    rows = []
    for each in [*map(Cosine, encoders), SSIM(), NegativeMSE()]:
        values = pipeline.similarity(images, prompts, candidates, each, store, row.size, progress)
        for aggregate in ranking.AGGREGATIONS:
            scores = ranking.score(values, "a", aggregate, images["image_id"], list(models))
            ranked = ranking.rank(scores)
            outcomes = evaluation.outcomes(ranking.decide(ranked), ranked, truth)
            table = evaluation.metrics(outcomes).query("slice == 'all'").set_index("metric")
            found = table.loc["accuracy"]
            rows.append(
                {
                    "similarity": repr(each),
                    "aggregate": aggregate,
                    "accuracy": found["value"],
                    "low": found["low"],
                    "high": found["high"],
                    "mrr": table.loc["mrr", "value"],
                    "n": int(found["n"]),
                }
            )
    grid = pd.DataFrame(rows).sort_values(
        ["accuracy", "mrr"], ascending=False, kind="stable", ignore_index=True
    )
    best = grid.iloc[0]
    provenance = (
        f"workbench calibrate --select --preset {row.name} --n {n} --seed {seed}: "
        f"{best['accuracy']:.1%} of {best['n']} calibration pictures right, the best of "
        f"{len(grid)} settings; weights {_weights(inverter, encoder, *models.values())}"
    )
    return Selection(row.name, best["similarity"], best["aggregate"], provenance, grid)


def threshold(
    preset: str | Preset = "pocket",
    n: int = 100,
    seed: int = 0,
    *,
    zoo: Any = None,
    store: Store | None = None,
    progress: Progress | None = None,
) -> Threshold:
    """Find the smallest margin at which a preset's attributions are reliable (`ranking.threshold`).

    Args:
        preset: a name, or a `Preset`.
        n: prompts of the portion ``threshold``; every model makes one picture of each.
        seed: of the draw and the pictures.
        zoo: another zoo than the preset's.
        store: where everything made is kept; the user's own when left out.
        progress: called with (stage, done, total).

    Raises:
        LookupError: weights or prompts are missing.
        ValueError: n makes no sense.
    """
    row = catalogue.preset(preset) if isinstance(preset, str) else preset
    if store is None:
        store = Store()
    models, images, truth = _pictures(row, "threshold", n, seed, zoo, store, progress)
    method = Regeneration(
        catalogue.inverter(row.inverter, row),
        catalogue.load(row.similarity, "similarity"),
        aggregate=row.aggregate,
        gamma=row.gamma,
        size=row.size,
    )
    stages = method(images, models, store=store, seed=seed, progress=progress)
    ranked = ranking.rank(stages.scores)
    outcomes = evaluation.outcomes(ranking.decide(ranked), ranked, truth)
    value = ranking.threshold(outcomes["margin"], outcomes["correct"])
    kept = outcomes[outcomes["margin"] >= value]
    provenance = (
        f"workbench calibrate --preset {row.name} --n {n} --seed {seed}: "
        f"accepts {len(kept)} of {len(outcomes)} calibration pictures, "
        f"{int((~kept['correct']).sum())} of them wrong (one-sided 95 % Clopper–Pearson bound at "
        f"most 5 %), for {method!r}; weights {_weights(method, *models.values())}"
    )
    return Threshold(row.name, value, provenance, outcomes)


def _pictures(
    row: Preset,
    portion: str,
    n: int,
    seed: int,
    zoo: Any,
    store: Store,
    progress: Progress | None,
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    """Answer the zoo, fresh calibration pictures and their truth."""
    models = catalogue.zoo(row.zoo if zoo is None else zoo)
    texts = catalogue.draw(catalogue.prompts(row, portion), n, seed)
    return models, *evaluation.queries(texts, models, store, seed, progress)


def _layers(
    ids: list[str], encoder: Any, store: Store, size: int, progress: Progress | None
) -> Iterator[Any]:
    """Encode pictures at every layer, one pass for each pooling; answer an encoder for each."""
    blocks = list(range(1, encoder.depth() + 1))
    poolings = ("cls", "mean") if hasattr(encoder, "pooling") else (None,)
    for place, pooling in enumerate(poolings):
        pooled = encoder if pooling is None else replace(encoder, pooling=pooling)
        layers = [None, *blocks] if place == 0 else blocks  # pooled once, projected once
        pipeline.encode_layers(ids, pooled, layers, store, size, progress)
        yield from (pooled.at(layer) for layer in layers)


def _weights(*plugins: Any) -> str:
    """Name all weights in play by one short digest."""
    return frames.digest(catalogue.weights(*plugins))[:16]
