"""Parts shared by the widgets: frames, thumbnails, escaped HTML, comparisons, pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import ipywidgets
import traitlets

from workbench import attribution, frames, images
from workbench.images import marks
from workbench.store import StoreError
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd
    from jinja2 import Environment

HERE = Path(__file__).parent
SIDE = 96
"""Pixels along the longer side of a thumbnail."""
COLUMNS = {
    "outcomes": ("image_id", "attributor", "truth", "predicted", "correct", "margin", "prompt"),
    "truth": ("image_id", "truth", "prompt"),
}
"""What is needed of the frames that `frames.SCHEMAS` does not hold."""


class Keys(anywidget.AnyWidget):
    """Invisible: keeps keys pressed in its panel from JupyterLab's command mode."""

    _esm = HERE / "_page.js"


class Page(ipywidgets.VBox):
    """Container of a widget's parts; without a kernel `still` stands in."""

    def __init__(self, *parts: ipywidgets.Widget) -> None:
        super().__init__(children=[*parts, Keys(layout={"display": "none"})])
        self.add_class("workbench-panel")

    def still(self) -> str:
        """Return HTML that shows the widget's present state without a kernel; texts escaped."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = super()._repr_mimebundle_(**kwargs)
        return bundle | {"text/html": self.still()}


def render(template: str, **values: Any) -> str:
    """Return a template of this folder as HTML, every text escaped, with the style sheet."""
    body = _templates().get_template(template).render(**values)
    sheet = (HERE / "_page.css").read_text(encoding="utf-8")
    return f'<div class="workbench-page"><style>{sheet}</style>{body}</div>'


def still(kind: str, **values: Any) -> str:
    """Return a widget's state as HTML that needs no style sheet, every text escaped.

    Args:
        kind: ``confusion``, ``comparer``, ``explorer``, ``gallery`` or ``picture``.
        **values: of its part of the template.
    """
    return _templates().get_template("stills.html").render(kind=kind, **values)


@cache
def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader

    folders = FileSystemLoader([HERE, Path(attribution.__file__).parent])
    environment = Environment(loader=folders, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.globals |= {"fitted": marks.fitted, "dots": marks.dots}
    return environment


def tables(result: Any, *needed: str) -> dict[str, pd.DataFrame]:
    """Return the frames in what a widget was given, those needed checked.

    Args:
        result: an `attribution.Attribution`, an `benchmark.Evaluation`, or frames by name, as
            `evaluate` answers them.
        *needed: the frames that must be there, with at least one row.

    Raises:
        ValueError: one of them is absent, empty, or not the table its name says.
    """
    import pandas as pd

    given = result if isinstance(result, Mapping) else getattr(result, "frames", None)
    if not isinstance(given, Mapping):
        given = getattr(result, "__dict__", {})
    by_name = {name: table for name, table in given.items() if isinstance(table, pd.DataFrame)}
    absent = [name for name in needed if name not in by_name]
    if absent:
        raise ValueError(
            f"this widget needs the frames {', '.join(needed)}; {', '.join(absent)} missing, there "
            f"are: {', '.join(by_name) or 'none'}. wb.evaluate answers them"
        )
    bare = [name for name in needed if by_name[name].empty]
    if bare:
        raise ValueError(f"there is nothing to show: the frame {bare[0]} has no rows")
    for name in needed:
        if name in frames.SCHEMAS:
            by_name[name] = frames.check(by_name[name], name)
            continue
        absent = [column for column in COLUMNS[name] if column not in by_name[name]]
        if absent:
            raise ValueError(
                f"the {name} frame lacks the column {', '.join(map(repr, absent))}; "
                f"it has: {', '.join(map(str, by_name[name].columns))}"
            )
    return by_name


def store_of(result: Any, store: Store | None) -> Store:
    """Return the store given, else the result's own, else the user's."""
    return store or getattr(result, "store", None) or Store()


@lru_cache(maxsize=30_000)
def thumbnail(store: Store, picture: str, side: int = SIDE) -> str | None:
    """Return a picture of the store as a data URI, None where the store has it no longer."""
    try:
        return images.data_uri(store.picture(picture), side)
    except StoreError:
        return None


class Compared:
    """Candidate images and their similarities, by test image and model.

    Args:
        similarities: frame of that name, of one similarity and one prompt an image (or a bank's).
        candidates: frame of that name.
        store: where the pictures lie.
    """

    def __init__(self, similarities: pd.DataFrame, candidates: pd.DataFrame, store: Store) -> None:
        from workbench import figures

        key = ["prompt_id", "generator", "index"]
        rows = similarities.dropna(subset=["value"]).merge(
            candidates[[*key, "candidate_id"]], on=key
        )
        rows = rows.sort_values("value", ascending=False, kind="stable", ignore_index=True)
        self._places = rows.groupby("image_id").indices
        self._columns = [
            rows[name].to_numpy() for name in ("generator", "index", "candidate_id", "value")
        ]
        self._colours = figures.colours(rows["generator"].unique())
        self._store = store

    def models(self, image: str, gamma: int | None = None) -> dict[str, dict[str, Any]]:
        """Return model → its values (γ,) and its best candidate image, nearest first.

        Args:
            image: an image_id; nothing is known of one that was not compared.
            gamma: candidate images with a smaller index count alone; all when left out.
        """
        places = self._places.get(image, [])
        models: dict[str, dict[str, Any]] = {}
        for name, index, picture, value in zip(*(x[places] for x in self._columns), strict=True):
            if gamma is None or index < gamma:
                best = {
                    "name": name,
                    "index": int(index),
                    "picture": picture,
                    "value": float(value),
                }
                models.setdefault(name, best | {"values": []})["values"].append(float(value))
        return models

    def pair(self, image: str, true: str, other: Any, gamma: int | None = None) -> list[Any]:
        """Return the best candidate images of the true model and of another.

        Where the other is the true one, or missing, the nearest other model stands beside it.
        """
        known = self.models(image, gamma)
        if other == true or not isinstance(other, str):
            other = next((name for name in known if name != true), None)
        return [
            known[name]
            | {"uri": thumbnail(self._store, known[name]["picture"]), "colour": self._colours[name]}
            for name in (true, other)
            if name in known
        ]


class Pager(ipywidgets.HBox):
    """Two buttons and a position: ``start`` is the first of ``size`` items shown of ``total``.

    Args:
        size: of a page.
        turned: called when a button was pressed.
    """

    start = traitlets.Int(0)
    total = traitlets.Int(0)

    def __init__(self, size: int, turned: Callable[[], None]) -> None:
        self.size = size
        self._turned = turned
        self._back = ipywidgets.Button(description="previous")
        self._on = ipywidgets.Button(description="next")
        self._where = ipywidgets.Label()
        for button, step in ((self._back, -size), (self._on, size)):
            button.on_click(lambda _, step=step: self._turn(step))
        super().__init__(children=[self._back, self._where, self._on])
        self._tell()

    def show(self, total: int) -> None:
        """Show other items, from the first."""
        self.start, self.total = 0, total
        self._tell()

    def _turn(self, step: int) -> None:
        self.start = min(max(self.start + step, 0), max(self.total - 1, 0))
        self._tell()
        self._turned()

    def _tell(self) -> None:
        last = min(self.start + self.size, self.total)
        self._where.value = f"{self.start + 1} to {last} of {self.total}" if self.total else ""
        self._back.disabled = self.start == 0
        self._on.disabled = last == self.total
        self.layout.display = None if self.total > self.size else "none"
