"""What a notebook begins with: figures for light and dark pages, and progress in long cells."""

from __future__ import annotations

import time
from typing import Any

from workbench import figures
from workbench.pipeline import progress

OFTEN = 0.2
"""Seconds between two words about the same stage."""
MARK = {"workbench": "progress"}
"""Metadata of an output that tells progress: `make notebooks` keeps none."""


def notebook() -> None:
    """Set up this notebook, once, in its first cell.

    Figures come at double density on clear ground, their blacks and greys in one grey that is read
    on a light page and on a dark one; a cell that inverts, draws, encodes or compares says how far
    it is, in a line that goes when it is done. Outside of a notebook nothing changes.
    """
    shell = figures.notebook()
    if shell is None:
        return
    line = Line()
    progress.show(line)
    shell.events.register("post_run_cell", line.end)


class Line:
    """A line below the running cell that says how far it is; call it with (stage, done, total)."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._stage, self._at = "", 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Tell how far a stage is: at once where it is new or done, else five times a second."""
        from IPython.display import display

        now = time.monotonic()
        if stage == self._stage and done < total and now < self._at + OFTEN:
            return
        self._stage, self._at = stage, now
        data = {"text/plain": f"{stage}: {done} of {total}"}
        if self._handle is None:
            show: Any = display
            self._handle = show(data, raw=True, metadata=MARK, display_id=True)
        else:
            self._handle.update(data, raw=True, metadata=MARK)

    def end(self, *_: Any) -> None:
        """Blank the line: the cell is done."""
        if self._handle is not None:
            self._handle.update({"text/plain": ""}, raw=True, metadata=MARK)
        self._handle, self._stage = None, ""
