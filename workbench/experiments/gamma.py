"""How many candidate images per model, fixed or adaptive?"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench import evaluation, ranking
from workbench.attributors.adaptive import Adaptive
from workbench.evaluation.prompts import found, slots
from workbench.evaluation.statistics import bootstrap_interval, paired_difference
from workbench.experiments import Bench, cells, results
from workbench.paths import data_folder
from workbench.plugin import Plugin

if TYPE_CHECKING:
    import pandas as pd

CLOSE = 0.01
"""Loss against the largest γ that the recommended one may have."""


@dataclass(frozen=True, repr=False)
class Gamma(Plugin):
    """Attribute with each fixed γ, and with rounds that stop when the answer stands.

    Candidates of a smaller γ are the first of a larger one's. The adaptive attributor draws at most
    the largest γ in rounds of `step`; its bound is fitted on calibration pictures of `fitting`
    prompts. Accuracy is told for all pictures, for every subset of the models, and by the number of
    objects that the natural prompt names. ``seconds`` are those the candidates took to make.
    ``peak memory`` in MiB is that of a whole process that attributes one picture with an empty
    store.

    >>> Gamma(gammas=(1, 2))
    Gamma(gammas=(1, 2))
    """

    gammas: tuple[int, ...] = (1, 2, 4, 8, 16)
    step: int = 2
    delta: float = 0.05
    fitting: int = 25
    memory: bool = True
    revision: ClassVar[int] = 1

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results`` and ``outcomes``."""
        import pandas as pd

        largest = max(self.gammas)
        images, truth = bench.pictures()
        whole = bench.regeneration(gamma=largest)
        frames = bench.run({"fixed": whole}, images, truth)
        adaptive = self._adaptive(bench, whole)
        drawn = bench.run({"adaptive": adaptive}, images, truth)
        tables = {
            f"{gamma}": frames["similarities"][frames["similarities"]["index"] < gamma]
            for gamma in self.gammas
        }
        scores = {
            name: ranking.score(table, name, whole.aggregate, images["image_id"], list(bench.zoo))
            for name, table in tables.items()
        } | {"adaptive": drawn["scores"].assign(attributor="adaptive")}
        rows: list[dict[str, Any]] = []
        kept = []
        for name, table in scores.items():
            outcomes = _outcomes(table, truth)
            kept.append(outcomes)
            for part, chosen in _slices(bench, table, outcomes, truth):
                found = bootstrap_interval(chosen["correct"], chosen["prompt"])
                rows.append({"gamma": name, "slice": part, "metric": "accuracy", **cells(found)})
            made = drawn if name == "adaptive" else frames
            used = tables.get(name, drawn["similarities"])
            rows += _costs(name, used, made["candidates"], truth)
        for name in (f"{gamma}" for gamma in self.gammas):
            gain, p = paired_difference(kept[-1], kept[list(scores).index(name)])
            at = {"gamma": name, "slice": "all"}
            rows.append(at | {"metric": "adaptive less this", **cells(gain)})
            told = {"value": p, "low": None, "high": None, "n": gain.n}
            rows.append(at | {"metric": "McNemar's p", **told})
        if self.memory:
            rows += self._memory(bench)
        return {"results": results(rows), "outcomes": pd.concat(kept, ignore_index=True)}

    def _adaptive(self, bench: Bench, whole: Any) -> Adaptive:
        """Make the adaptive attributor and fit its bound on calibration pictures."""
        images, truth = bench.pictures("selection", self.fitting)
        fitting = bench.run({"fit": whole}, images, truth)
        unfitted = Adaptive(
            whole.inverter,
            whole.similarity,
            whole.aggregate,
            whole.gamma,
            whole.size,
            step=self.step,
            delta=self.delta,
        )
        return unfitted.bounded(fitting["similarities"], images)

    def _memory(self, bench: Bench) -> list[dict[str, Any]]:
        sample = sorted((data_folder() / "samples").glob("*.png"))[0]
        rows = []
        for gamma in self.gammas:
            peak = {"value": _peak(str(sample), bench.preset.name, gamma), "low": None}
            at = {"gamma": f"{gamma}", "slice": "one picture", "metric": "peak memory"}
            rows.append(at | peak | {"high": None, "n": 1})
        return rows

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw accuracy over candidates, the adaptive rule as a point; and by objects."""
        from workbench import figures

        figures.resize(figure, 10.5, 4.2)
        left, right = figure.subplots(1, 2)
        table = frames["results"]
        whole = table[table["slice"] == "all"]
        used = whole[whole["metric"] == "candidates a model"].set_index("gamma")["value"]
        accuracy = whole[whole["metric"] == "accuracy"]
        accuracy = accuracy.assign(candidates=accuracy["gamma"].map(used))
        fixed = accuracy[accuracy["gamma"] != "adaptive"].assign(kind="fixed γ")
        figures.curve(fixed, x="candidates", line="kind", title="Accuracy", ax=left)
        point = accuracy[accuracy["gamma"] == "adaptive"].iloc[0]
        left.errorbar(
            [point["candidates"]],
            [point["value"]],
            yerr=[[point["value"] - point["low"]], [point["high"] - point["value"]]],
            fmt="s",
            color="black",
            label="adaptive γ",
            zorder=4,
        )
        left.set_xscale("log", base=2)
        left.set_xticks(list(fixed["candidates"]), [f"{x:g}" for x in fixed["candidates"]])
        left.set_xlabel(f"candidate images a model · n = {point['n']:.0f} pictures; 95 % interval")
        left.legend(frameon=False, fontsize="small")
        figures.source(left, accuracy)
        objects = table[table["slice"].str.endswith(("object", "objects"))]
        if len(objects):
            title = "By objects in the scene"
            objects = objects.rename(columns={"gamma": "γ"})
            figures.curve(objects, x="γ", line="slice", title=title, ax=right)
        else:
            right.remove()

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """Recommend a γ, and tell what the adaptive rule saves."""
        table = frames["results"]
        found = table[table["slice"] == "all"].set_index(["gamma", "metric"])
        fixed = [name for name, metric in found.index if metric == "accuracy" and name.isdigit()]
        largest = max(fixed, key=int)
        top = found.loc[(largest, "accuracy"), "value"]
        good = min(
            (n for n in fixed if found.loc[(n, "accuracy"), "value"] >= top - CLOSE), key=int
        )
        own = found.loc[("adaptive", "accuracy")]
        share = (
            found.loc[("adaptive", "candidates a model"), "value"]
            / found.loc[(largest, "candidates a model"), "value"]
        )
        gain = found.loc[(largest, "adaptive less this")]
        enough = f"γ = {good} is the smallest within {100 * CLOSE:.0f} point of γ = {largest}"
        if good == largest:
            enough = f"No smaller γ comes within {100 * CLOSE:.0f} point of γ = {largest}"
        return (
            f"{enough} ({top:.1%}, n = {own['n']:.0f}); adaptive γ reaches {own['value']:.1%} "
            f"with {share:.0%} of the candidates of γ = {largest}: {100 * gain['value']:+.1f} "
            f"points ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f}), paired."
        )


def _outcomes(scores: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    ranked = ranking.rank(scores)
    return evaluation.outcomes(ranking.decide(ranked), ranked, truth)


def _slices(
    bench: Bench, scores: pd.DataFrame, outcomes: pd.DataFrame, truth: pd.DataFrame
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Return the outcomes of all pictures, of every subset of the models, and by objects."""
    yield "all", outcomes
    for size in range(2, len(bench.zoo)):
        for some in itertools.combinations(bench.zoo, size):
            known = truth[truth["truth"].isin(some)]
            inside = scores["generator"].isin(some) & scores["image_id"].isin(known["image_id"])
            yield " + ".join(some), _outcomes(scores[inside], known)
    objects = slots(bench.preset).get("object", [])
    count = outcomes["prompt"].map(lambda text: len(found(text, objects)))
    for number in sorted(set(count) - {0}):
        yield f"{number} object{'s' if number > 1 else ''}", outcomes[count == number]


