"""The legend of the Explorer: classes with their colours and counts, to be shown and hidden."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets


class Legend(anywidget.AnyWidget):
    """Classes as buttons: a click shows or hides one, a double click shows it alone.

    ``hidden`` (names) can be read, set and observed.
    """

    _esm = Path(__file__).with_name("_legend.js")

    entries: Any = traitlets.List().tag(sync=True)
    hidden: Any = traitlets.List(traitlets.Unicode()).tag(sync=True)
    words = traitlets.Unicode().tag(sync=True)

    def show(self, entries: Sequence[tuple[str, str, int]], words: str) -> None:
        """Show classes, each with its name, its colour as CSS writes it, and its number."""
        with self.hold_sync():
            self.entries = [list(entry) for entry in entries]
            self.words = words
