"""Comparer: two settings side by side, at once, from the frames of `benchmark.crossed`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import ipywidgets

from workbench import catalogue, evaluation, ranking
from workbench.encoders import Layered
from workbench.evaluation.prompts import scenes
from workbench.evaluation.statistics import (
    Interval,
    accuracy_interval,
    paired_difference,
    paired_tests,
)
from workbench.store.store import Store
from workbench.widgets._page import (
    Compared,
    Page,
    Pager,
    render,
    still,
    store_of,
    tables,
    thumbnail,
)

if TYPE_CHECKING:
    import pandas as pd

PAGE = 4
"""Pictures on a page."""
SIDES = ("A", "B")
SHOWS = ("all", "only A right", "only B right", "both wrong")
FIELDS = ("inverter", "similarity", "aggregate", "gamma")


@dataclass(frozen=True)
class Setting:
    """One way to attribute; ``inverter`` and ``similarity`` are names of the frames."""

    inverter: str
    similarity: str
    aggregate: str
    gamma: int

    @property
    def name(self) -> str:
        """The name of the setting as an attributor of `Comparer.table`."""
        return f"{self.inverter}, {self.similarity}, {self.aggregate}, gamma={self.gamma}"


@dataclass(frozen=True)
class Result:
    """Results of one setting: outcomes, rankings by image, and seconds per picture.

    ``accuracy`` is the interval of all pictures, and of those of each true model by its name.
    """

    outcomes: pd.DataFrame
    rankings: dict[str, list[Any]]
    accuracy: dict[str, Interval]
    seconds: float


class Comparer(Page):
    """Compare two settings on the same pictures: inverter × similarity × aggregation × layer × γ.

    Shows for A and B the accuracy with its 95 % interval over scenes and n, overall
    and by true model; the paired difference B − A with its interval and McNemar's p; the seconds a
    picture costs, to invert and to generate, as it was first made; and picture by picture who is
    right, and why. A γ below the largest takes the candidate images with a smaller index, which are
    those that this γ would have made.

    Args:
        result: frames by name, as `benchmark.crossed` answers them.
        store: where the pictures lie; the result's own, else the user's, when left out.

    Raises:
        ValueError: a frame is missing or empty.
    """

    def __init__(self, result: Any, *, store: Store | None = None) -> None:
        if "truth" not in tables(result):
            raise ValueError(
                "the comparer needs the frame truth beside the others; benchmark.crossed "
                "answers all of them"
            )
        frames = tables(result, "truth", "prompts", "candidates", "similarities")
        self._truth, self._prompts = frames["truth"], frames["prompts"]
        self._candidates, self._similarities = frames["candidates"], frames["similarities"]
        rows = self._prompts[["inverter", "image_id", "prompt"]].itertuples(index=False)
        self._texts = {(inverter, image): text for inverter, image, text in rows}
        self._store = store_of(result, store)
        self._models = list(self._candidates["generator"].unique())
        self._parts: dict[tuple[str, str], pd.DataFrame] = {}
        self._compared: dict[tuple[str, str], Compared] = {}
        self._results: dict[Setting, Result] = {}
        self._gamma = int(self._candidates["index"].max()) + 1
        inverters = list(self._prompts["inverter"].unique())
        similarities = list(self._similarities["similarity"].unique())
        self._controls = {
            side: Controls(side, inverters, similarities, self._gamma, self._refresh)
            for side in SIDES
        }
        first = Setting(inverters[0], similarities[0], "mean", self._gamma)
        self._controls["A"].setting = first
        self._controls["B"].setting = self._another(first, inverters, similarities)
        self._summary, self._shown = ipywidgets.HTML(), ipywidgets.HTML()
        self._show = ipywidgets.ToggleButtons(options=SHOWS, style={"button_width": "auto"})
        self._show.observe(lambda _: self._list(), "value")
        self._pages = Pager(PAGE, self._draw)
        super().__init__(
            ipywidgets.HBox(
                list(self._controls.values()),
                layout={"flex_flow": "row wrap", "grid_gap": "0 24px"},
            ),
            self._summary,
            self._show,
            self._shown,
            self._pages,
        )
        self._refresh()

    @property
    def selection(self) -> dict[str, Any]:
        """The settings A and B, and which pictures are shown.

        ``{"A": {"inverter", "similarity", "aggregate", "gamma"}, "B": {…}, "show": …}``. Set any
        part of it, such as ``{"B": {"gamma": 1}}``; the rest stays. A ValueError tells what there
        is to choose from.
        """
        settings = {side: asdict(self._controls[side].setting) for side in SIDES}
        return settings | {"show": self._show.value}

    @selection.setter
    def selection(self, parts: Mapping[str, Any]) -> None:
        _choose("part of a selection", parts, (*SIDES, "show"))
        if "show" in parts:
            _choose("choice of pictures", [parts["show"]], SHOWS)
        changed = {
            side: self._controls[side].checked(parts[side]) for side in SIDES if side in parts
        }
        for side, setting in changed.items():
            self._controls[side].setting = setting
        self._show.value = parts.get("show", self._show.value)
        self._refresh()

    @property
    def table(self) -> pd.DataFrame:
        """The evaluations frame of the settings A and B; they are its attributors."""
        import pandas as pd

        settings = dict.fromkeys(self._controls[side].setting for side in SIDES)
        outcomes = [self._result(setting).outcomes for setting in settings]
        return evaluation.measure(pd.concat(outcomes, ignore_index=True))

    def still(self) -> str:
        """Return the comparison of A and B, and the pictures shown, as HTML."""
        settings = {side: asdict(self._controls[side].setting) for side in SIDES}
        numbers = self._comparison()
        lines = {"results": numbers["rows"], "seconds": numbers["seconds"]}
        return still("comparer", settings=settings, **lines, **self._pictures())

    def _another(self, first: Setting, inverters: list[str], similarities: list[str]) -> Setting:
        """Return a setting that differs from the first in one thing."""
        if len(similarities) > 1:
            return Setting(first.inverter, similarities[1], first.aggregate, first.gamma)
        if len(inverters) > 1:
            return Setting(inverters[1], first.similarity, first.aggregate, first.gamma)
        return Setting(first.inverter, first.similarity, "max", first.gamma)

    def _pair(self) -> tuple[Result, Result]:
        one, two = (self._result(self._controls[side].setting) for side in SIDES)
        return one, two

    def _refresh(self) -> None:
        self._summary.value = render("comparer.html", **self._comparison())
        self._list()

    def _list(self) -> None:
        """Select the pictures to show, and show the first page."""
        one, two = (result.outcomes["correct"].to_numpy(bool) for result in self._pair())
        masks = {
            "all": one | ~one,
            "only A right": one & ~two,
            "only B right": two & ~one,
            "both wrong": ~one & ~two,
        }
        self._places = masks[self._show.value].nonzero()[0]
        self._counts = {name: int(which.sum()) for name, which in masks.items()}
        self._pages.show(len(self._places))
        self._draw()

    def _draw(self) -> None:
        self._shown.value = render("comparer.html", **self._pictures())

    def _part(self, inverter: str, similarity: str) -> pd.DataFrame:
        """Return the similarities of one inverter and one similarity."""
        if (inverter, similarity) not in self._parts:
            rows = self._similarities[self._similarities["similarity"] == similarity]
            prompts = self._prompts[self._prompts["inverter"] == inverter]
            pairs = prompts[["image_id", "prompt_id"]].dropna()
            self._parts[inverter, similarity] = rows.merge(pairs, on=["image_id", "prompt_id"])
        return self._parts[inverter, similarity]

    def _result(self, setting: Setting) -> Result:
        """Return the results of a setting, computed once."""
        if setting not in self._results:
            self._results[setting] = self._made(setting)
        return self._results[setting]

    def _made(self, setting: Setting) -> Result:
        part = self._part(setting.inverter, setting.similarity)
        part = part[part["index"] < setting.gamma]
        images = self._truth["image_id"].unique()
        scores = ranking.score(part, setting.name, setting.aggregate, images, self._models)
        ranked = ranking.rank(scores)
        outcomes = evaluation.outcomes(ranking.decide(ranked), ranked, self._truth)
        rankings: dict[str, list[Any]] = {}
        for row in ranked.itertuples():
            rankings.setdefault(row.image_id, []).append(row)
        accuracy = {
            name: accuracy_interval(part["correct"], scenes(part))
            for name, part in self._slices(outcomes)
        }
        seconds = self._seconds(setting.inverter, setting.gamma)
        return Result(outcomes, rankings, accuracy, seconds)

    def _slices(self, outcomes: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
        """Return all pictures, and those of each true model."""
        return [("all", outcomes), *outcomes.groupby("truth", sort=True)]

    def _seconds(self, inverter: str, gamma: int) -> float:
        """Return the seconds per picture: one inversion, and γ candidate images of every model."""
        prompts = self._prompts[self._prompts["inverter"] == inverter]
        candidates = self._candidates[self._candidates["index"] < gamma]
        spent = candidates.groupby("prompt_id")["seconds"].sum()
        drawn = prompts["prompt_id"].map(spent).fillna(0.0)
        return float((prompts["seconds"].fillna(0.0) + drawn).mean())

    def _comparison(self) -> dict[str, Any]:
        """Return the numbers of A and B as values of the template."""
        one, two = self._pair()
        rows = []
        for (name, left), (_, right) in zip(
            self._slices(one.outcomes), self._slices(two.outcomes), strict=True
        ):
            difference, _ = paired_difference(right, left)
            tests = paired_tests(right, left) if name == "all" else None
            rows.append(
                {
                    "name": name,
                    "cells": [result.accuracy[name] for result in (one, two)],
                    "difference": difference,
                    "p": tests and (tests.sign_flip, tests.mcnemar),
                }
            )
        return {"rows": rows, "seconds": [one.seconds, two.seconds]}

    def _pictures(self) -> dict[str, Any]:
        """Return the page of pictures as values of the template."""
        places = self._places[self._pages.start : self._pages.start + PAGE]
        counts = ", ".join(f"{name} {count}" for name, count in self._counts.items())
        return {
            "counts": counts,
            "message": "" if len(places) else "No picture is of this kind; show others.",
            "cards": [self._card(int(place)) for place in places],
        }

    def _card(self, place: int) -> dict[str, Any]:
        """Return one picture's card: who is right, and why."""
        row = self._truth.iloc[place]
        image = row["image_id"]
        return {
            "uri": thumbnail(self._store, image) if ":" not in image else None,
            "truth": row["truth"],
            "natural": row["prompt"],
            "sides": [self._side(side, place, image) for side in SIDES],
        }

    def _side(self, side: str, place: int, image: str) -> dict[str, Any]:
        """Return the result of one setting on a picture, as values of the template."""
        setting = self._controls[side].setting
        result = self._result(setting)
        row = result.outcomes.iloc[place]
        at = (setting.inverter, setting.similarity)
        if at not in self._compared:
            self._compared[at] = Compared(self._part(*at), self._candidates, self._store)
        failure = row["failure"]
        return {
            "side": side,
            "correct": bool(row["correct"]),
            "prompt": self._texts.get((setting.inverter, image)),
            "ranking": [r for r in result.rankings.get(image, []) if r.score == r.score],
            "pair": self._compared[at].pair(image, row["truth"], row["predicted"], setting.gamma),
            "failure": failure if isinstance(failure, str) else "",
        }


