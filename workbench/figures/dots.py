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
    bold: Mapping[str, str] | None = None,
    sort: bool = True,
    percent: bool = True,
    title: str = "Accuracy",
    ax: Any = None,
) -> Any:
    """Draw one value a row, as a dot with its interval, the highest on top.

    Args:
        results: an experiment's results, in [0, 1].
        by: the key down; one of candidate models (generator, truth, model …) has their colours,
            and stands in the catalogue's order.
        names: label of each key, where it is not the key in words (`wording.readable`).
        chance: where a guess would lie.
        bold: key → what it is, for those to point out: "the preset".
        sort: whether the highest value is on top; else the order is the table's.
        percent: whether the values are shares; else they are written as they are, as AUROC is.
        title: of the Axes.
        ax: matplotlib Axes to draw into; new ones when left out.

    Returns:
        the Axes.

    Raises:
        ValueError: the table is empty.
    """
    from workbench.catalogue.wording import readable
    from workbench.figures._canvas import source
    from workbench.figures._rows import rows
    from workbench.figures.colours import MODELS, colours, ordered

    if results.empty:
        raise ValueError("there is nothing to draw: the table has no rows")
    table, models = results, by in MODELS
    if models:  # "all" of them on top
        order = {name: place for place, name in enumerate(ordered(set(table[by]) - {"all"}))}
        places = table[by].map(order).fillna(-1)
        table = table.iloc[places.argsort(kind="stable")]
    elif sort:
        table = table.sort_values("value", ascending=False, kind="stable")
    words = {key: str((names or {}).get(key, readable(key))) for key in table[by]}
    own = colours(set(words) - {"all"}) if models else {}
    palette = {words[key]: colour for key, colour in own.items()}
    strong = {words[key]: what for key, what in (bold or {}).items() if key in words}
    labels = [words[key] for key in table[by]]
    return source(rows(table, labels, palette, title, chance, strong, ax, percent), table)
