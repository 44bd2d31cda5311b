"""Accuracies, or any metric, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def accuracy(
    evaluations: pd.DataFrame,
    *,
    metric: str = "accuracy",
    names: Mapping[str, str] | None = None,
    by: str = "attributor",
    chance: float | None = None,
    ax: Any = None,
) -> Any:
    """Draw a metric of every attributor, or of every generator, with its interval and n.

    Args:
        evaluations: frame of that name.
        metric: which of its metrics.
        names: label of each attributor (or generator, by ``slice``), in the order wanted; those it
            leaves out are not drawn.
        by: ``attributor`` (all pictures) or ``slice`` (each true generator, of one attributor).
        chance: where a guess would lie.
        ax: matplotlib Axes to draw into; new ones when left out.

    Returns:
        the Axes.

    Raises:
        ValueError: nothing in the table fits.
    """
    from workbench.figures._canvas import axes, count, pt, source, tidy
    from workbench.figures.colours import colours

    table = evaluations[evaluations["metric"] == metric]
    table = table[(table["slice"] == "all") == (by == "attributor")]
    if names is not None:
        order = {name: place for place, name in enumerate(names)}
        table = table[table[by].isin(list(order))]
        table = table.sort_values(by, key=lambda column: column.map(order), kind="stable")
    if table.empty:
        raise ValueError(f"the table holds no {metric!r} by {by}")
    labels = [(names or {}).get(name, name) for name in table[by]]
    ax = axes(ax, 5.6, 0.45 * len(table) + 1.2)
    own = colours(table[by]) if by == "slice" else {table[by].iloc[0]: "0.1"}
    for place, row in enumerate(table.itertuples()):
        colour = own.get(getattr(row, by), "0.5")
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
            color="0.3" if place or by == "slice" else "black",
            fontweight="normal" if place or by == "slice" else "bold",
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
        )
    ax.set_yticks(range(len(table)), labels)
    ax.set_ylim(len(table) - 0.5, -0.7)
    ax.set_xlim(min(0.0, float(table["low"].min())), 1.04)
    ax.xaxis.set_major_formatter("{x:.0%}")
    each = " each" if len(table) > 1 else ""
    note = f"n = {count(table['n'])} pictures{each}; line: 95 % interval, bootstrap over prompts"
    tidy(ax, metric.replace("_", " ").capitalize(), note, grid="x")
    return source(ax, table)
