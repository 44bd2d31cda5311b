"""Confusion inspector: the pictures of a cell of the confusion matrix, and their similarities."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import ipywidgets
import traitlets

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

PAGE = 6
"""Pictures on a page."""
NONE = "no prediction"
HINT = "Choose a cell of the matrix to see its pictures."
ONLY_FIRST = "Candidate images are kept of the first attributor alone."
ORDERS = {"smallest margin first": True, "largest margin first": False}


class Matrix(anywidget.AnyWidget):
    """A table of buttons. ``rows`` are the true models, ``columns`` the predicted ones.

    ``counts`` is (rows, columns); ``chosen`` holds the row and the column of the cell, or nothing.
    """

    _esm = Path(__file__).with_suffix(".js")
    rows = traitlets.List(traitlets.Unicode()).tag(sync=True)
    columns = traitlets.List(traitlets.Unicode()).tag(sync=True)
    counts: Any = traitlets.List().tag(sync=True)
    chosen = traitlets.List(traitlets.Unicode()).tag(sync=True)


class ConfusionInspector(Page):
    """Show which models are taken for which, and for every cell its pictures and why.

    A click on a cell (arrows move, Enter chooses) shows its pictures, each with the best candidate
    images of the true and of the predicted model and their similarities a_kj; where both are one,
    the nearest other model stands beside it. ``chosen``, (true, predicted) or None, may be
    observed.

    Args:
        result: what `wb.evaluate` or `wb.evaluate_preset` answered: the frames images, prompts,
            candidates, similarities and outcomes.
        store: where the pictures lie; the result's own, else the user's, when left out.
        attributor: whose outcomes are shown first; the first one's when left out. Candidate images
            and similarities are kept of the first alone.

    Raises:
        ValueError: a frame or a column is missing, or there is no such attributor.
    """

    chosen: Any = traitlets.Tuple(default_value=None, allow_none=True)

    def __init__(
        self, result: Any, *, store: Store | None = None, attributor: str | None = None
    ) -> None:
        frames = tables(result, "images", "prompts", "candidates", "similarities", "outcomes")
        self._outcomes = _conditioned(frames["outcomes"])
        self._store = store_of(result, store)
        self._compared = Compared(frames["similarities"], frames["candidates"], self._store)
        prompts = frames["prompts"].drop_duplicates("image_id")
        self._prompts = dict(zip(prompts["image_id"], prompts["prompt"], strict=True))
        self._labels = _labels(self._outcomes, frames["candidates"])
        self._first = self._outcomes["attributor"].iloc[0]
        self._attributor = self._choice("attributor", _attributors(result, self._outcomes))
        self._condition = self._choice("pictures", _conditions(self._outcomes))
        self._order = ipywidgets.ToggleButtons(options=ORDERS, style={"button_width": "auto"})
        self._pages = Pager(PAGE, self._draw)
        self._sorted = ipywidgets.HBox([self._order])
        self._shown = ipywidgets.HTML()
        if attributor is not None:
            self._attributor.value = _known(attributor, self._attributor.options)
        self._matrix = Matrix(**self._counts())  # it begins with its cells, and waits for no update
        self._matrix.observe(self._picked, "chosen")
        self._order.observe(lambda _: self._sort(), "value")
        super().__init__(
            ipywidgets.HBox([self._attributor, self._condition]),
            self._matrix,
            self._sorted,
            self._shown,
            self._pages,
        )
        self._sort()
        for control in (self._attributor, self._condition):
            control.observe(lambda _: self._count(), "value")

    @property
    def selection(self) -> pd.DataFrame:
        """The outcomes of the chosen cell, a row for each picture, in the order shown.

        Set it to (true, predicted), where a predicted None is a picture without prediction, or to
        None; a ValueError tells which models there are.
        """
        table = self._present()
        true, predicted = self.chosen or (None, None)
        name = table["predicted"].fillna(NONE)
        rows = table[(table["truth"] == true) & (name == predicted)]
        return rows.sort_values(
            "margin", ascending=self._order.value, kind="stable", ignore_index=True
        )

    @selection.setter
    def selection(self, cell: tuple[str, str | None] | None) -> None:
        if cell is None:
            self._matrix.chosen = []
            return
        if not isinstance(cell, (tuple, list)) or len(cell) != 2:
            raise ValueError(f"a cell is (true model, predicted model), or None; seen {cell!r}")
        true, predicted = cell[0], NONE if cell[1] is None else cell[1]
        for name, known in ((true, self._matrix.rows), (predicted, self._matrix.columns)):
            if name not in known:
                raise ValueError(f"no model named {name!r} there; there are: {', '.join(known)}")
        self._matrix.chosen = [true, predicted]

    def still(self) -> str:
        """Return the matrix as a table, and the pictures of the chosen cell, as HTML."""
        matrix = self._matrix
        rows = zip(matrix.rows, matrix.counts, strict=True)
        return still("confusion", columns=matrix.columns, rows=list(rows), **self._values())

    def _choice(self, name: str, options: dict[str, Any]) -> ipywidgets.Dropdown:
        """Return a dropdown, hidden where it has a single option."""
        control = ipywidgets.Dropdown(options=options, description=name, layout={"width": "auto"})
        control.layout.display = None if len(options) > 1 else "none"
        return control

    def _present(self) -> pd.DataFrame:
        table = self._outcomes
        attack, intensity = self._condition.value
        return table[
            (table["attributor"] == self._attributor.value)
            & (table["attack"] == attack)
            & (table["intensity"] == intensity)
        ]

    def _count(self) -> None:
        """Count the present outcomes; the chosen cell stays chosen."""
        with self._matrix.hold_sync():
            for name, value in self._counts().items():
                setattr(self._matrix, name, value)
        self._sort()

    def _counts(self) -> dict[str, Any]:
        """Return the rows, the columns and the counts of the matrix."""
        import pandas as pd

        table = self._present()
        lost = [NONE] if self._outcomes["predicted"].isna().any() else []
        rows = [name for name in self._labels if name in set(self._outcomes["truth"])]
        columns = [*self._labels, *lost]
        counts = pd.crosstab(table["truth"], table["predicted"].fillna(NONE))
        counts = counts.reindex(index=rows, columns=columns, fill_value=0)
        return {"rows": rows, "columns": columns, "counts": counts.astype(int).to_numpy().tolist()}

    def _picked(self, _: Any) -> None:
        self.chosen = tuple(self._matrix.chosen) or None
        self._sort()

    def _sort(self) -> None:
        """Show the first page of the chosen cell."""
        self._rows = self.selection
        self._pages.show(len(self._rows))
        self._sorted.layout.display = None if len(self._rows) > 1 else "none"
        self._draw()

    def _draw(self) -> None:
        self._shown.value = render("confusion.html", **self._values())

    def _values(self) -> dict[str, Any]:
        """Return the page of pictures as values of the template."""
        start = self._pages.start
        rows = self._rows.iloc[start : start + PAGE].to_dict("records")
        if self.chosen is None:
            return {"message": HINT}
        true, predicted = self.chosen
        has_candidates = self._attributor.value == self._first
        return {
            "cell": f"true {true}, predicted {predicted}",
            "message": "" if len(self._rows) else "No picture is in this cell; choose another.",
            "note": "" if has_candidates else ONLY_FIRST,
            "cards": [self._card(row, has_candidates) for row in rows],
        }

    def _card(self, row: dict[str, Any], has_candidates: bool) -> dict[str, Any]:
        """Return one picture's card, with its candidate images where they are kept."""
        image, margin = row["image_id"], row["margin"]
        sides = self._compared.pair(image, row["truth"], row["predicted"]) if has_candidates else []
        failure = row.get("failure")
        return {
            "uri": thumbnail(self._store, image) if ":" not in image else None,
            "natural": row["prompt"],
            "prompt": self._prompts.get(image) if has_candidates else None,
            "margin": f"{margin:.4f}" if margin == margin else "",
            "failure": failure if isinstance(failure, str) else "",
            "sides": sides,
            "axis": strips(sides),
        }


