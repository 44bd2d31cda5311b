"""OSCR curves: known against unknown sources, at every threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def oscr(
    pictures: pd.DataFrame,
    *,
    title: str = "Open-set classification rate",
    ax: Any = None,
) -> Any:
    """Draw the share of known pictures attributed rightly over that of unknown ones let through.

    Higher and further left is better; the legend tells the area with its 95% interval over
    scenes (`evaluation.area_interval`, Dhamija et al. 2018, arXiv:1811.04110).

    Args:
        pictures: as the experiment openset answers them: ``p`` (higher is more likely known),
            ``known`` and ``correct`` (bool), ``prompt``, and ``unknown``, whose values each have a
            line; a candidate model that was left out has its own colour.
        title: of the Axes.
        ax: matplotlib Axes to draw into; new ones when left out.

    Returns:
        the Axes.

    Raises:
        ValueError: a line has no known or no unknown picture.
    """
    import pandas as pd

    from workbench import catalogue, evaluation
    from workbench.evaluation.prompts import scenes
    from workbench.figures._canvas import axes, count, key, pt, source, tidy
    from workbench.figures.colours import DASHES, GREYS, colours

    ax = axes(ax, 6.0, 4.4)
    names = list(dict.fromkeys(pictures["unknown"]))
    models = colours(name for name in names if name in catalogue.rows_of("generator"))
    traced, sizes = [], []
    for place, name in enumerate(names):
        part = pictures[pictures["unknown"] == name]
        known = part["known"].to_numpy(bool)
        if known.all() or not known.any():
            raise ValueError(
                f"{name!r} needs known and unknown pictures; "
                f"{known.sum()} of {len(known)} are known"
            )
        p, right = part["p"].to_numpy(float), part["correct"].to_numpy(bool)
        area = evaluation.area_interval(p, known, scenes(part), right)
        curve = evaluation.oscr(p[known], right[known], p[~known])
        label = f"{name}: {area.value:.2f} ({area.low:.2f} to {area.high:.2f})"
        style = {"color": models.get(name, GREYS[place % len(GREYS)]), "lw": pt(2)}
        style |= {"ls": DASHES[place % len(DASHES)], "label": label}
        ax.plot(curve["fpr"], curve["ccr"], **style)
        traced.append(curve.assign(unknown=name))
        sizes += [int(known.sum()), int((~known).sum())]
    ax.set(xlim=(0, 1), ylim=(-0.04, 1.04))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:.0%}")
    below = f"unknown pictures let through · n = {count(sizes[::2])} known, {count(sizes[1::2])}"
    tidy(ax, title, f"{below} unknown; legend: area, 95% interval", grid="both")
    ax.set_ylabel("known pictures attributed rightly", fontsize="small", color="0.3")
    key(ax, loc="lower right")
    table = pd.concat(traced, ignore_index=True)
    return source(ax, table[["unknown", "fpr", "ccr"]])
