"""Pictures of none of the candidate models: are they found, and do attribution sets keep word?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from workbench import evaluation, images, ranking
from workbench.evaluation.statistics import bootstrap_interval, bootstrap_statistic
from workbench.experiments import Bench, cells, results
from workbench.paths import data_folder
from workbench.plugin import Plugin
from workbench.ranking import conformal

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class OpenSet(Plugin):
    """Leave each model out in turn, so that its pictures are of an unknown source; and real ones.

    The likeness to the zoo is `conformal.known_p_values`, calibrated on pictures of `calibration`
    prompts. ``AUROC`` tells known from unknown, ``OSCR`` is the area of the open-set classification
    rate, ``rejected`` the share of unknown pictures with p ≤ 5 %, ``known rejected`` that of known
    ones (at most 5 % by the calibration). ``set coverage`` and ``set size`` are of attribution sets
    at 90 %, over the whole zoo. `real` is a folder of pictures nobody generated: of the data where
    there is one of that name.

    >>> OpenSet(calibration=20)
    OpenSet(calibration=20)
    """

    calibration: int = 40
    real: str = "world"
    revision: ClassVar[int] = 1

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results`` and ``pictures``: p of every picture by unknown source."""
        import pandas as pd

        method = bench.regeneration()
        fitting, learned = bench.pictures("threshold", self.calibration)
        known_scores = bench.run({"preset": method}, fitting, learned)["scores"]
        table, truth = bench.pictures()
        scores = bench.run({"preset": method}, table, truth)["scores"]
        rows: list[dict[str, Any]] = []
        kept = []
        for left_out in bench.zoo:
            rest = [name for name in bench.zoo if name != left_out]
            parts = _without(scores, truth, rest), _without(known_scores, learned, rest)
            inside = truth["truth"].isin(rest)
            found = _judge(*parts[0], *parts[1], truth[inside], truth[~inside])
            rows += _measures(f"without {left_out}", found)
            kept.append(found.assign(unknown=left_out))
        if (strangers := self._real(bench)) is not None:
            other = bench.run({"preset": method}, *strangers)["scores"]
            both = pd.concat([scores, other], ignore_index=True)
            found = _judge(both, truth, known_scores, learned, truth, strangers[1])
            rows += _measures("real pictures", found)
            kept.append(found.assign(unknown="real pictures"))
        quantile = conformal.conformal_quantile(known_scores, learned)
        sets = evaluation.set_metrics(conformal.conformal_sets(scores, quantile), truth)
        for row in sets.itertuples():
            at = {"unknown": f"set at 90 %, {row.slice}", "metric": row.metric}
            told = {"value": row.value, "low": row.low, "high": row.high, "n": row.n}
            rows.append(at | told)
        return {"results": results(rows), "pictures": pd.concat(kept, ignore_index=True)}

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
        rates = table[table["metric"].isin(["AUROC", "OSCR", "rejected"])]
        title = "Unknown sources"
        figures.curve(rates, x="unknown", line="metric", joined=False, title=title, ax=left)
        sets = table[table["metric"] == "set_coverage"]
        sets = sets.assign(model=sets["unknown"].str.removeprefix("set at 90 %, "))
        figures.dots(sets, by="model", title="Sets that hold the truth", ax=right)
        right.axvline(conformal.COVERAGE, color="0.55", lw=1, ls=(0, (4, 3)), zorder=0)

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """Tell the range of the AUROC, and what the sets hold."""
        table = frames["results"]
        auroc = table[table["metric"] == "AUROC"].set_index("unknown")
        best, worst = auroc["value"].idxmax(), auroc["value"].idxmin()
        held = table[(table["metric"] == "set_coverage")].iloc[0]
        size = table[(table["metric"] == "set_size")].iloc[0]
        low, high = auroc.loc[worst, "value"], auroc.loc[best, "value"]
        return (
            f"Unknown sources are told from the zoo with an AUROC from {low:.2f} ({worst}) to "
            f"{high:.2f} ({best}); attribution sets at 90 % hold the true model in "
            f"{held['value']:.1%} ({held['low']:.1%} to {held['high']:.1%}, n = {held['n']:.0f}) "
            f"with {size['value']:.2f} models on average."
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
    first = ranking.decide(ranking.rank(scores))[["image_id", "predicted"]]
    told = pd.concat([inside.assign(known=True), outside.assign(known=False)], ignore_index=True)
    told = told[["image_id", "truth", "prompt", "known"]]
    told = told.merge(p_values, on="image_id", how="left").merge(first, on="image_id", how="left")
    return told.assign(correct=(told["predicted"] == told["truth"]).fillna(False).astype(bool))


def _measures(name: str, table: pd.DataFrame) -> list[dict[str, Any]]:
    """Measure one unknown source."""
    p, known = table["p"].to_numpy(float), table["known"].to_numpy(bool)
    right = table["correct"].to_numpy(bool)

    def auroc(chosen: np.ndarray) -> float:
        one, two = chosen[known[chosen]], chosen[~known[chosen]]
        return evaluation.auroc(p[one], p[two])

    def oscr(chosen: np.ndarray) -> float:
        one, two = chosen[known[chosen]], chosen[~known[chosen]]
        return evaluation.oscr_area(evaluation.oscr(p[one], right[one], p[two]))

    rejected = (table["p"] <= conformal.ALPHA).astype(float)
    parts = {"rejected": ~known, "known rejected": known}
    return [
        {"unknown": name, "metric": "AUROC"} | cells(bootstrap_statistic(auroc, table["prompt"])),
        {"unknown": name, "metric": "OSCR"} | cells(bootstrap_statistic(oscr, table["prompt"])),
        *(
            {"unknown": name, "metric": metric}
            | cells(bootstrap_interval(rejected[part], table.loc[part, "prompt"]))
            for metric, part in parts.items()
        ),
    ]
