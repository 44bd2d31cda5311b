"""Parts shared by every figure: size, look, and the frame it was drawn from.

Outside of a venue nothing here touches global settings; `venue` sets them for a while.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import pandas as pd

WIDE = 7.0
"""Inches on the screen from which on a design goes over the whole text, not over a column."""
FLAT = 0.88
"""How much flatter a figure is in a venue, where it is narrower than on the screen."""


@dataclass(frozen=True)
class Measure:
    """The measures of a venue: width of a column and of the text in inches, font size in pt."""

    name: str
    column: float
    text: float
    size: float


CHANCE = "chance"
"""The label of the line where a guess would lie."""
HERE: ContextVar[Measure | None] = ContextVar("venue", default=None)
SOURCES: WeakKeyDictionary[Any, pd.DataFrame] = WeakKeyDictionary()


def size(width: float, height: float) -> tuple[float, float]:
    """Return the size of a figure in inches: as designed, or in a venue exactly its width."""
    here = HERE.get()
    if here is None:
        return width, height
    return (here.text if width >= WIDE else here.column), height * here.size / 10 * FLAT


def resize(figure: Any, width: float, height: float) -> None:
    """Set the size of a matplotlib Figure.

    Args:
        figure: the Figure.
        width: in inches on the screen. In a venue the figure is exactly as wide as the text where
            this is 7 or more, else as a column.
        height: in inches on the screen; less in a venue, as its letters are smaller.
    """
    figure.set_size_inches(*size(width, height))
    if layout := figure.get_layout_engine():
        layout.set(wspace=0.03)  # numbers beside one panel, and names beside the next


def axes(ax: Any, width: float, height: float) -> Any:
    """Return the given Axes, or new ones of a size in inches."""
    return new(*size(width, height)) if ax is None else ax


def new(width: float, height: float) -> Any:
    """Return Axes in a new figure of a size in inches."""
    import matplotlib.pyplot as plt

    return plt.figure(figsize=(width, height), layout="constrained").add_subplot()


def pt(value: float) -> float:
    """Return a line width or mark size in points: as designed, or smaller in a venue."""
    here = HERE.get()
    return value if here is None else value * here.size / 10 * FLAT


def beside(ax: Any, place: float, text: str, strong: bool) -> None:
    """Write a row's value in the column right of the axes, bold where it is strong."""
    ax.annotate(
        text,
        (1, place),
        xycoords=ax.get_yaxis_transform(),
        xytext=(pt(8), 0),
        textcoords="offset points",
        va="center",
        fontsize="small",
        fontweight="bold" if strong else "normal",
    )


def source(ax: Any, frame: pd.DataFrame) -> Any:
    """Record the frame that an Axes was drawn from, for `save`; return the Axes.

    Names and prompts with dollars in them are words, no formulas, and are shown as they are.
    """
    from matplotlib.text import Text

    SOURCES[ax] = frame.reset_index(drop=True)
    ax.get_xticklabels(), ax.get_yticklabels()  # makes them
    for text in ax.findobj(Text):
        if "$" in text.get_text() and "mathdefault" not in text.get_text():  # of a log scale
            text.set_parse_math(False)
    return ax


def tidy(ax: Any, title: str, label: str, grid: str = "") -> None:
    """Set the title of an Axes and the label below; leave out what carries nothing.

    Args:
        ax: matplotlib Axes.
        title: stands on the left, and breaks into lines where it is wider than the Axes.
        label: likewise, below: what x is, n, and what an interval is.
        grid: ``x`` or ``y``, the axis whose grid is drawn.
    """
    heading(ax, title)
    note(ax, label)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color("0.7")
    ax.tick_params(axis="both", length=0)
    ax.tick_params(axis="x", labelsize="small", labelcolor="0.3")
    ax.set_axisbelow(True)
    if grid:
        ax.grid(axis=grid, color="0.9", lw=pt(0.8))


def heading(ax: Any, title: str) -> None:
    """Set the title of an Axes; it breaks into lines where it is wider than they are."""
    _fold(ax, ax.set_title(title, loc="left", fontsize="medium", fontweight="bold"))


def note(ax: Any, label: str) -> None:
    """Set what stands below an Axes; it breaks into lines where it is wider than they are."""
    _fold(ax, ax.set_xlabel(label, fontsize="small", color="0.3"))


