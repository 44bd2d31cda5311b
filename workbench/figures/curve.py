"""Values over a setting, one line a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def curve(
    results: pd.DataFrame,
    *,
    x: str,
    line: str,
    names: Mapping[str, str] | None = None,
    marks: Sequence[float] = (),
    percent: bool = True,
    joined: bool = True,
    title: str = "",
    ax: Any = None,
) -> Any:
    """Draw a value over ``x`` with its interval as a band, a line for each ``line``.

    Args:
        results: an experiment's results; ``x`` numbers, or text in the order of the table.
        x: the key across.
        line: the key of the lines; told apart by colour, dash and mark.
        names: label of each line, where it is not its own.
        marks: places on x to point out.
        percent: whether the values are shares.
        joined: draw a line and a band; else points with their intervals side by side, for keys
            without an order.
        title: of the Axes.
        ax: matplotlib Axes to draw into; new ones when left out.

    Returns:
        the Axes.
    """
    import pandas as pd

    from workbench.figures._canvas import axes, count, key, pt, settle, source, tidy
    from workbench.figures.colours import DASHES, MARKS, of

    alone, ax = ax is None, axes(ax, 6.0, 4.0)
    palette = of(line, results[line].astype(str))
    order = list(pd.unique(results[x]))
    lines = results[line].nunique()
    text = not pd.api.types.is_numeric_dtype(results[x])
    for place, name in enumerate(pd.unique(results[line])):
        part = results[results[line] == name]
        at = [order.index(value) for value in part[x]] if text else list(part[x])
        style = {"color": palette[str(name)], "lw": pt(2), "ms": pt(6), "mec": "white"}
        style |= {"ls": DASHES[place % len(DASHES)], "marker": MARKS[place % len(MARKS)]}
        low, high = (part[end].astype(float) for end in ("low", "high"))
        label = (names or {}).get(name, name)
        if not joined:
            aside = [x + 0.12 * (place - (lines - 1) / 2) for x in at]
            ends = [part["value"] - low, high - part["value"]]
            ax.errorbar(aside, part["value"], yerr=ends, label=label, **style | {"ls": "none"})
            continue
        ax.plot(at, part["value"], label=label, zorder=3, **style)
        ax.fill_between(at, low, high, color=style["color"], alpha=0.12, lw=0)
    for value in marks:
        ax.axvline(value, color="0.75", lw=pt(1), ls=(0, (1, 3)), zorder=0)
    if text:
        ax.set_xticks(range(len(order)), order)
    if percent:
        ax.yaxis.set_major_formatter("{x:.0%}")
    mark, across = "band" if joined else "line", "" if text else f"{x} · "
    told = f"{across}n = {count(results['n'])} a point; {mark}: 95 % interval"
    tidy(ax, title, told, grid="y")
    key(ax)
    if alone:
        settle(ax.figure)
    return source(ax, results)