class Controls(ipywidgets.VBox):
    """Controls of one setting; ``setting`` is their state."""

    def __init__(
        self,
        side: str,
        inverters: list[str],
        similarities: list[str],
        gamma: int,
        changed: Callable[[], None],
    ) -> None:
        self._layers = layers(similarities)
        self._changed = changed
        self._quiet = True
        layout = {"width": "340px"}
        self._inverter = ipywidgets.Dropdown(
            options=inverters, description="inverter", layout=layout
        )
        self._stem = ipywidgets.Dropdown(
            options=list(self._layers), description="similarity", layout=layout
        )
        self._layer = ipywidgets.Dropdown(description="layer", layout=layout)
        self._aggregate = ipywidgets.Dropdown(
            options=list(ranking.AGGREGATIONS), description="aggregation", layout=layout
        )
        self._gamma = ipywidgets.IntSlider(gamma, 1, gamma, description="γ", layout=layout)
        self._offer()
        self._stem.observe(lambda _: self._offer(), "value")
        for control in (self._inverter, self._layer, self._aggregate, self._gamma):
            control.observe(lambda _: self._tell(), "value")
        parts = [self._inverter, self._stem, self._layer, self._aggregate, self._gamma]
        super().__init__(children=[ipywidgets.HTML(f"<b>{side}</b>"), *parts])
        self._quiet = False

    @property
    def setting(self) -> Setting:
        """The setting of the controls; assigning it calls no observer."""
        return Setting(
            self._inverter.value, self._layer.value, self._aggregate.value, self._gamma.value
        )

    @setting.setter
    def setting(self, setting: Setting) -> None:
        self._quiet = True
        try:
            stem = next(
                stem for stem, names in self._layers.items() if setting.similarity in names.values()
            )
            self._inverter.value, self._stem.value = setting.inverter, stem
            self._layer.value, self._aggregate.value = setting.similarity, setting.aggregate
            self._gamma.value = setting.gamma
        finally:
            self._quiet = False

    def checked(self, fields: Mapping[str, Any]) -> Setting:
        """Return the setting with other fields; ValueError where there is no such thing."""
        _choose("field of a setting", fields, FIELDS)
        changed = Setting(**{**asdict(self.setting), **fields})
        similarities = [name for names in self._layers.values() for name in names.values()]
        _choose("inverter", [changed.inverter], self._inverter.options)
        _choose("similarity", [changed.similarity], similarities)
        _choose("aggregation", [changed.aggregate], self._aggregate.options)
        _choose("gamma", [changed.gamma], range(1, self._gamma.max + 1))
        return changed

    def _offer(self) -> None:
        """Offer the layers of the similarity, or hide the choice where there is none."""
        names = self._layers[self._stem.value]
        with self._layer.hold_trait_notifications():
            self._layer.options = names
        self._layer.layout.display = None if len(names) > 1 else "none"

    def _tell(self) -> None:
        if not self._quiet:
            self._changed()


