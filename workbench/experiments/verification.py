"""Did this model make it? How well one model's own pictures are told from others, by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from workbench import pipeline
from workbench.attribution.verification import PORTION, by_candidates, weighed
from workbench.evaluation import gallery as galleries
from workbench.evaluation.likelihood import cllr
from workbench.evaluation.openset import area_interval
from workbench.evaluation.prompts import scenes
from workbench.evaluation.statistics import Interval, influence_interval
from workbench.experiments import Bench, cells, results
from workbench.experiments._family import share
from workbench.experiments.gallery import collect, encoder_of
from workbench.plugin import Plugin
from workbench.ranking import oneclass

if TYPE_CHECKING:
    import pandas as pd

ENCODER = 'Timm("efficientnet-lite0", layer=3, pooling="moments")'
"""Of a gallery where none is named: the layer that a prototype found before, on like pictures."""


@dataclass(frozen=True, repr=False)
class Verification(Plugin):
    """Ask of every picture and model whether the model made it, as `workbench verify` does.

    Of each model, by each one-class score: ``AUROC`` of its own pictures against those of the
    others; at each level of `alphas` ``false alarms``, pictures of others with p("another made it")
    at most so much, which calls them the model's; ``false rejections``, its own with p("it made
    this") at most so much; either is at most the level on average where pictures are exchangeable.
    ``recognised`` is the share of its own with p("another made it") at most so much, and ``Cllr``
    the cost of the likelihood ratios in bits (1: they say nothing). With fewer than 1 / level − 1
    calibration prompts nothing is called at a level.

    The bench's zoo draws the pictures, the γ candidates of their inverted prompts, and what
    calibrates: pictures of `calibration` other prompts. With `data`, a gallery in any layout of
    `Archive`, the candidates of a picture are up to `gamma` others of its prompt, and pictures of
    all other prompts calibrate (leave-one-prompt-out, the covariance too).

    >>> Verification(calibration=20)
    Verification(calibration=20)
    """

    calibration: int = 40
    alphas: tuple[float, ...] = (0.05, 0.1)
    data: str = ""
    layout: str = ""
    encoder: str = ""
    models: tuple[str, ...] = ()
    gamma: int = 4
    size: int = 256
    revision: ClassVar[int] = 1

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results`` and ``pictures``: scores, p-values and ratios of each and model."""
        import pandas as pd

        pictures = pd.concat(self._gallery(bench) if self.data else self._drawn(bench))
        frames = {"pictures": pictures.reset_index(drop=True)}
        return {"results": self.measure(frames), **frames}

    def measure(self, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Return the results from ``pictures``."""
        pictures = frames["pictures"]
        rows: list[dict[str, Any]] = []
        for (score, model), part in pictures.groupby(["score", "model"], sort=False):
            values, own = part["value"], part["truth"] == part["model"]
            area = area_interval(values, own, scenes(part))
            costs = _cost(part["log10_lr"].to_numpy(float), own.to_numpy(bool), scenes(part))
            at = {"score": score, "model": model}
            rows.append({**at, "metric": "AUROC"} | cells(area))
            rows += [{**at, "metric": name} | cells(rate) for name, rate in self._rates(part)]
            rows.append({**at, "metric": "Cllr"} | cells(costs))
        for score, part in pictures.groupby("score", sort=False):
            at = {"score": score, "model": "all"}
            rows += [{**at, "metric": name} | cells(rate) for name, rate in self._rates(part)]
        return results(rows)

    def plugins(self, bench: Bench) -> list[Any]:
        """Name what the results depend on: the encoder, and what the bench draws with."""
        if self.data:
            return [self._encoder(bench)]
        return [bench.inverter, bench.similarity, *bench.zoo.values()]

    def _encoder(self, bench: Bench) -> Any:
        return encoder_of(replace(self, encoder=self.encoder or ENCODER), bench)

    def _drawn(self, bench: Bench) -> Iterator[pd.DataFrame]:
        """Weigh pictures of the bench's zoo, model by model, on the way of `verify`."""
        known, _ = bench.pictures(PORTION, self.calibration)
        table, truth = bench.pictures()
        pictures = truth.drop_duplicates("image_id")[["image_id", "truth", "prompt"]]
        scores = oneclass.SCORES if bench.setting.gamma > 1 else oneclass.SCORES[:1]
        for model in bench.zoo:
            progress = bench.under(model)
            compared = by_candidates([known, table], bench.setting, model, bench.store, progress)
            own = (known["source"] == model).to_numpy(bool)
            for score in scores:
                outcomes = weighed(table, known, own, compared, score)
                outcomes = outcomes.rename(columns={"score": "value"}).drop(columns="failure")
                yield pictures.merge(outcomes, on="image_id").assign(model=model, score=score)

    def _gallery(self, bench: Bench) -> Iterator[pd.DataFrame]:
        """Weigh pictures that somebody made, each calibrated on those of all other prompts."""
        import pandas as pd

        gallery, size = collect(self, bench)
        table, names = gallery.pictures, gallery.models
        encoder, progress = self._encoder(bench), bench.under("gallery")
        features = pipeline.encode(
            table["image_id"], encoder, bench.store, size, progress, gallery.load
        ).matrix.astype(np.float64)
        chosen = galleries.choose(table, names, self.gamma, bench.seed)
        truth, prompt = (table[name].to_numpy(str) for name in ("generator", "prompt"))
        for place, model in enumerate(names):
            sets = [features[row[row >= 0]] for row in chosen[:, place]]
            own = truth == model
            for score in oneclass.SCORES:
                rows = np.full((len(table), 4), np.nan)
                for left in np.unique(prompt):
                    rows[prompt == left] = _left_out(features, sets, own, prompt, left, score)
                columns = ["value", "p_made", "p_other", "log10_lr"]
                weights = pd.DataFrame(rows, columns=columns)
                base = table[["image_id", "prompt"]].assign(truth=truth, model=model, score=score)
                yield pd.concat([base.reset_index(drop=True), weights], axis=1)

    def _rates(self, part: pd.DataFrame) -> Iterator[tuple[str, Interval]]:
        """Measure how often a p-value is at most each level, with the name of that."""
        own = part["truth"] == part["model"]
        for alpha in self.alphas:
            for name, column, rows in (
                ("false alarms", "p_other", ~own),
                ("false rejections", "p_made", own),
                ("recognised", "p_other", own),
            ):
                hit = part[rows].assign(hit=part[column] <= alpha)
                yield f"{name} at {alpha:.0%}", share(hit, "hit")

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw AUROC and the rates of each model by the nearest candidate."""
        from workbench import figures

        table = frames["results"]
        near = table[table["score"] == oneclass.SCORES[0]]
        figures.resize(figure, 11, 0.3 * near["model"].nunique() + 1.8)
        left, middle, right = figure.subplots(1, 3)
        last = f"at {max(self.alphas):.0%}"
        metrics = ("AUROC", f"false alarms {last}", f"recognised {last}")
        for ax, metric in zip((left, middle, right), metrics, strict=True):
            own = near[near["metric"] == metric]
            title = metric[:1].upper() + metric[1:]
            area = metric == "AUROC"
            chance = 0.5 if area else None
            figures.dots(own, by="model", title=title, chance=chance, percent=not area, ax=ax)

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """State the AUROC of each model, and the rates over all of them."""
        table = frames["results"].set_index(["score", "model", "metric"])
        parts = []
        for score in dict.fromkeys(table.index.get_level_values("score")):
            part = table.loc[score]
            areas = part.xs("AUROC", level="metric")
            listed = [
                f"{name} {row.value:.2f} ({row.low:.2f} to {row.high:.2f})"
                for name, row in areas.iterrows()
            ]
            rates = [
                f"{metric} {row.value:.1%} ({row.low:.1%} to {row.high:.1%}, n = {row.n:.0f})"
                for metric, row in part.loc["all"].iterrows()
            ]
            parts.append(
                f"By {score}: AUROC {', '.join(listed)}; over all models {', '.join(rates)}"
            )
        return f"{'. '.join(parts)}."


def _cost(ratios: np.ndarray, own: np.ndarray, places: list[str]) -> Interval:
    """Estimate the Cllr of log10 ratios; pictures without one are left out."""
    kept = ~np.isnan(ratios)
    values, same = ratios[kept], own[kept]
    costs = np.log2(1 + 10.0 ** np.where(same, -values, values))
    means = [costs[same].mean(), costs[~same].mean()]
    counts = [same.sum(), (~same).sum()]
    influence = (costs - np.where(same, *means)) / np.where(same, *counts) / 2
    value, several = cllr(values, same), np.array(places)[kept]
    return influence_interval(value, influence, several, (0.0, float(max(costs.max(), 1))))


def _left_out(
    features: np.ndarray,
    sets: list[np.ndarray],
    own: np.ndarray,
    prompt: np.ndarray,
    left: str,
    score: str,
) -> np.ndarray:
    """Weigh the pictures of one prompt by those of all others: (n, 4), as `_gallery` names them."""
    inside = prompt == left
    value = np.full(len(features), np.nan)
    for each in np.unique(prompt):
        rows = prompt == each
        tests, some = features[rows], [sets[i] for i in np.flatnonzero(rows)]
        if score == "nearest":
            value[rows] = oneclass.nearest(tests, some)
        else:  # each without its own prompt, and all without the one that is left out
            rest = [sets[i] for i in np.flatnonzero(~rows & ~inside)]
            value[rows] = oneclass.mahalanobis(tests, some, oneclass.within(rest))
    same, other = own & ~inside, ~own & ~inside
    weights = oneclass.weigh(value[same], value[other], prompt[same], prompt[other])
    mine = value[inside]
    return np.stack(
        [
            mine,
            oneclass.p_values(mine, value[same], prompt[same]),
            oneclass.p_values(-mine, -value[other], prompt[other]),
            weights(mine),
        ],
        axis=1,
    )
