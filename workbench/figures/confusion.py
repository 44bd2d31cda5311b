"""Confusion matrix of one attributor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def confusion(
    outcomes: pd.DataFrame, labels: Sequence[str] | None = None, *, ax: Any = None
) -> Any:
    """Draw the confusion of one attributor: rows are the true models, columns the predicted ones.

    Colour is the share of the row, the number the count. Pictures without any prediction are in no
    column; the title tells how many there are.

    Args:
        outcomes: what `evaluation.outcomes` answers, of one attributor.
        labels: the candidate models in the order wanted; the catalogue's when left out.
        ax: matplotlib Axes to draw into; new ones when left out.

    Returns:
        the Axes.

    Raises:
        ValueError: the table holds several attributors.
    """
    import matplotlib as mpl
    import seaborn as sns

    from workbench import evaluation
    from workbench.evaluation.prompts import scenes
    from workbench.evaluation.statistics import accuracy_interval
    from workbench.figures._canvas import axes, pt, source, tidy
    from workbench.figures.colours import FULL, ordered

    if outcomes["attributor"].nunique() > 1:
        raise ValueError(
            f"a confusion is drawn of one attributor; the table holds "
            f"{outcomes['attributor'].nunique()}"
        )
    names = ordered(outcomes["truth"]) if labels is None else list(labels)
    counts = evaluation.confusion(outcomes, names)
    shares = counts.div(outcomes.groupby("truth").size().reindex(names), axis=0)
    side = 0.75 * len(names) + 1.6
    ax = axes(ax, side + 1.0, side)
    with mpl.rc_context({"text.parse_math": False}):  # names are words, no formulas
        sns.heatmap(
            shares.astype(float).fillna(0.0),
            annot=counts,
            fmt="d",
            annot_kws={"color": "0.1"},
            cmap=sns.light_palette(FULL, as_cmap=True),
            vmin=0,
            vmax=1,
            cbar=False,
            square=True,
            linewidths=pt(2),
            linecolor="white",
            ax=ax,
        )
    accuracy = accuracy_interval(outcomes["correct"], scenes(outcomes))
    missed = int(outcomes["predicted"].isna().sum())
    lost = f", {missed} without a prediction" if missed else ""
    title = f"{accuracy.value:.1%} right ({accuracy.low:.1%} to {accuracy.high:.1%})"
    tidy(ax, title, f"predicted · n = {accuracy.n} pictures{lost}")
    ax.set_ylabel("true", fontsize="small", color="0.3")
    ax.tick_params(axis="y", rotation=0)
    ax.tick_params(
        axis="x", rotation=30, labelsize=mpl.rcParams["ytick.labelsize"], labelcolor="black"
    )
    for label in ax.get_xticklabels():
        label.set_horizontalalignment("right")
        label.set_rotation_mode("anchor")
    ax.spines["bottom"].set_visible(False)
    return source(ax, outcomes)