def layers(similarities: list[str]) -> dict[str, dict[str, str]]:
    """Group similarities that differ only by the layer and the pooling of their encoder.

    Returns:
        the similarity without its layer → layer → similarity.

    >>> clip, mean = 'Cosine("pocket-clip")', 'Cosine("pocket-clip", layer=1, pooling="mean")'
    >>> layers([clip, mean, "SSIM()"])["SSIM()"]
    {'projected': 'SSIM()'}
    >>> list(layers([clip, mean])[clip])
    ['projected', 'layer 1, mean']
    """
    groups: dict[str, dict[str, str]] = {}
    for name in similarities:
        stem, layer = _stem_and_layer(name)
        groups.setdefault(stem, {})[layer] = name
    return {
        stem if len(group) > 1 else next(iter(group.values())): group
        for stem, group in groups.items()
    }


def _stem_and_layer(name: str) -> tuple[str, str]:
    """Return the repr of a similarity at its encoder's default layer and pooling, and these.

    A similarity without layers, or of a class or a catalogue row that is not here, stays whole.
    """
    try:
        similarity = catalogue.parse(name)
    except (LookupError, ValueError):
        return name, "projected"
    encoder = getattr(similarity, "encoder", None)
    if not isinstance(encoder, Layered):
        return name, "projected"
    layer = [] if encoder.layer is None else [f"layer {encoder.layer}"]
    pooling = [] if encoder.pooling == "cls" else [encoder.pooling]
    projected: Any = replace(encoder, layer=None, pooling="cls")  # type: ignore[type-var]
    return repr(type(similarity)(projected)), ", ".join(layer + pooling) or "projected"


def _choose(what: str, chosen: Any, known: Any) -> None:
    """Raise ValueError for a name that is not known."""
    for name in chosen:
        if name not in known:
            names = ", ".join(map(str, known))
            raise ValueError(f"no {what} {name!r}; there are: {names}")