def _costs(
    name: str, used: pd.DataFrame, candidates: pd.DataFrame, truth: pd.DataFrame
) -> list[dict[str, Any]]:
    """Tell candidates a model and seconds a picture, means over the test images."""
    key = ["prompt_id", "generator", "index"]
    table = used.merge(candidates[[*key, "seconds"]], on=key, how="left")
    models = max(table["generator"].nunique(), 1)
    each = table.groupby("image_id").agg(count=("index", "size"), seconds=("seconds", "sum"))
    each = truth.merge(each, left_on="image_id", right_index=True, how="left")
    measures = {"candidates a model": each["count"] / models, "seconds": each["seconds"]}
    return [
        {"gamma": name, "slice": "all", "metric": metric}
        | cells(bootstrap_interval(values, each["prompt"]))
        for metric, values in measures.items()
    ]


def _peak(picture: str, preset: str, gamma: int) -> float:
    """Return the peak memory, MiB, of a process that attributes one picture, nothing stored."""
    code = (
        "import sys, workbench as wb; from workbench.store import Store; "
        "wb.attribute(sys.argv[1], sys.argv[2], gamma=int(sys.argv[3]), store=Store.temporary())"
    )
    command = [sys.executable, "-c", code, picture, preset, str(gamma)]
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise ValueError(f"attributing {picture} with γ = {gamma} failed in a process of its own")
    return usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
