"""What is wrong with a laid-out figure: texts cut, tiny or on one another, legends on data."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from matplotlib.text import Text

SMALLEST = 6
"""Points of the smallest letters."""
SLACK = 0.5
"""Points by which two boxes may touch: what a font leaves empty above and below its letters."""


def tick_labels(axis: Any, ends: tuple[float, float]) -> list[Text]:
    """Gather the labels of an axis that are drawn."""
    low, high = sorted(ends)
    return [
        tick.label1
        for tick in axis.get_major_ticks()
        if low - 1e-9 <= tick.get_loc() <= high + 1e-9
        if tick.label1.get_visible() and tick.label1.get_text().strip()
    ]


def texts(figure: Any) -> list[Text]:
    """Gather every text of a figure that is drawn."""
    drawn = [*figure.texts]
    for legend in [*figure.legends, *(ax.get_legend() for ax in figure.axes)]:
        drawn += [*legend.get_texts(), legend.get_title()] if legend else []
    for ax in figure.axes:
        drawn += [ax.title, ax._left_title, ax._right_title]
        drawn += [ax.xaxis.label, ax.yaxis.label, *ax.texts]
        drawn += tick_labels(ax.xaxis, ax.get_xlim()) + tick_labels(ax.yaxis, ax.get_ylim())
    return [text for text in drawn if text.get_visible() and text.get_text().strip()]


def corners(text: Text, slack: float) -> np.ndarray:
    """Return the four corners of a text's box in pixels, turned as the text is."""
    around, angle = text.get_window_extent(), text.get_rotation()
    text.set_rotation(0)
    flat = text.get_window_extent()
    text.set_rotation(angle)
    half = np.maximum([flat.width / 2 - slack, flat.height / 2 - slack], 0)
    turn = math.radians(angle)
    axes = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    middle = np.array([around.x0 + around.x1, around.y0 + around.y1]) / 2
    return middle + np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) * half @ axes


def overlap(one: np.ndarray, two: np.ndarray) -> bool:
    """Return whether two boxes overlap: no side of either parts them."""
    for box in (one, two):
        for side in (box[1] - box[0], box[2] - box[1]):
            first, second = one @ side, two @ side
            if first.max() <= second.min() or second.max() <= first.min():
                return False
    return True


def covered(ax: Any) -> bool:
    """Return whether an Axes' legend lies on a mark, or on an end of an interval."""
    legend = ax.get_legend()
    if legend is None:
        return False
    box = legend.get_window_extent()
    ways = [
        line.get_transform().transform(line.get_xydata().astype(float))
        for line in ax.lines
        if line.get_zorder() >= 2
    ]
    for bars in ax.collections:
        if hasattr(bars, "get_segments"):
            ways += [ax.transData.transform(segment) for segment in bars.get_segments()]
    points = np.concatenate(ways) if ways else np.empty((0, 2))
    inside = (points > [box.x0, box.y0]) & (points < [box.x1, box.y1])
    return bool(inside.all(axis=1).any())


def faults(figure: Any) -> list[str]:
    """Find texts cut by the edge, too small, or over one another, and legends on what is drawn."""
    problems, page, slack = [], figure.bbox, SLACK * figure.dpi / 72
    shown = texts(figure)
    for text in shown:
        box, words = text.get_window_extent(), repr(text.get_text())
        if min(box.x0, box.y0) < -1 or box.x1 > page.x1 + 1 or box.y1 > page.y1 + 1:
            problems.append(f"cut: {words}")
        if text.get_fontsize() < SMALLEST:
            problems.append(f"{text.get_fontsize():.1f} pt: {words}")
    boxes = [corners(text, slack) for text in shown]
    for (one, first), (two, second) in itertools.combinations(zip(shown, boxes, strict=True), 2):
        if overlap(first, second):
            problems.append(f"{one.get_text()!r} on {two.get_text()!r}")
    problems += [
        f"a legend on data: {ax.get_title(loc='left')}" for ax in figure.axes if covered(ax)
    ]
    return problems
