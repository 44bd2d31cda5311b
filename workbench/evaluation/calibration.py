"""Choose a setting and its threshold on calibration pictures, never on evaluation pictures.

`select` compares layer × aggregation × similarity with the preset's inverter, and `fit` lets an
attributor learn what it has to; `threshold` finds the smallest reliable margin of a preset, the
quantile of its attribution sets and what its models' own pictures score. The threshold takes other
calibration prompts than these two, and none shares one with the reference bank
(`presets.PORTIONS`). The command ``workbench calibrate`` prints what `select` or `threshold`
found as lines for presets.toml.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from workbench import catalogue, pipeline, ranking
from workbench.attribution.deciding import extras
from workbench.attribution.fitting import calibration_pictures, fit
from workbench.attributors.regeneration import Regeneration
from workbench.catalogue.presets import Preset
from workbench.catalogue.setting import Setting, settle
from workbench.evaluation import metrics
from workbench.evaluation.prompts import scenes
from workbench.evaluation.statistics import accuracy_interval
from workbench.keys import digest
from workbench.pipeline.progress import Progress
from workbench.plugin import Fitted
from workbench.ranking import conformal
from workbench.ranking.confidence import Confidence, calls, cross_fit, fit_confidence
from workbench.ranking.fixed_sequence import ERROR, START, enough
from workbench.similarities.cosine import Cosine
from workbench.similarities.mse import NegativeMSE
from workbench.similarities.ssim import SSIM
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Selection:
    """The best setting, and the whole grid it was chosen from.

    ``grid``: similarity, aggregate, accuracy with low and high (95 %, over scenes), mrr, n; best
    first. Many settings were compared, so the best one's accuracy here is optimistic.
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
    """Thresholds of a preset fitted on calibration pictures, and their provenance.

    ``value``: the threshold of the margin. ``conformal``: the quantile of the attribution sets.
    ``known``: the scores of each model's own pictures. ``confidence``: the probability of each
    model, with the threshold that decides. ``advice``: where nothing is ever called, how far from
    it these pictures are, and whether more prompts would help.
    """

    preset: str
    value: float
    conformal: float
    known: Fitted
    provenance: str
    outcomes: pd.DataFrame = field(repr=False)
    confidence: Confidence | None = None
    advice: str = ""

    def toml(self) -> str:
        """Write the lines for presets.toml; calibration scores have 6 significant digits.

        >>> known = conformal.known({"a": [0.5, 0.25]})
        >>> print(Threshold("x", float("inf"), 0.125, known, "a test", None).toml())
        [presets.x]
        threshold = "inf"
        threshold_from = "a test"
        conformal = 0.125
        known."a" = [0.25, 0.5]
        <BLANKLINE>
        """
        lines = [
            f"[presets.{self.preset}]",
            f"threshold = {_number(self.value)}",
            f"threshold_from = {json.dumps(self.provenance, ensure_ascii=False)}",
            f"conformal = {_number(self.conformal)}",
            *(
                f"known.{json.dumps(name)} = [{', '.join(f'{x:.6g}' for x in scores)}]"
                for name, scores in self.known.arrays.items()
            ),
        ]
        learned = "" if self.confidence is None else self.confidence.toml()
        return "\n".join(lines) + "\n" + learned


def select(
    setting: str | Preset | Setting = "pocket",
    n: int = 100,
    seed: int = 0,
    *,
    encoder: Any = None,
    attack: Any = None,
    store: Store | None = None,
    progress: Progress | None = None,
) -> Selection:
    """Return the best similarity and aggregation for a preset's zoo, inverter, γ and size.

    The grid: cosine over every layer of the encoder, CLS and mean of the patches, SSIM and negative
    MSE, each with every aggregation. The most accurate wins; among equals the higher mean
    reciprocal rank, then the earlier in the grid, which begins with the paper's own setting.

    Args:
        setting: a preset, or what it was settled into (`catalogue.settle`).
        n: prompts of the portion ``selection``; every model makes one picture of each.
        seed: of the draw and the pictures.
        encoder: whose layers are compared; the one of the preset's similarity when left out.
        attack: an Attack done to every calibration picture first: the setting is then the most
            accurate under it.
        store: where everything made is kept; the user's own when left out.
        progress: called with (stage, done, total).

    Raises:
        LookupError: weights or prompts are missing.
        ValueError: n makes no sense, or the preset's similarity has no encoder.
    """
    setting = settle(setting)
    row, zoo = setting.preset, setting.zoo
    if encoder is None:
        encoder = getattr(setting.similarity, "encoder", None)
        if encoder is None:
            raise ValueError(f"{row.similarity!r} has no encoder whose layers could be compared")
    if store is None:
        store = Store()
    images, truth = calibration_pictures(setting, "selection", n, seed, store, progress)
    if attack is not None:
        images, truth = pipeline.attacked_queries(images, truth, attack, store, seed, progress)
    method = setting.regeneration(similarity=Cosine(encoder), aggregate="mean")
    table = compare(grid(method, encoder, zoo, images, truth, store, seed, progress))
    best = table.iloc[0]
    under = "" if attack is None else f" --attack '{attack!r}'"
    provenance = (
        f"workbench calibrate --select{under} --preset {row.name} --n {n} --seed {seed}: "
        f"{best['accuracy']:.1%} of {best['n']} calibration pictures right, the highest of "
        f"{len(table)} settings; weights {_weights(setting.inverter, encoder, *zoo.values())}"
    )
    return Selection(row.name, best["similarity"], best["aggregate"], provenance, table)