def strips(sides: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the similarities of several models as positions on one axis, in percent.

    Args:
        sides: what `Compared.pair` answers.

    Returns:
        low and high, the ends of the axis, and lanes: a list of places for each of the sides.
    """
    values = [value for side in sides for value in side["values"]]
    if not values:
        return {}
    low, high = min(values), max(values)
    width = (high - low) or 1.0
    return {
        "low": low,
        "high": high,
        "lanes": [[round(100 * (x - low) / width, 1) for x in side["values"]] for side in sides],
    }


def _conditioned(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return the outcomes with attack and intensity; where nothing is said, untouched."""
    defaults = {"attack": "none", "intensity": 0.0}
    return outcomes.assign(**{k: v for k, v in defaults.items() if k not in outcomes})


def _labels(outcomes: pd.DataFrame, candidates: pd.DataFrame) -> list[str]:
    """Return all models, those of the zoo in its order first."""
    others = sorted({*outcomes["truth"], *outcomes["predicted"].dropna()})
    return list(dict.fromkeys([*candidates["generator"], *others]))


def _attributors(result: Any, outcomes: pd.DataFrame) -> dict[str, str]:
    """Return label → attributor, by short names where the result has them."""
    short = {name: label for label, name in getattr(result, "attributors", {}).items()}
    return {short.get(name, name): name for name in outcomes["attributor"].unique()}


def _conditions(outcomes: pd.DataFrame) -> dict[str, tuple[str, float]]:
    """Return label → attack and intensity."""
    pairs = outcomes[["attack", "intensity"]].drop_duplicates().itertuples(index=False)
    return {
        "untouched" if attack == "none" else f"{attack} at {intensity:g}": (attack, intensity)
        for attack, intensity in pairs
    }


def _known(attributor: str, options: dict[str, str]) -> str:
    """Return an attributor by its name or its short one; ValueError for an unknown one."""
    name = options.get(attributor, attributor)
    if name not in options.values():
        raise ValueError(f"no attributor named {attributor!r}; there are: {', '.join(options)}")
    return name
