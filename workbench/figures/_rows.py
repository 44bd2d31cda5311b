"""Rows of values with intervals, shared by `accuracy` and `dots`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def rows(
    table: pd.DataFrame,
    labels: Sequence[str],
    palette: Mapping[str, str],
    title: str,
    chance: float | None,
    bold: Mapping[str, str],
    ax: Any,
    percent: bool = True,
) -> Any:
    """Draw a dot and an interval for each row of a table, the values in a column on the right.

    Args:
        table: value, low, high and n, the first three in [0, 1], in the order wanted.
        labels: one a row.
        palette: label → colour; the others are grey, and black where bold.
        title: of the Axes.
        chance: where a guess would lie.
        bold: label → what it is; told below, and set in bold.
        ax: matplotlib Axes to draw into; new ones when None.
        percent: whether the values are shares; else they are written as they are, as AUROC is.
    """
    from workbench.figures._canvas import axes, beside, count, pt, tidy
    from workbench.figures.colours import GREYS

    ax = axes(ax, 5.6, 0.3 * len(table) + 1.2)
    if chance is not None:
        ax.axvline(chance, color="0.4", lw=pt(1), ls=(0, (4, 3)), zorder=1)
    for place, (label, row) in enumerate(zip(labels, table.itertuples(), strict=True)):
        strong = label in bold
        colour = palette.get(label, GREYS[0] if strong or not bold else GREYS[1])
        line = {"color": colour, "lw": pt(2), "solid_capstyle": "butt", "clip_on": False}
        ax.plot([row.low, row.high], [place, place], zorder=2, **line)
        dot = {"color": colour, "ms": pt(6), "mew": 0, "clip_on": False, "zorder": 3}
        ax.plot([row.value], [place], "s" if strong else "o", **dot)
        beside(ax, place, f"{row.value:.1%}" if percent else f"{row.value:.2f}", strong)
    ax.set_yticks(range(len(table)), labels)
    for tick, label in zip(ax.get_yticklabels(), labels, strict=False):  # none where y is shared
        tick.set_fontweight("bold" if label in bold else "normal")
    ax.set_ylim(len(table) - 0.5, -0.6)
    ax.set_xlim(min(0.0, float(table["low"].min())), 1.0)
    ax.xaxis.set_major_formatter("{x:.0%}" if percent else "{x:.1f}")
    guess = "" if chance is None else f"{100 * chance:.3g}%" if percent else f"{chance:.3g}"
    tidy(ax, title, _below(count(table["n"]), len(table), guess, bold, labels), grid="x")
    return ax


def _below(
    n: str, lines: int, chance: str, bold: Mapping[str, str], labels: Collection[str]
) -> str:
    """Return what stands below the rows: n, and what interval, dashes and bold letters are."""
    parts = [f"n = {n} pictures{' each' if lines > 1 else ''}", "bar: 95% interval over scenes"]
    parts += [f"dashes: chance, {chance}"] if chance else []
    kinds = dict.fromkeys(what for label, what in bold.items() if label in labels and what)
    parts += [f"bold: {', '.join(kinds)}"] if kinds else []
    return "; ".join(parts)