def grid(
    method: Regeneration,
    encoder: Any,
    zoo: Mapping[str, Any],
    images: pd.DataFrame,
    truth: pd.DataFrame,
    store: Store,
    seed: int = 0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Attribute the same images with every similarity and aggregation of the grid (`select`).

    Args:
        method: whose inverter, γ and size are taken.
        encoder: whose layers are compared.
        zoo: name → Generator.
        images: frame of that name.
        truth: as of `pipeline.make_queries`.
        store: where everything made is kept.
        seed: of the candidates.
        progress: called with (stage, done, total).

    Returns:
        outcomes frame with the columns ``similarity`` and ``aggregate`` before it, the paper's own
        setting (projected embedding, mean) first.
    """
    import pandas as pd

    prompts = pipeline.invert(images, method.inverter, store, progress)
    candidates = pipeline.generate(prompts, zoo, method.gamma, seed, store, progress)
    ids = [*images["image_id"], *candidates["candidate_id"].dropna()]
    encoders = [*_layers(ids, encoder, store, method.size, progress)]
    tables = []
    for similarity in [*map(Cosine, encoders), SSIM(), NegativeMSE()]:
        values = pipeline.similarity(
            images, prompts, candidates, similarity, store, method.size, progress
        )
        for aggregate in ranking.AGGREGATIONS:
            name = f"{similarity!r}, {aggregate}"
            scores = ranking.score(values, name, aggregate, images["image_id"], list(zoo))
            ranked = ranking.rank(scores)
            outcomes = metrics.outcomes(ranking.decide(ranked), ranked, truth)
            outcomes.insert(0, "similarity", repr(similarity))
            outcomes.insert(1, "aggregate", aggregate)
            tables.append(outcomes)
    return pd.concat(tables, ignore_index=True)


def compare(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracy of every setting of a `grid`, best first.

    Returns:
        similarity, aggregate, accuracy with low and high (95 %, over scenes), mrr, n; sorted by
        accuracy, then mean reciprocal rank, then the order of the grid.
    """
    import pandas as pd

    rows = []
    for (similarity, aggregate), part in outcomes.groupby(["similarity", "aggregate"], sort=False):
        accuracy = accuracy_interval(part["correct"], scenes(part))
        rows.append(
            {
                "similarity": similarity,
                "aggregate": aggregate,
                "accuracy": accuracy.value,
                "low": accuracy.low,
                "high": accuracy.high,
                "mrr": (1 / part["rank_of_truth"]).fillna(0.0).mean(),
                "n": accuracy.n,
            }
        )
    return pd.DataFrame(rows).sort_values(
        ["accuracy", "mrr"], ascending=False, kind="stable", ignore_index=True
    )


def threshold(
    setting: str | Preset | Setting = "pocket",
    n: int = 100,
    seed: int = 0,
    *,
    store: Store | None = None,
    progress: Progress | None = None,
) -> Threshold:
    """Fit the thresholds of a preset's decisions, all on the same calibration pictures.

    The probability of each model and the smallest at which its calls are reliable
    (`ranking.fit_confidence`), the smallest such margin (`ranking.threshold`), the quantile of its
    attribution sets, and the scores of each model's own pictures (`ranking.conformal`). Each keeps
    its promise by itself.

    Args:
        setting: a preset, or what it was settled into (`catalogue.settle`).
        n: prompts of the portion ``threshold``; every model makes one picture of each.
        seed: of the draw and the pictures.
        store: where everything made is kept; the user's own when left out.
        progress: called with (stage, done, total).

    Raises:
        LookupError: weights or prompts are missing.
        ValueError: n makes no sense.
    """
    setting = settle(setting)
    if store is None:
        store = Store()
    images, truth = calibration_pictures(setting, "threshold", n, seed, store, progress)
    method = fit(setting.regeneration(), setting, seed, store, progress)
    setting = replace(setting, attributor=method)
    stages = method(images, setting.zoo, store=store, seed=seed, progress=progress)
    ranked = ranking.rank(stages.scores)
    attributions = ranking.decide(ranked)
    outcomes = metrics.outcomes(attributions, ranked, truth)
    value = ranking.threshold(outcomes["margin"], outcomes["correct"], scenes(outcomes))
    more = extras(setting, images, stages, attributions, store, progress)
    truth = truth.assign(prompt=scenes(truth))  # what counts as one, whichever way it is drawn
    learned = fit_confidence(stages.scores, truth, more, seed=seed)
    sure = cross_fit(stages.scores, truth, more, seed=seed)
    judged = calls(sure).merge(outcomes[["image_id", "correct"]], on="image_id")
    accepted = learned.accept(sure)[["image_id", "accepted"]]
    called = outcomes.drop(columns="accepted").merge(accepted, on="image_id")
    called = called[called["accepted"]]
    provenance = (
        f"workbench calibrate --preset {setting.preset.name} --n {n} --seed {seed}: "
        f"accepts {len(called)} of {len(outcomes)} calibration pictures, "
        f"{int((~called['correct']).sum())} of them wrong (probabilities by folds of other "
        "prompts; "
        f"fixed-sequence testing over scenes: at most 5 % with one-sided 95 % confidence), "
        f"for {method!r}; weights {_weights(method, *setting.zoo.values())}"
    )
    return Threshold(
        setting.preset.name,
        value,
        conformal.conformal_quantile(stages.scores, truth),
        conformal.fit_known(stages.scores, truth),
        provenance,
        outcomes,
        learned,
        "" if len(called) else advice(judged["confidence"], judged["correct"], n),
    )


def advice(confidence: pd.Series, correct: pd.Series, n: int) -> str:
    """Tell how many prompts would let the surest quarter of the pictures be called.

    Args:
        confidence: of each calibration picture, by a `Confidence` of other prompts.
        correct: whether the model called is the true one.
        n: prompts that these pictures are of.

    >>> import pandas as pd
    >>> sure = pd.Series([0.9] * 10 + [0.5] * 30)
    >>> print(advice(sure, sure > 0.5, 10).partition("; ")[2])
    if it stays so, some 59 prompts (--n 59) may do.
    """
    order = confidence.to_numpy().argsort(kind="stable")[::-1]
    surest = order[: max(1, round(START * len(order)))]
    wrong = int((~correct.to_numpy(dtype=bool))[surest].sum())
    pictures = enough(wrong / len(surest))
    if pictures == float("inf"):
        then = "more prompts would not change that, better models or another setting may"
    else:
        prompts = max(n + 1, math.ceil(n * pictures / len(surest)))
        then = f"if it stays so, some {prompts} prompts (--n {prompts}) may do"
    return (
        f"Nothing is ever called with these lines: of the {len(surest)} surest of {len(order)} "
        f"calibration pictures {wrong} are wrong, and with 95 % confidence at most {ERROR:.0%} of "
        f"what is called may be; {then}."
    )


def _layers(
    ids: list[str], encoder: Any, store: Store, size: int, progress: Progress | None
) -> Iterator[Any]:
    """Encode pictures at every layer, one pass for each pooling; return an encoder for each."""
    blocks = list(range(1, encoder.depth() + 1))
    poolings = ("cls", "mean") if hasattr(encoder, "pooling") else (None,)
    for place, pooling in enumerate(poolings):
        pooled = encoder if pooling is None else replace(encoder, pooling=pooling)
        layers = [None, *blocks] if place == 0 else blocks  # pooled once, projected once
        pipeline.encode_layers(ids, pooled, layers, store, size, progress)
        yield from (pooled.at(layer) for layer in layers)


def _number(value: float) -> str:
    return '"inf"' if value == float("inf") else repr(value)


def _weights(*plugins: Any) -> str:
    """Return one short digest of all weights of a setting."""
    return digest(catalogue.weights(*plugins))[:16]
