"""Accuracy over the share of accepted pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

LEVELS = 20
"""Shares at which accuracy and interval are computed."""


def coverage(
    outcomes: pd.DataFrame,
    *,
    names: Mapping[str, str] | None = None,
    title: str = "Accuracy of what is accepted",
    ax: Any = None,
) -> Any:
    """Draw each attributor's accuracy on the pictures with the largest margins, over their share.

    A line that falls to the right says that the margin knows when the attribution is wrong; a flat
    one, that abstaining by margin buys nothing.

    Args:
        outcomes: what `evaluation.outcomes` answers; a failed picture is a miss with the smallest
            margin.
        names: label of each attributor, where it is not its own in words (`wording.readable`).
        title: of the Axes.
        ax: matplotlib Axes to draw into; new ones when left out.

    Returns:
        the Axes; the band is a 95% interval (`statistics.accuracy_interval`).

    Raises:
        ValueError: the table is empty.
    """
    import pandas as pd

    from workbench.evaluation.prompts import scenes
    from workbench.evaluation.statistics import accuracy_interval
    from workbench.figures._canvas import key, source
    from workbench.figures.curve import curve

    if outcomes.empty:
        raise ValueError("there is nothing to draw: the table has no rows")
    rows = []
    for name, part in outcomes.groupby("attributor", sort=False):
        part = part.assign(margin=part["margin"].fillna(-np.inf))
        part = part.sort_values(["margin", "image_id"], ascending=[False, True])
        for share in np.arange(1, LEVELS + 1) / LEVELS:
            best = part.head(max(1, round(share * len(part))))
            accuracy = accuracy_interval(best["correct"], scenes(best))
            ends = {
                "value": accuracy.value,
                "low": accuracy.low,
                "high": accuracy.high,
                "n": accuracy.n,
            }
            rows.append({"attributor": name, "share accepted": share, **ends})
    table = pd.DataFrame(rows)
    ax = curve(table, x="share accepted", line="attributor", names=names, title=title, ax=ax)
    for drawn in ax.get_lines():
        drawn.set_markevery(LEVELS // 4)
    ax.xaxis.set_major_formatter("{x:.0%}")
    key(ax)  # with the marks as they are now
    return source(ax, table)
