"""Pictures of none of the candidate models: are they found, and do attribution sets keep word?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from workbench import evaluation, images, ranking
from workbench.evaluation.prompts import scenes
from workbench.experiments import Bench, cells, results
from workbench.experiments._family import chosen, percent, share
from workbench.keys import digest
from workbench.paths import data_folder
from workbench.plugin import Plugin
from workbench.ranking import conformal

if TYPE_CHECKING:
    import pandas as pd


REAL = "real pictures"
REJECTED = "rejected"
POOLED = "rejected at the pooled level"
KNOWN = "known "


@dataclass(frozen=True, repr=False)
class OpenSet(Plugin):
    """Leave each model out in turn, so that its pictures are of an unknown source; and real ones.

    The likeness to the zoo is `conformal.known_p_values`, calibrated on pictures of `calibration`
    prompts. ``AUROC`` tells known from unknown, ``OSCR`` is the area of the open-set classification
    rate, ``rejected`` the share of unknown pictures with p ≤ 5 %, ``known rejected`` that of known
    ones: at most 5 % of every model's own, by the calibration, for which it gives up power. ``…
    at the pooled level``: the same by `conformal.pooled_p_values`, at most 5 % of the models' on
    average; half of the calibration scenes make its statistic, the other half its level.
    ``set coverage`` and ``set size`` are of attribution sets at 90 %, over the whole zoo. `real` is
    a folder of pictures nobody generated: of the data where there is one of that name.

    >>> OpenSet(calibration=20)
    OpenSet(calibration=20)
    """

    calibration: int = 80
    real: str = "world"
    revision: ClassVar[int] = 2

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results``, ``pictures`` by unknown source, ``sets``, and all ``scores``.

        ``scores`` tell by ``portion`` (calibration, evaluation, real) whose they are, with truth
        and prompt; ``quantiles`` holds the one of the sets.
        """
        import pandas as pd

        method = bench.regeneration()
        fitting, learned = bench.pictures("threshold", self.calibration)
        known = bench.run({"preset": method}, fitting, learned)["scores"]
        table, truth = bench.pictures()
        scores = bench.run({"preset": method}, table, truth)["scores"]
        kept = [(known, learned, "calibration"), (scores, truth, "evaluation")]
        judgements = []
        for left_out in bench.zoo:
            rest = [name for name in bench.zoo if name != left_out]
            parts = _without(scores, truth, rest), _without(known, learned, rest)
            inside = truth["truth"].isin(rest)
            judged = _judge(*parts[0], *parts[1], truth[inside], truth[~inside])
            judgements.append(judged.assign(unknown=f"without {left_out}"))
        if (strangers := self._real(bench)) is not None:
            other = bench.run({"preset": method}, *strangers)["scores"]
            both = pd.concat([scores, other], ignore_index=True)
            judged = _judge(both, truth, known, learned, truth, strangers[1])
            judgements.append(judged.assign(unknown=REAL))
            kept.append((other, strangers[1], "real"))
        quantile = conformal.conformal_quantile(known, learned.assign(prompt=scenes(learned)))
        key = ["image_id", "truth", "prompt"]
        frames = {
            "pictures": pd.concat(judgements, ignore_index=True),
            "scores": pd.concat(
                [s.merge(t[key], on="image_id").assign(portion=name) for s, t, name in kept],
                ignore_index=True,
            ),
            "sets": conformal.conformal_sets(scores, quantile).merge(truth[key], on="image_id"),
            "quantiles": pd.DataFrame({"coverage": [conformal.COVERAGE], "quantile": [quantile]}),
        }
        return {"results": self.measure(frames), **frames}

    def measure(self, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Return the results of pictures and sets."""
        rows: list[dict[str, Any]] = []
        for name, judged in frames["pictures"].groupby("unknown", sort=False):
            rows += _measures(str(name), judged)
        sets = frames["sets"]
        truth = sets[["image_id", "truth", "prompt"]].drop_duplicates()
        for row in evaluation.set_metrics(
            sets.drop(columns=["truth", "prompt"]), truth
        ).itertuples():
            at = {"unknown": f"set at 90 %, {row.slice}", "metric": row.metric}
            rows.append({**at, "value": row.value, "low": row.low, "high": row.high, "n": row.n})
        return results(rows)

    def _real(self, bench: Bench) -> tuple[pd.DataFrame, pd.DataFrame] | None:
        """Return images and truth of the real pictures; None where there are none."""
        folder = data_folder() / self.real
        if not self.real or not folder.is_dir():
            return None
        table = images.frame(images.index([folder], keep=bench.store.put_picture))
        known = table[["image_id", "failure"]].assign(truth="real", prompt=table["image_id"])
        return table, known

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw AUROC and OSCR, and the coverage of the sets."""
        from workbench import figures

        figures.resize(figure, 11, 4.2)
        left, right = figure.subplots(1, 2)
        table = frames["results"]
        rates = table[table["metric"].isin(["AUROC", "OSCR", REJECTED, POOLED])]
        title = "Unknown sources"
        figures.curve(rates, x="unknown", line="metric", joined=False, title=title, ax=left)
        sets = table[table["metric"] == "set_coverage"]
        sets = sets.assign(model=sets["unknown"].str.removeprefix("set at 90 %, "))
        title = f"Sets that hold the truth, {conformal.COVERAGE:.0%} promised"
        figures.dots(sets, by="model", title=title, ax=right)
        right.axvline(conformal.COVERAGE, color="0.4", lw=1, ls=(0, (4, 3)), zorder=1)

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """State AUROC and share rejected of every unknown source, and the coverage of the sets."""
        table = frames["results"]
        sources = table.loc[table["metric"] == "AUROC", "unknown"]
        parts = []
        for name in sources:
            area = chosen(table, "AUROC", unknown=name)
            parts.append(
                f"{name} AUROC {area['value']:.2f} ({area['low']:.2f} to {area['high']:.2f}), "
                f"rejected {percent(chosen(table, REJECTED, unknown=name))}, at the pooled level "
                f"{percent(chosen(table, POOLED, unknown=name))} of n = "
                f"{chosen(table, REJECTED, unknown=name)['n']:.0f}"
            )
        last = sources.iloc[-1]
        own, pooled = (chosen(table, KNOWN + kind, unknown=last) for kind in (REJECTED, POOLED))
        sets = table[table["unknown"] == "set at 90 %, all"].set_index("metric")
        held, size = sets.loc["set_coverage"], sets.loc["set_size"]
        return (
            f"Unknown sources: {'; '.join(parts)}; of the known pictures {percent(own)} and at the "
            f"pooled level {percent(pooled)} are rejected (n = {own['n']:.0f}). Attribution sets "
            f"at 90 % hold the true model in {percent(held)} of n = {held['n']:.0f}, with "
            f"{size['value']:.2f} models on average."
        )


def _without(
    scores: pd.DataFrame, truth: pd.DataFrame, rest: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the scores of some models alone, and the truth of their own pictures."""
    return (
        scores[scores["generator"].isin(rest)].reset_index(drop=True),
        truth[truth["truth"].isin(rest)].reset_index(drop=True),
    )


def _judge(
    scores: pd.DataFrame,
    truth: pd.DataFrame,
    fitting: pd.DataFrame,
    learned: pd.DataFrame,
    inside: pd.DataFrame,
    outside: pd.DataFrame,
) -> pd.DataFrame:
    """Return a row for each known and unknown picture: p, and whether its attribution is right."""
    import pandas as pd

    p_values = conformal.known_p_values(scores, conformal.fit_known(fitting, learned))
    p_values["p pooled"] = _pooled(scores, fitting, learned)
    first = ranking.decide(ranking.rank(scores))[["image_id", "predicted"]]
    judged = pd.concat([inside.assign(known=True), outside.assign(known=False)], ignore_index=True)
    judged = judged[["image_id", "truth", "prompt", "known"]]
    judged = judged.merge(p_values, on="image_id", how="left").merge(
        first, on="image_id", how="left"
    )
    return judged.assign(
        correct=(judged["predicted"] == judged["truth"]).fillna(False).astype(bool)
    )


def _pooled(scores: pd.DataFrame, fitting: pd.DataFrame, learned: pd.DataFrame) -> np.ndarray:
    """Return the pooled p of each image of the scores, in the order of `known_p_values`."""
    places = np.array(scenes(learned))
    first = np.isin(places, sorted(set(places), key=digest)[::2])
    known = conformal.fit_known(fitting, learned[first])
    level = learned[~first][["image_id", "prompt"]]
    level = level.merge(conformal.known_p_values(fitting, known), on="image_id").dropna()
    values = conformal.known_p_values(scores, known)["p"]
    return conformal.pooled_p_values(values, level["p"], scenes(level))


def _measures(name: str, table: pd.DataFrame) -> list[dict[str, Any]]:
    """Measure one unknown source."""
    known, places = table["known"].to_numpy(bool), scenes(table)
    right = table["correct"].to_numpy(bool)
    areas = {
        "AUROC": evaluation.area_interval(table["p"], known, places),
        "OSCR": evaluation.area_interval(table["p"], known, places, right),
    }
    table = table.assign(
        **{kind: table[p] <= conformal.ALPHA for kind, p in ((REJECTED, "p"), (POOLED, "p pooled"))}
    )
    shares = {
        prefix + kind: share(table[part], kind)
        for kind in (REJECTED, POOLED)
        for prefix, part in (("", ~known), (KNOWN, known))
    }
    return [
        {"unknown": name, "metric": metric, **cells(interval)}
        for metric, interval in (areas | shares).items()
    ]
