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
    bold: Mapping[str, str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw a metric of every attributor, or of every generator, with its interval and n.

    Attributors are sorted, the highest on top; generators stand in the order of ``names``, or in
    the catalogue's.

    Args:
        evaluations: frame of that name.
        metric: which of its metrics.
        names: label of each attributor (or generator, by ``slice``); those it leaves out are not
            drawn.
        by: ``attributor`` (all pictures) or ``slice`` (each true generator, of one attributor).
        chance: where a guess would lie.
        bold: attributor → what it is, for those to point out: "the preset".
        ax: matplotlib Axes to draw into; new ones when left out.

    Returns:
        the Axes.

    Raises:
        ValueError: nothing in the table fits.
    """
    from workbench.catalogue.wording import readable
    from workbench.figures._canvas import source
    from workbench.figures._rows import rows
    from workbench.figures.colours import colours, ordered

    table = evaluations[evaluations["metric"] == metric]
    table = table[(table["slice"] == "all") == (by == "attributor")]
    if names is not None:
        table = table[table[by].isin(list(names))]
    if table.empty:
        raise ValueError(f"the table holds no {metric!r} by {by}")
    if by == "slice":
        wanted = ordered(table[by]) if names is None else names
        order = {name: place for place, name in enumerate(wanted)}
        table = table.sort_values(by, key=lambda column: column.map(order), kind="stable")
    else:
        table = table.sort_values("value", ascending=False, kind="stable")
    words = {name: (names or {}).get(name, readable(name)) for name in table[by]}
    models = colours(table[by]) if by == "slice" else {}
    palette = {words[name]: colour for name, colour in models.items()}
    strong = {words[name]: what for name, what in (bold or {}).items() if name in words}
    labels = [words[name] for name in table[by]]
    title = metric.replace("_", " ").capitalize()
    return source(rows(table, labels, palette, title, chance, strong, ax), table)
