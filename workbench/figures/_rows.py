"""Values one below the other, each with its interval: what `accuracy` and `dots` share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def rows(
    table: pd.DataFrame,
    labels: Sequence[str],
    palette: Mapping[str, str],
    title: str,
    chance: float | None,
    ax: Any,
) -> Any:
    """Draw a dot and an interval for each row of a table with value, low, high and n.

    Args:
        table: values in [0, 1], in the order wanted.
        labels: one a row.
        palette: label → colour; the first row is black and bold without one, the others grey.
        title: of the Axes.
        chance: where a guess would lie.
        ax: matplotlib Axes to draw into; new ones when None.
    """
    from workbench.figures._canvas import axes, count, halo, pt, tidy

    ax = axes(ax, 5.6, 0.45 * len(table) + 1.2)
    for place, (label, row) in enumerate(zip(labels, table.itertuples(), strict=True)):
        first = place == 0 and label not in palette
        colour = palette.get(label, "0.1" if first else "0.5")
        line = {"color": colour, "lw": pt(2.5), "solid_capstyle": "round"}
        ax.plot([row.low, row.high], [place, place], **line)
        ax.plot([row.value], [place], "o", color=colour, ms=pt(8), mec="white", zorder=3)
        ax.annotate(
            f"{row.value:.1%}",
            (row.value, place),
            xytext=(0, pt(8)),
            textcoords="offset points",
            ha="center",
            fontsize="small",
            color="black" if first else "0.3",
            fontweight="bold" if first else "normal",
            path_effects=halo(),
        )
    if chance is not None:
        ax.axvline(chance, color="0.55", lw=pt(1), ls=(0, (4, 3)), zorder=0)
        ax.annotate(
            "chance",
            (chance, len(table) - 0.5),
            xytext=(4, 3),
            textcoords="offset points",
            fontsize="small",
            color="0.4",
            path_effects=halo(),
        )
    ax.set_yticks(range(len(table)), labels)
    ax.set_ylim(len(table) - 0.5, -0.7)
    ax.set_xlim(min(0.0, float(table["low"].min())), 1.04)
    ax.xaxis.set_major_formatter("{x:.0%}")
    each = " each" if len(table) > 1 else ""
    told = f"n = {count(table['n'])} pictures{each}; line: 95 % interval over prompts"
    tidy(ax, title, told, grid="x")
    return ax