def count(numbers: Iterable[int]) -> str:
    """Return a count as text, as a range where parts differ.

    >>> count([4, 2, 4]), count([3])
    ('2–4', '3')
    """
    seen = sorted(set(numbers))
    return f"{seen[0]}" if len(seen) == 1 else f"{seen[0]}–{seen[-1]}"


def key(ax: Any, **options: Any) -> None:
    """Add a legend where it covers least of the Axes, long names broken into lines."""
    from textwrap import fill

    handles, labels = _last(*ax.get_legend_handles_labels())
    short = [fill(str(label), 36, break_long_words=False) for label in labels]
    options = {"frameon": False, "fontsize": "small"} | options
    ax.legend(handles, short, **options).set_in_layout(False)


def _last(handles: Any, labels: Any) -> tuple[list[Any], list[Any]]:
    """Return the entries of a legend with chance at the end."""
    pairs = sorted(zip(handles, labels, strict=True), key=lambda pair: pair[1] == CHANCE)
    return [handle for handle, _ in pairs], [label for _, label in pairs]


def legend(figure: Any, handles: Any, labels: Any) -> None:
    """Add a legend below all Axes of a Figure, in as many columns as fit its width.

    Args:
        figure: a matplotlib Figure with constrained layout.
        handles: what `Axes.get_legend_handles_labels` answers.
        labels: likewise.
    """
    handles, labels = _last(handles, labels)
    for columns in range(len(labels), 0, -1):
        box = figure.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=columns,
            frameon=False,
            fontsize="small",
        )
        if columns == 1 or box.get_window_extent().width <= figure.bbox.width:
            return
        box.remove()


def settle(figure: Any) -> None:
    """Lay a figure out so that nothing lies over anything else.

    The labels of an x axis are turned where they would run into one another, and a legend that
    would cover a point or an interval gets room above them.
    """
    figure.draw_without_rendering()
    if _turned(figure):
        figure.draw_without_rendering()
    covering = [ax for ax in figure.axes if _covers(ax)]
    for ax in covering:
        _raise(ax)
    if covering:
        figure.draw_without_rendering()


def _turned(figure: Any) -> bool:
    """Turn the labels of the x axes that need it; return whether there was one."""
    turned = False
    for ax in figure.axes:
        labels = [label for label in ax.get_xticklabels() if label.get_text()]
        boxes = [label.get_window_extent() for label in labels]
        gap = max((0.6 * label.get_fontsize() * figure.dpi / 72 for label in labels), default=0)
        close = any(one.x1 + gap > two.x0 for one, two in pairwise(boxes))
        close &= not any(label.get_rotation() for label in labels)
        if close:
            ax.tick_params(axis="x", rotation=30)
            for label in labels:
                label.set(horizontalalignment="right", rotation_mode="anchor")
        turned |= close
    return turned


def _covers(ax: Any) -> bool:
    """Return whether the legend of an Axes lies over a point of a line, or over an interval."""
    import numpy as np

    legend = ax.get_legend()
    if legend is None or not legend.get_visible():
        return False
    box = legend.get_window_extent()
    data = [line for line in ax.lines if line.get_zorder() >= 2]  # below lies what only guides
    ways = [line.get_transform().transform(line.get_xydata().astype(float)) for line in data]
    for collection in ax.collections:
        if hasattr(collection, "get_segments"):  # of error bars
            ways += [ax.transData.transform(segment) for segment in collection.get_segments()]
    for way in ways:
        steps = np.linspace(0, 1, 21)[:, None, None]
        points = (way[:-1] + steps * (way[1:] - way[:-1])).reshape(-1, 2) if len(way) > 1 else way
        inside = (points > [box.x0, box.y0]) & (points < [box.x1, box.y1])
        if inside.all(axis=1).any():
            return True
    return False


def _raise(ax: Any) -> None:
    """Give the legend of an Axes room of its own above what is drawn."""
    legend = ax.get_legend()
    share = min(0.6, legend.get_window_extent().height / ax.bbox.height + 0.03)
    low, high = ax.get_ylim()
    ticks = [tick for tick in ax.get_yticks() if low <= tick <= high + 1e-9]
    ax.set_ylim(low, low + (high - low) / (1 - share))
    ax.set_yticks(ticks)
    legend.set_loc("upper left")


def _fold(ax: Any, text: Any) -> None:
    """Wrap a text by the width of its Axes; matplotlib wraps by the figure's."""
    text.set_wrap("$" not in text.get_text())  # which matplotlib measures as a formula
    text._get_wrap_line_width = partial(_width, ax)


def _width(ax: Any) -> float:
    return float(ax.bbox.width)
