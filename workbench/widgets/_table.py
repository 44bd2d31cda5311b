"""The linked table of the Explorer: the points in rows, those chosen first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import ipywidgets
import numpy as np
import traitlets

from workbench.widgets._page import Pager

if TYPE_CHECKING:
    import pandas as pd

ROWS = 50
"""Rows of a page."""


class Rows(anywidget.AnyWidget):
    """The rows of a page; ``_table.js`` draws them."""

    _esm = Path(__file__).with_name("_table.js")

    columns: Any = traitlets.List(traitlets.Unicode()).tag(sync=True)
    rows: Any = traitlets.List().tag(sync=True)
    by = traitlets.Unicode().tag(sync=True)
    down = traitlets.Bool(False).tag(sync=True)


class Table(ipywidgets.VBox):
    """Points in rows, sorted by a column: those chosen first, those filtered out not at all.

    Args:
        table: a row a point; ``picture`` is its digest, every other column is shown.
        opened: called with the digest of a row that was clicked.
    """

    def __init__(self, table: pd.DataFrame, opened: Callable[[str], None]) -> None:
        self._table, self._opened = table, opened
        self._order = np.arange(len(table))
        self._chosen = np.zeros(len(table), dtype=bool)
        self._shown = np.ones(len(table), dtype=bool)
        self._stale = True
        self._pager = Pager(ROWS, self._fill)
        self.rows = Rows(columns=[name for name in table if name != "picture"])
        self.rows.on_msg(self._asked)
        super().__init__(children=[self.rows, self._pager])

    def sort(self, column: str, down: bool = False) -> None:
        """Sort by a column, missing values last."""
        self.rows.by, self.rows.down = column, down
        self._stale = True
        self.show(self._chosen, self._shown)

    def show(self, chosen: np.ndarray, shown: np.ndarray) -> None:
        """Mark the rows chosen, and show those shown alone: (N,) bool each."""
        self._chosen, self._shown = chosen, shown
        order = self._sorted()
        order = order[shown[order]]
        first = chosen[order]
        self._order = np.concatenate([order[first], order[~first]])
        self._pager.show(len(self._order))
        self._fill()

    def refresh(self, column: str, values: Any) -> None:
        """Take other values of a column."""
        self._table[column] = values
        self._stale |= self.rows.by == column
        self._fill()

    def _sorted(self) -> np.ndarray:
        """Return the places of all rows in the order of the column, kept until it changes."""
        if self._stale:
            if self.rows.by:
                column = self._table[self.rows.by].reset_index(drop=True)
                order = column.sort_values(
                    ascending=not self.rows.down, kind="stable", na_position="last"
                )
                self._all = order.index.to_numpy()
            else:
                self._all = np.arange(len(self._table))
            self._stale = False
        return self._all

    def _fill(self) -> None:
        """Send the rows of the page."""
        places = self._order[self._pager.start : self._pager.start + ROWS]
        part = self._table.iloc[places]
        cells = {name: [_cell(value) for value in part[name]] for name in self.rows.columns}
        self.rows.rows = [
            {"id": picture, "chosen": bool(self._chosen[place]), "cells": list(texts)}
            for picture, place, *texts in zip(part["picture"], places, *cells.values(), strict=True)
        ]

    def _asked(self, _: Any, content: dict[str, Any], __: Any) -> None:
        if content.get("type") == "sort" and content["column"] in self.rows.columns:
            column = content["column"]
            self.sort(column, down=column == self.rows.by and not self.rows.down)
        elif content.get("type") == "open":
            self._opened(str(content["id"]))


def _cell(value: Any) -> str:
    import pandas as pd

    if pd.isna(value):
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
