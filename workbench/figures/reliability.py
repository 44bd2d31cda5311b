"""Reliability diagram: share of right calls over their confidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def reliability(
    predictions: pd.DataFrame,
    *,
    line: str = "",
    bins: int = 10,
    names: Mapping[str, str] | None = None,
    title: str = "Right as often as it says?",
    ax: Any = None,
) -> Any:
    """Draw the share of pictures that were right over the confidence they were called with.

    A point on the diagonal is calibrated; below it calls are wrong more often than they say, above
    it less often. The pictures are put into bins of about as many each, by their confidence
    (Bröcker & Smith 2007, Weather and Forecasting 22:651); equal ones share a bin.

    Args:
        predictions: ``confidence`` in [0, 1], ``correct`` (bool) and ``prompt`` of each picture.
        line: a column that parts the pictures, an attributor or the model called; each has a line.
        bins: of each line, at most; fewer where many confidences are equal.
        names: label of each line, where it is not its own in words (`wording.readable`).
        title: of the Axes.
        ax: matplotlib Axes to draw into; new ones when left out.

    Returns:
        the Axes; the intervals are of 95%, over scenes.

    Raises:
        ValueError: there is no picture with a confidence, or fewer than one bin.
    """
    import pandas as pd

    from workbench.catalogue.wording import readable
    from workbench.figures._canvas import axes, count, key, pt, source, tidy
    from workbench.figures.colours import MARKS, of

    table = predictions[predictions["confidence"].notna()]
    if table.empty or bins < 1:
        raise ValueError(
            "a reliability diagram needs pictures with a confidence and a bin at least; seen "
            f"{len(table)} and {bins}"
        )
    parts = [(str(name), part) for name, part in table.groupby(line)] if line else [("", table)]
    palette = of(line, [name for name, _ in parts])
    ax, traced = axes(ax, 4.8, 4.4), []
    ax.plot([0, 1], [0, 1], color="0.6", lw=pt(1), ls=(0, (4, 3)), zorder=1)
    for place, (name, part) in enumerate(parts):
        points = _points(part, bins)
        ends = [points["value"] - points["low"], points["high"] - points["value"]]
        style = {"color": palette[name], "lw": pt(1.5), "ms": pt(6), "mew": 0, "zorder": 3}
        style |= {
            "marker": MARKS[place % len(MARKS)],
            "label": (names or {}).get(name, readable(name)),
        }
        ax.errorbar(points["confidence"], points["value"], yerr=ends, **style)
        traced.append(points.assign(**{line: name}) if line else points)
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:.0%}")
    drawn = pd.concat(traced, ignore_index=True)
    below = f"confidence · n = {len(table)} pictures, {count(drawn['n'])} a point"
    tidy(ax, title, f"{below}; bar: 95% interval; dashes: calibrated", grid="both")
    ax.set_ylabel("pictures attributed rightly", fontsize="small", color="0.3")
    if line:
        key(ax)
    return source(ax, drawn)


def _points(part: pd.DataFrame, bins: int) -> pd.DataFrame:
    """Estimate the mean confidence and the share of right ones in bins of about as many."""
    import pandas as pd

    from workbench.evaluation.prompts import scenes
    from workbench.evaluation.statistics import accuracy_interval

    place = (part["confidence"].rank() - 0.5) / len(part) * bins
    rows = []
    for _, bin_rows in part.groupby(place.astype(int)):
        share = accuracy_interval(bin_rows["correct"].astype(float), scenes(bin_rows))
        ends = {"value": share.value, "low": share.low, "high": share.high, "n": share.n}
        rows.append({"confidence": bin_rows["confidence"].mean(), **ends})
    return pd.DataFrame(rows)
