"""Values over a setting, one line a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

MANY = 8
"""Points on x from which on every line has a band."""
APART = 0.008
"""How far apart the points of two lines lie, as a share of x."""


def curve(
    results: pd.DataFrame,
    *,
    x: str,
    line: str,
    names: Mapping[str, str] | None = None,
    marks: Sequence[float] = (),
    percent: bool = True,
    joined: bool = True,
    chance: float | Sequence[float] | None = None,
    title: str = "",
    ax: Any = None,
) -> Any:
    """Draw a value over ``x`` with its interval, a line for each ``line``.

    The interval is a band where there are one or two lines, or many points; of more lines, whose
    bands would cover one another, it is a bar at each point, the points a little apart.

    Args:
        results: an experiment's results; ``x`` numbers, or text in the order of the table.
        x: the key across.
        line: the key of the lines; told apart by dash and mark, candidate models by colour too.
        names: label of each line, where it is not the key in words (`wording.readable`).
        marks: places on x to point out.
        percent: whether the values are shares.
        joined: draw a line; else points with their intervals side by side, for keys without an
            order.
        chance: where a guess would lie, for all of x or for each of its values in order.
        title: of the Axes.
        ax: matplotlib Axes to draw into; new ones when left out.

    Returns:
        the Axes.
    """
    import numpy as np
    import pandas as pd

    from workbench.catalogue.wording import readable
    from workbench.figures._canvas import CHANCE, axes, count, key, pt, settle, source, tidy
    from workbench.figures.colours import DASHES, MARKS, of

    alone, ax = ax is None, axes(ax, 6.0, 4.0)
    palette = of(line, results[line].astype(str))
    order = list(pd.unique(results[x]))
    lines = list(pd.unique(results[line]))
    text = not pd.api.types.is_numeric_dtype(results[x])
    across = list(range(len(order))) if text else order
    banded = joined and (len(lines) < 3 or len(order) > MANY)
    apart = 0.0 if banded else (0.12 if not joined else APART * float(np.ptp(across)))
    for place, name in enumerate(lines):
        part = results[results[line] == name]
        at = np.array([across[order.index(value)] for value in part[x]], dtype=float)
        at += apart * (place - (len(lines) - 1) / 2)
        style = {"color": palette[str(name)], "lw": pt(1.6), "ms": pt(5.5), "mew": 0}
        style |= {"marker": MARKS[place % len(MARKS)], "zorder": 3 - place / len(lines)}
        style |= {"ls": DASHES[place % len(DASHES)] if joined else "none"}
        style |= {"label": (names or {}).get(name, readable(name))}
        low, high = (part[end].astype(float) for end in ("low", "high"))
        if banded:
            ax.plot(at, part["value"], **style)
            ax.fill_between(at, low, high, color=style["color"], alpha=0.12, lw=0)
        else:
            ends = [part["value"] - low, high - part["value"]]
            ax.errorbar(at, part["value"], yerr=ends, elinewidth=pt(1), **style)
    guess = {"color": "0.4", "lw": pt(1), "ls": (0, (4, 3)), "zorder": 1, "label": CHANCE}
    if isinstance(chance, (int, float)):
        ax.axhline(chance, **guess)
    elif chance is not None:
        ax.plot(across, list(chance), **guess)
    for value in marks:
        ax.axvline(value, color="0.75", lw=pt(1), ls=(0, (1, 3)), zorder=0)
    if text:
        ax.set_xticks(across, [readable(value) for value in order])
    if percent:
        ax.yaxis.set_major_formatter("{x:.0%}")
    named = "" if text else f"{x} · "
    below = f"{named}n = {count(results['n'])} a point; {'band' if banded else 'bar'}"
    tidy(ax, title, f"{below}: 95% interval", grid="y")
    if len(lines) > 1 or chance is not None:
        key(ax)
    if alone:
        settle(ax.figure)
    return source(ax, results)
