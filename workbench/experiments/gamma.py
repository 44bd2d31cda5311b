"""How many candidate images per model, fixed or adaptive?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from workbench import evaluation, ranking
from workbench.attributors.adaptive import Adaptive
from workbench.evaluation.prompts import found, scenes, slots
from workbench.evaluation.statistics import mean_interval
from workbench.experiments import Bench, cells, results
from workbench.experiments._family import (
    chosen,
    detectable,
    family,
    paired,
    percent,
    share,
    single,
    told,
)
from workbench.plugin import Plugin

if TYPE_CHECKING:
    import pandas as pd


ADAPTIVE = "adaptive"
FITTED = "adaptive, fitted"
RULES = (ADAPTIVE, FITTED)
LESS = "difference from the largest γ"


@dataclass(frozen=True, repr=False)
class Gamma(Plugin):
    """Attribute with each fixed γ, and with rounds that stop when the answer stands.

    Candidates of a smaller γ are the first of a larger one's. ``adaptive`` is the attributor as
    ``--attributor adaptive`` makes it, at most the largest γ, by its own step and δ, its stopping
    rule a law of the similarities; ``adaptive, fitted`` stops by a bound without a law, fitted on
    pictures of `fitting` prompts of the portion ``stopping``, which nothing else takes. Accuracy is
    told for all pictures, for every subset of the models, and by the number of objects that the
    natural prompt names. Every other γ and rule is compared with the largest γ, a family of paired
    tests. ``seconds`` are those the candidates took to make.

    >>> Gamma(gammas=(1, 2))
    Gamma(gammas=(1, 2))
    """

    gammas: tuple[int, ...] = (1, 2, 4, 8, 16)
    fitting: int = 25
    revision: ClassVar[int] = 2

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results``, ``outcomes``, ``scores``, and ``costs`` of every picture."""
        import pandas as pd

        images, truth = bench.pictures()
        whole = bench.regeneration(gamma=max(self.gammas))
        run = bench.run({"fixed": whole}, images, truth)
        values = run["similarities"]
        scores, costs = [], []
        for gamma in self.gammas:
            used = values[values["index"] < gamma]
            models = list(bench.zoo)
            name = f"{gamma}"
            scores.append(ranking.score(used, name, whole.aggregate, images["image_id"], models))
            costs.append(_costs(name, used, run["candidates"], truth))
        for name, method in self._rules(bench, whole).items():
            drawn = bench.run({name: method}, images, truth)
            scores.append(drawn["scores"].assign(attributor=name))
            costs.append(_costs(name, drawn["similarities"], drawn["candidates"], truth))
        table = pd.concat(scores, ignore_index=True)
        outcomes = _outcomes(table, truth)
        objects = slots(bench.preset).get("object", [])
        outcomes["objects"] = [len(found(text, objects)) for text in outcomes["prompt"]]
        frames = {
            "outcomes": outcomes,
            "scores": table,
            "costs": pd.concat(costs, ignore_index=True),
        }
        return {"results": self.measure(frames), **frames}

    def measure(self, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Return the results of outcomes, scores and costs."""
        outcomes, rows = frames["outcomes"], []
        for name, own in outcomes.groupby("attributor", sort=False):
            at = {"gamma": name, "metric": "accuracy"}
            scores = frames["scores"][frames["scores"]["attributor"] == name]
            for part, some in _slices(scores, own):
                rows.append(at | {"slice": part, **cells(share(some))})
            costs = frames["costs"][frames["costs"]["gamma"] == name]
            for metric in ("candidates a model", "seconds"):
                mean = mean_interval(costs[metric], scenes(costs), (-np.inf, np.inf))
                spelt = cells(mean) if np.isfinite(mean.low) else single(mean.value, mean.n)
                rows.append({"gamma": name, "slice": "all", "metric": metric, **spelt})
        largest = f"{max(self.gammas)}"
        top = outcomes[outcomes["attributor"] == largest]
        compared = [
            ({"gamma": name, "slice": "all"}, *paired(part, top))
            for name, part in outcomes.groupby("attributor", sort=False)
            if name != largest
        ]
        rows += family(compared, LESS)
        order = ["gamma", "slice", "metric"]
        table = results(rows)
        return table[[*order, *(name for name in table if name not in order)]]

    def plain(self, whole: Any) -> Adaptive:
        """Return the attributor that ``--attributor adaptive`` makes of a regeneration's parts."""
        return Adaptive(whole.inverter, whole.similarity, whole.aggregate, whole.gamma, whole.size)

    def _rules(self, bench: Bench, whole: Any) -> dict[str, Adaptive]:
        """Return the adaptive attributor as it comes, and with a bound fitted on calibration."""
        plain = self.plain(whole)
        images, truth = bench.pictures("stopping", self.fitting)
        fitting = bench.run({"fit": whole}, images, truth)["similarities"]
        by_scene = images.assign(prompt=scenes(images))
        return {ADAPTIVE: plain, FITTED: plain.bounded(fitting, by_scene)}

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
        fixed = accuracy[~accuracy["gamma"].isin(RULES)].assign(kind="fixed γ")
        options: dict[str, Any] = {"chance": 1 / frames["outcomes"]["truth"].nunique()}
        figures.curve(fixed, x="candidates", line="kind", title="Accuracy", ax=left, **options)
        rules = accuracy[accuracy["gamma"].isin(RULES)]
        for mark, (_, point) in zip("s^", rules.iterrows(), strict=False):
            left.errorbar(
                [point["candidates"]],
                [point["value"]],
                yerr=[[point["value"] - point["low"]], [point["high"] - point["value"]]],
                fmt=mark,
                color="black",
                label=point["gamma"].replace(ADAPTIVE, "adaptive γ"),
                zorder=4,
            )
        left.set_xscale("log", base=2)
        left.set_xticks(list(fixed["candidates"]), [f"{x:g}" for x in fixed["candidates"]])
        n = accuracy["n"].max()
        left.set_xlabel(f"candidate images a model · n = {n:.0f} pictures; 95% interval")
        left.legend(frameon=False, fontsize="small")
        figures.source(left, accuracy)
        objects = table[table["slice"].str.endswith(("object", "objects"))]
        if len(objects):
            title = "By objects in the scene"
            objects = objects.rename(columns={"gamma": "γ"})
            figures.curve(objects, x="γ", line="slice", title=title, ax=right, **options)
        else:
            right.remove()

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """State the loss of each smaller γ and each rule against the largest γ, and its saving."""
        table = frames["results"]
        whole = table[(table["slice"] == "all") & (table["metric"] == "accuracy")]
        fixed = [name for name in whole["gamma"] if name not in RULES]
        largest = max(fixed, key=int)
        top = whole[whole["gamma"] == largest].iloc[0]
        cost = {"metric": "candidates a model", "slice": "all"}
        most = chosen(table, gamma=largest, **cost)["value"]
        parts = [f"γ = {name} {told(table, LESS, gamma=name)}" for name in fixed if name != largest]
        rules = [
            f"the {name} rule {told(table, LESS, gamma=name)} with "
            f"{chosen(table, gamma=name, **cost)['value'] / most:.0%} of the candidates"
            for name in RULES
        ]
        return (
            f"γ = {largest} is right in {percent(top)} of n = {top['n']:.0f} pictures; against it "
            f"{'; '.join(parts + rules)} ({detectable(table, LESS)})."
        )


def _outcomes(scores: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    ranked = ranking.rank(scores)
    return evaluation.outcomes(ranking.decide(ranked), ranked, truth)


def _slices(scores: pd.DataFrame, outcomes: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Return the outcomes of all pictures, of every subset of the models, and by objects."""
    yield "all", outcomes
    truth = outcomes[["image_id", "truth", "prompt"]]
    models = list(dict.fromkeys(truth["truth"]))
    for size in range(2, len(models)):
        for some in itertools.combinations(models, size):
            known = truth[truth["truth"].isin(some)]
            inside = scores["generator"].isin(some) & scores["image_id"].isin(known["image_id"])
            yield " + ".join(some), _outcomes(scores[inside], known)
    for number in sorted(set(outcomes["objects"]) - {0}):
        yield f"{number} object{'s' if number > 1 else ''}", outcomes[outcomes["objects"] == number]


def _costs(
    name: str, used: pd.DataFrame, candidates: pd.DataFrame, truth: pd.DataFrame
) -> pd.DataFrame:
    """Return candidates a model and seconds for each test image."""
    key = ["prompt_id", "generator", "index"]
    table = used.merge(candidates[[*key, "seconds"]], on=key, how="left")
    models = max(table["generator"].nunique(), 1)
    each = table.groupby("image_id").agg(count=("index", "size"), seconds=("seconds", "sum"))
    each = truth.merge(each, left_on="image_id", right_index=True, how="left")
    each = each.assign(gamma=name).rename(columns={"count": "candidates a model"})
    each["candidates a model"] /= models
    return each[["gamma", "image_id", "prompt", "candidates a model", "seconds"]]
