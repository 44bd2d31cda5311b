"""A grid of settings as a heat map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


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
        marks: (row, column) → word for cells to frame.
        figure: matplotlib Figure to draw into; a new one when left out.

    Returns:
        the Axes.
    """
    import matplotlib as mpl
    import matplotlib.pyplot as plt
    import pandas as pd
    import seaborn as sns
    from matplotlib.patches import Rectangle

    from workbench.figures._canvas import pt, resize, source, tidy, tiny
    from workbench.figures.colours import FULL, PALETTE

    table = results.pivot(index=rows, columns=columns, values="value")
    table = table.reindex(index=pd.unique(results[rows]), columns=pd.unique(results[columns]))
    high, wide = table.shape
    if figure is None:
        figure = plt.figure(layout="constrained")
    resize(figure, 0.95 * wide + 4.2, 0.3 * high + 1.3)
    ax = figure.add_subplot()
    with mpl.rc_context({"text.parse_math": False}):  # names are words, no formulas
        sns.heatmap(
            100 * table.astype(float),
            annot=True,
            fmt=".1f",
            annot_kws={"fontsize": "small", "color": "0.1"},
            cmap=sns.light_palette(FULL, as_cmap=True),
            cbar=False,
            linewidths=pt(1.5),
            linecolor="white",
            ax=ax,
        )
    strong = PALETTE[4]
    for (row, column), word in (marks or {}).items():
        x, y = list(table.columns).index(column), list(table.index).index(row)
        ax.add_patch(Rectangle((x, y), 1, 1, fill=False, ec=strong, lw=pt(2), clip_on=False))
        ax.annotate(
            word,
            (x + 0.97, y),
            ha="right",
            va="center",
            fontsize=tiny(),
            color=strong,
            bbox={"fc": "white", "ec": "none", "pad": 0.8},
        )
    widths = (results["high"] - results["low"]).dropna()
    half = f"; 95 % intervals reach up to ±{50 * widths.max():.0f} points" if len(widths) else ""
    tidy(ax, "Accuracy in percent", f"n = {results['n'].max()} pictures a cell{half}")
    ax.set_ylabel("")
    ax.tick_params(axis="x", labelsize="medium", labelcolor="black", rotation=0)
    ax.spines["bottom"].set_visible(False)
    return source(ax, results)
