"""Values side by side, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def dots(
    results: pd.DataFrame,
    *,
    by: str,
    names: Mapping[str, str] | None = None,
    chance: float | None = None,
    title: str = "Accuracy",
    ax: Any = None,
) -> Any:
    """Draw one value a row, as a dot with its interval, in the order of the table.

    Args:
        results: an experiment's results, in [0, 1].
        by: the key down; one of candidate models (generator, truth, model …) has their colours.
        names: label of each key, where it is not its own.
        chance: where a guess would lie.
        title: of the Axes.
        ax: matplotlib Axes to draw into; new ones when left out.

    Returns:
        the Axes.

    Raises:
        ValueError: the table is empty.
    """
    from workbench.figures._canvas import source
    from workbench.figures._rows import rows
    from workbench.figures.colours import MODELS, colours

    if results.empty:
        raise ValueError("there is nothing to draw: the table has no rows")
    labels = [str((names or {}).get(key, key)) for key in results[by]]
    palette = colours(set(labels) - {"all"}) if by in MODELS else {}
    return source(rows(results, labels, palette, title, chance, ax), results)
