"""A grid of settings as a heat map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

FRAMES = {"solid": "-", "dashed": (0, (3, 2)), "dotted": (0, (1, 1.5))}
"""The frames of cells, by the word for each."""


def grid(
    results: pd.DataFrame,
    *,
    rows: str,
    columns: str,
    marks: Mapping[tuple[Any, Any], str] | None = None,
    figure: Any = None,
) -> Any:
    """Draw one metric over two keys; a cell is the value in percent, its colour too.

    Args:
        results: an experiment's results of one metric in [0, 1].
        rows: key down, in order of appearance.
        columns: key across, likewise.
        marks: (row, column) → word for cells to frame, told below; the first frame is solid, the
            others dashed and dotted.
        figure: matplotlib Figure to draw into; a new one when left out.

    Returns:
        the Axes.
    """
    from itertools import cycle

    import matplotlib as mpl
    import matplotlib.pyplot as plt
    import pandas as pd
    import seaborn as sns
    from matplotlib.patches import Rectangle

    from workbench.catalogue.wording import readable
    from workbench.figures._canvas import pt, resize, source, tidy
    from workbench.figures.colours import FULL

    table = results.pivot(index=rows, columns=columns, values="value")
    table = table.reindex(index=pd.unique(results[rows]), columns=pd.unique(results[columns]))
    high, wide = table.shape
    readable_table = table.rename(index=readable, columns=readable)
    if figure is None:
        figure = plt.figure(layout="constrained")
    resize(figure, 0.95 * wide + 4.2, 0.3 * high + 1.3)
    ax = figure.add_subplot()
    with mpl.rc_context({"text.parse_math": False}):  # names are words, no formulas
        sns.heatmap(
            100 * readable_table.astype(float),
            annot=True,
            fmt=".1f",
            annot_kws={"fontsize": "small", "color": "0.1"},
            cmap=sns.light_palette(FULL, as_cmap=True),
            cbar=False,
            linewidths=pt(1.5),
            linecolor="white",
            ax=ax,
        )
    frames = []
    for (cell, word), dash in zip((marks or {}).items(), cycle(FRAMES), strict=False):
        x, y = list(table.columns).index(cell[1]), list(table.index).index(cell[0])
        frame: dict[str, Any] = {"fill": False, "ec": "black", "lw": pt(1.8), "ls": FRAMES[dash]}
        ax.add_patch(Rectangle((x, y), 1, 1, clip_on=False, **frame))
        frames.append(f"{dash} frame: {word}")
    widths = (results["high"] - results["low"]).dropna()
    below = [f"n = {results['n'].max()} pictures a cell"]
    if len(widths):
        below.append(f"95% intervals reach up to ±{50 * widths.max():.0f} points")
    tidy(ax, "Accuracy in percent", "; ".join([*below, *frames]))
    ax.set_ylabel("")
    ax.tick_params(axis="y", rotation=0)
    ax.tick_params(
        axis="x", labelsize=mpl.rcParams["ytick.labelsize"], labelcolor="black", rotation=0
    )
    ax.spines["bottom"].set_visible(False)
    return source(ax, results)
