"""What a score is worth as evidence, and whether sets and errors keep their word under attack."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from workbench import catalogue, ranking
from workbench.attribution import validity
from workbench.evaluation import likelihood
from workbench.evaluation.prompts import found as words_of
from workbench.evaluation.prompts import scenes, slots
from workbench.evaluation.statistics import accuracy_interval, mean_interval
from workbench.experiments import Bench, cells, results
from workbench.plugin import Plugin
from workbench.ranking import conformal
from workbench.ranking.confidence import calls, fit_confidence

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Calibration(Plugin):
    """Turn scores into likelihood ratios and sets, and measure both on pictures of other prompts.

    Everything is fitted on untouched pictures of `calibration` prompts: the probabilities
    (`ranking.confidence`), which state equal priors, and the quantile of attribution sets at 90 %.
    Then it is measured on evaluation pictures, untouched and under `attack` at rising
    `intensities`; nothing is fitted again for those.

    ``Cllr`` is the cost of the ratios of each candidate model against the others, in bits (1 is
    worth nothing), its interval over scenes; ``minimum Cllr`` what they would cost had they been
    calibrated with the answers, and so has none. ``true model below 1`` and ``other models above
    1`` are the shares of misleading ratios, ``error rate`` that of wrong best models: by model, by
    the medium and the number of objects that the prompt names, and by attack. ``set coverage`` and
    ``set size`` are of the sets. With fewer candidates a model (`gammas`), and averaged over all
    smaller zoos (``K = 2`` …), all of it is fitted again.

    The frame ``pictures`` holds each picture's call, confidence, set and what it was sorted by,
    ``ratios`` each likelihood ratio, ``fewer`` those with fewer candidates a model and in smaller
    zoos, and ``errors`` the counts in each cell of model × medium × objects × attack.

    >>> Calibration(gammas=(1, 4))
    Calibration(gammas=(1, 4))
    """

    calibration: int = 100
    attack: str = "jpeg"
    intensities: tuple[float, ...] = (10, 30, 50)
    gammas: tuple[int, ...] = (1, 2, 4, 8)
    revision: ClassVar[int] = 1

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results``, ``pictures``, ``ratios``, ``fewer`` and ``errors``."""
        import pandas as pd

        method = bench.regeneration(gamma=max(*self.gammas, bench.setting.gamma))
        learned = bench.run({"fit": method}, *bench.pictures("threshold", self.calibration))
        attacks = [
            catalogue.load(self.attack, "attack", intensity=level) for level in self.intensities
        ]
        seen = bench.run({"judge": method}, *bench.pictures(), attacks=attacks)
        own = bench.setting.gamma
        fitting, judged = (
            _part(each, self.attack, method.aggregate, bench.zoo) for each in (learned, seen)
        )
        pictures, ratios = _judge(fitting, judged, own)
        pictures = _sorted_by(pictures, bench)
        plain, whole = replace(judged, truth=_untouched(judged.truth)), tuple(bench.zoo)
        trials = [(f"γ = {gamma}", whole, gamma) for gamma in self.gammas]
        for size in range(2, len(whole)):
            trials += [(f"K = {size}", few, own) for few in itertools.combinations(whole, size)]
        fewer = [
            _judge(fitting.among(few), plain.among(few), gamma)[1].assign(
                part=part, zoo=" + ".join(few)
            )
            for part, few, gamma in trials
        ]
        keys = ["part", "model", "medium", "objects"]
        errors = pictures.assign(wrong=~pictures["correct"]).groupby(keys, as_index=False)
        frames = {
            "pictures": pictures,
            "ratios": ratios,
            "fewer": pd.concat(fewer, ignore_index=True),
            "errors": pd.DataFrame(errors.agg(n=("wrong", "size"), wrong=("wrong", "sum"))),
        }
        return {"results": self.measure(frames), **frames}

    def measure(self, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Return the results from ``pictures``, ``ratios`` and ``fewer``."""
        pictures, ratios = frames["pictures"], frames["ratios"]
        rows: list[dict[str, Any]] = []
        for part, some in pictures.groupby("part", sort=False):
            rows += _measures(part, some, ratios[ratios["part"] == part])
        for key in ("model", "medium", "objects"):
            for name, some in _untouched(pictures).groupby(key):
                rows.append(_row(f"{key} {name}", "error rate", _share(some, ~some["correct"])))
        for part, trials in frames["fewer"].groupby("part", sort=False):
            rows += _costs(part, [each for _, each in trials.groupby("zoo", sort=False)])
        return results(rows)

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw the likelihood ratios of both kinds (Tippett), and the reliability of calls."""
        from workbench import figures

        figures.resize(figure, 11.5, 4.8)
        left, right = figure.subplots(1, 2)
        ratios = frames["ratios"]
        figures.tippett(ratios[ratios["part"] == validity.UNTOUCHED], ax=left)
        figures.reliability(frames["pictures"], line="part", bins=5, ax=right)

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """Return what the ratios cost, how often they mislead, and what the sets hold."""
        return validity.sentence(frames["results"])


@dataclass(frozen=True)
class _Part:
    """The similarities of pictures and the truth about them, for scores at any γ."""

    truth: pd.DataFrame
    similarities: pd.DataFrame
    aggregate: str
    models: tuple[str, ...]

    def among(self, models: tuple[str, ...]) -> _Part:
        """Return the same of some models alone: their pictures, and them as candidates."""
        own = self.truth[self.truth["truth"].isin(models)].reset_index(drop=True)
        return replace(self, truth=own, models=models)

    def scores(self, gamma: int) -> pd.DataFrame:
        """Aggregate the first γ candidates of each model."""
        table = self.similarities[self.similarities["index"] < gamma]
        names = self.truth["image_id"].unique()
        return ranking.score(table, f"γ = {gamma}", self.aggregate, names, list(self.models))


def _part(
    frames: Mapping[str, pd.DataFrame], attack: str, aggregate: str, zoo: Mapping[str, Any]
) -> _Part:
    """Return a part of what a bench answered; ``part`` names the attack and its intensity."""
    outcomes = frames["outcomes"]
    levels = attack + " " + outcomes["intensity"].map("{:g}".format)
    names = levels.mask(outcomes["attack"] == "none", validity.UNTOUCHED)
    truth = outcomes[["image_id", "truth", "prompt"]].assign(part=names)
    return _Part(truth, frames["similarities"], aggregate, tuple(zoo))


def _untouched(truth: pd.DataFrame) -> pd.DataFrame:
    return truth[truth["part"] == validity.UNTOUCHED].reset_index(drop=True)


def _judge(learned: _Part, seen: _Part, gamma: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fit on one part and judge the other: a row a picture, and a row a likelihood ratio."""
    import pandas as pd

    fitting, scores = learned.scores(gamma), seen.scores(gamma)
    confidence = fit_confidence(fitting, learned.truth)
    quantile = conformal.conformal_quantile(fitting, learned.truth)
    sets = conformal.conformal_sets(scores, quantile)
    size = sets.groupby("image_id")["included"].sum().rename("size")
    held = sets[sets["included"]].groupby("image_id")["generator"].agg(set)
    probabilities = confidence(scores)
    table = seen.truth.merge(calls(probabilities), "left", "image_id").merge(
        size, "left", left_on="image_id", right_index=True
    )
    table["correct"] = (table["called"] == table["truth"]).fillna(False).astype(bool)
    pairs = zip(table["image_id"], table["truth"], strict=True)
    table["held"] = [truth in held.get(name, ()) for name, truth in pairs]
    trials = [
        likelihood.ratios(probabilities, truth).assign(part=part)
        for part, truth in seen.truth.groupby("part", sort=False)
    ]
    return table, pd.concat(trials, ignore_index=True)


def _sorted_by(pictures: pd.DataFrame, bench: Bench) -> pd.DataFrame:
    """Add model, medium and number of objects: what the prompt names of them."""
    known = slots(bench.preset)
    media = [words_of(text, known.get("medium", [])) for text in pictures["prompt"]]
    objects = [len(words_of(text, known.get("object", []))) for text in pictures["prompt"]]
    return pictures.assign(
        model=pictures["truth"],
        medium=[each[0] if each else "not named" for each in media],
        objects=objects,
    )


def _measures(part: str, pictures: pd.DataFrame, ratios: pd.DataFrame) -> list[dict[str, Any]]:
    """Measure the pictures of one condition."""
    size = mean_interval(
        pictures["size"].fillna(0), scenes(pictures), (0.0, float(max(pictures["size"].max(), 1)))
    )
    return [
        *_costs(part, [ratios]),
        _row(part, "error rate", _share(pictures, ~pictures["correct"])),
        _row(part, "set coverage", _share(pictures, pictures["held"])),
        _row(part, "set size", size),
    ]


def _costs(part: str, several: list[pd.DataFrame]) -> list[dict[str, Any]]:
    """Measure likelihood ratios, averaged over several zoos where there are several.

    A picture has one ratio of its own model and one of each other, so that Cllr is the mean of what
    single pictures cost: ½ log2(1 + 1 / LR) and half the mean of log2(1 + LR) of the others.
    """
    import pandas as pd

    table = pd.concat([each.assign(zoo=place) for place, each in enumerate(several)])
    signed = np.where(table["same"], -table["log10_lr"], table["log10_lr"]) * np.log(10)
    table = table.assign(cost=np.logaddexp(0, signed) / np.log(2))
    keys = ["zoo", "image_id", "prompt", "same"]
    cost = table.groupby(keys, as_index=False)["cost"].mean()
    cost = cost.groupby(keys[:3], as_index=False)["cost"].mean()
    reach = (0.0, float(max(cost["cost"].max(), 1.0)))
    minima = [likelihood.minimum_cllr(each["log10_lr"], each["same"]) for each in several]
    own, others = table[table["same"]], table[~table["same"]]
    alone = {"low": None, "high": None, "n": len(cost)}
    return [
        _row(part, "Cllr", mean_interval(cost["cost"], scenes(cost), reach)),
        {"part": part, "metric": "minimum Cllr", "value": float(np.mean(minima))} | alone,
        _row(part, "true model below 1", _share(own, own["log10_lr"] < 0)),
        _row(part, "other models above 1", _share(others, others["log10_lr"] > 0)),
    ]


def _share(table: pd.DataFrame, right: pd.Series[Any]) -> Any:
    return accuracy_interval(right.to_numpy(dtype=float), scenes(table))


def _row(part: str, metric: str, interval: Any) -> dict[str, Any]:
    return {"part": part, "metric": metric, **cells(interval)}
