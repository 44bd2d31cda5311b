"""Known sources told from unknown ones, at every threshold."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def oscr(
    pictures: pd.DataFrame,
    *,
    title: str = "Open-set classification rate",
    ax: Any = None,
) -> Any:
    """Draw the share of known pictures attributed rightly over that of unknown ones let through.

    Higher and further left is better; the legend tells the area with its 95 % interval, by
    bootstrap over prompts (`evaluation.oscr`, Dhamija et al. 2018, arXiv:1811.04110).

    Args:
        pictures: as the experiment openset answers them: ``p`` (higher is more likely known),
            ``known`` and ``correct`` (bool), ``prompt``, and ``unknown``, whose values each have a
            line; a candidate model that was left out has its own colour.
        title: of the Axes.
        ax: matplotlib Axes to draw into; new ones when left out.

    Returns:
        the Axes.

    Raises:
        ValueError: a line has no known or no unknown picture.
    """
    import pandas as pd

    from workbench import catalogue
    from workbench.evaluation.statistics import bootstrap_statistic
    from workbench.figures._canvas import axes, count, key, pt, source, tidy
    from workbench.figures.colours import DASHES, colour, colours

    ax = axes(ax, 6.0, 4.4)
    names = list(dict.fromkeys(pictures["unknown"]))
    models = colours(name for name in names if name in catalogue.rows_of("generator"))
    traced, sizes = [], []
    for place, name in enumerate(names):
        part = pictures[pictures["unknown"] == name]
        known = part["known"].to_numpy(bool)
        if known.all() or not known.any():
            raise ValueError(
                f"{name!r} needs known and unknown pictures; "
                f"{known.sum()} of {len(known)} are known"
            )
        of = part["p"].to_numpy(float), known, part["correct"].to_numpy(bool)
        found = bootstrap_statistic(partial(_area, *of), part["prompt"])
        curve = _trace(*of, np.arange(len(part)))
        label = f"{name}: {found.value:.2f} ({found.low:.2f} to {found.high:.2f})"
        style = {"color": models.get(name, "0.2" if models else colour(place)), "lw": pt(2)}
        style |= {"ls": DASHES[place % len(DASHES)], "label": label}
        ax.plot(curve["fpr"], curve["ccr"], **style)
        traced.append(curve.assign(unknown=name))
        sizes += [int(known.sum()), int((~known).sum())]
    ax.set(xlim=(0, 1), ylim=(0, 1.02))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:.0%}")
    told = f"unknown pictures let through · n = {count(sizes[::2])} known, {count(sizes[1::2])}"
    tidy(ax, title, f"{told} unknown; legend: area, 95 % interval", grid="both")
    ax.set_ylabel("known pictures attributed rightly", fontsize="small", color="0.3")
    key(ax, loc="lower right")
    table = pd.concat(traced, ignore_index=True)
    return source(ax, table[["unknown", "fpr", "ccr"]])


def _trace(p: np.ndarray, known: np.ndarray, right: np.ndarray, rows: np.ndarray) -> pd.DataFrame:
    """Trace the rates of some rows."""
    from workbench import evaluation

    inside, outside = rows[known[rows]], rows[~known[rows]]
    return evaluation.oscr(p[inside], right[inside], p[outside])


def _area(p: np.ndarray, known: np.ndarray, right: np.ndarray, rows: np.ndarray) -> float:
    """Measure the area of some rows; NaN where all or none are known."""
    from workbench import evaluation

    one_sided = known[rows].all() or not known[rows].any()
    return float("nan") if one_sided else evaluation.oscr_area(_trace(p, known, right, rows))
