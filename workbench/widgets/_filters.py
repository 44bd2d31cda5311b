"""The filter box of the Explorer: one control a column, over texts, numbers and classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np

if TYPE_CHECKING:
    import pandas as pd

FEW = 12
"""Different values up to which a column of texts has a box for each."""
WORDS = ("prompt", "path", "tags")
"""Columns that are filtered by words however few their values are."""
MISSING = "–"
ADD = "add a filter …"


class Filters(ipywidgets.HBox):
    """Keep the rows that meet every filter: words in a text, a range, some of the classes.

    A range that holds every value hides no row; a narrower one hides those without a value, too.

    Args:
        table: a row a point, a column each thing that can be filtered by.
        changed: called when other rows are kept than before.
    """

    def __init__(self, table: pd.DataFrame, changed: Callable[[], None]) -> None:
        self._table, self._changed = table, changed
        self._controls: dict[str, ipywidgets.Widget] = {}
        self._add = ipywidgets.Dropdown(layout={"width": "150px"})
        self._add.observe(self._added, "value")
        super().__init__(layout={"flex_flow": "row wrap", "align_items": "center"})
        self._lay()

    @property
    def value(self) -> dict[str, Any]:
        """The filters set: column → (lowest, highest), a list of classes, or words."""
        return {name: _value(control) for name, control in self._controls.items()}

    def set(self, wanted: Mapping[str, Any]) -> None:
        """Set other filters instead.

        Raises:
            ValueError: no such column, or a value that its control cannot take.
        """
        unknown = [name for name in wanted if name not in self._table]
        if unknown:
            raise ValueError(
                f"no column {unknown[0]!r} to filter by; there are: {', '.join(self._table)}"
            )
        controls = {name: self._control(name) for name in wanted}
        for name, control in controls.items():
            _put(control, name, wanted[name])
        self._controls = controls
        for control in controls.values():
            self._watch(control)
        self._lay()
        self._changed()

    def mask(self) -> np.ndarray:
        """Return which rows meet every filter: (N,) bool."""
        kept = np.ones(len(self._table), dtype=bool)
        for name, wanted in self.value.items():
            kept &= self._meets(name, wanted)
        return kept

    def refresh(self, column: str, values: Any) -> None:
        """Take other values of a column of texts."""
        self._table[column] = values
        if column in self._controls:
            self._changed()

    def _meets(self, name: str, wanted: Any) -> np.ndarray:
        column = self._table[name]
        if isinstance(wanted, tuple):
            numbers = column.to_numpy(dtype=float, na_value=np.nan)
            low, high = wanted
            if low <= np.nanmin(numbers, initial=np.inf) and high >= np.nanmax(
                numbers, initial=-np.inf
            ):
                return np.ones(len(numbers), dtype=bool)
            with np.errstate(invalid="ignore"):
                return np.asarray((numbers >= low) & (numbers <= high))
        texts = column.astype(object).where(column.notna(), MISSING).astype(str)
        codes, distinct = texts.factorize()
        if isinstance(wanted, list):
            return np.isin(codes, np.flatnonzero(np.isin(distinct, wanted)))
        words = wanted.casefold().split()
        hits = [all(word in text.casefold() for word in words) for text in distinct]
        return np.asarray(hits, dtype=bool)[codes] if len(codes) else np.zeros(0, dtype=bool)

    def _added(self, change: Any) -> None:
        name = change["new"]
        if name != ADD:
            self._controls[name] = control = self._control(name)
            self._watch(control)
            self._lay()

    def _remove(self, name: str) -> None:
        del self._controls[name]
        self._lay()
        self._changed()

    def _lay(self) -> None:
        rows = []
        for name, control in self._controls.items():
            drop = ipywidgets.Button(
                icon="times", tooltip=f"no filter by {name}", layout={"width": "32px"}
            )
            drop.on_click(lambda _, name=name: self._remove(name))
            label = ipywidgets.Label(name)
            rows.append(ipywidgets.HBox([label, control, drop], layout={"margin": "0 12px 0 0"}))
        self._add.unobserve(self._added, "value")
        self._add.options = [ADD, *(name for name in self._table if name not in self._controls)]
        self._add.value = ADD
        self._add.observe(self._added, "value")
        self.children = [*rows, self._add]

    def _control(self, name: str) -> ipywidgets.Widget:
        """Return the control of a column, set so that every row meets it."""
        column = self._table[name]
        if column.dtype.kind in "fiu" or str(column.dtype).startswith(("Int", "Float")):
            numbers = column.dropna()
            low, high = (float(numbers.min()), float(numbers.max())) if len(numbers) else (0, 1)
            return ipywidgets.FloatRangeSlider(
                value=(low, high), min=low, max=max(high, low + 1e-6),
                step=max((high - low) / 200, 1e-6), readout_format=".3f", continuous_update=False,
                layout={"width": "320px"},
            )  # fmt: skip
        distinct = column.astype(object).where(column.notna(), MISSING).astype(str).unique()
        if name not in WORDS and len(distinct) <= FEW:
            boxes = [
                ipywidgets.Checkbox(True, description=text, indent=False, layout={"width": "auto"})
                for text in sorted(distinct)
            ]
            return ipywidgets.HBox(boxes, layout={"flex_flow": "row wrap"})
        return ipywidgets.Text(
            placeholder="words, then Enter", continuous_update=False, layout={"width": "200px"}
        )

    def _watch(self, control: ipywidgets.Widget) -> None:
        for part in control.children if isinstance(control, ipywidgets.HBox) else [control]:
            part.observe(lambda _: self._changed(), "value")


def _value(control: Any) -> Any:
    """Return what a control says: a range, a list of classes, or words."""
    if isinstance(control, ipywidgets.HBox):
        return [box.description for box in control.children if box.value]
    return control.value


def _put(control: Any, name: str, wanted: Any) -> None:
    """Set a control; ValueError where it cannot take that."""
    if isinstance(control, ipywidgets.HBox):
        names = [wanted] if isinstance(wanted, str) else list(wanted)
        known = {box.description for box in control.children}
        strange = [each for each in names if each not in known]
        if strange:
            raise ValueError(
                f"{name} has no value {strange[0]!r}; there are: {', '.join(sorted(known))}"
            )
        for box in control.children:
            box.value = box.description in names
    elif isinstance(control, ipywidgets.Text):
        control.value = str(wanted)
    else:
        try:
            low, high = (float(each) for each in wanted)
        except (TypeError, ValueError):
            raise ValueError(f"{name} is filtered by (lowest, highest); seen {wanted!r}") from None
        control.value = (max(low, control.min), min(high, control.max))
