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
    from workbench.figures._canvas import source
    from workbench.figures._rows import rows
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
    models = colours(table[by]) if by == "slice" else {}
    palette = {label: models[name] for label, name in zip(labels, table[by], strict=True) if models}
    title = metric.replace("_", " ").capitalize()
    return source(rows(table, labels, palette, title, chance, ax), table)
