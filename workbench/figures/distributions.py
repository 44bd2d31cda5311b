"""Distributions of the similarities a_kj of each model's candidate images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

ENOUGH = 30
"""Values from which on a density is drawn above the strip."""


def distributions(
    similarities: pd.DataFrame,
    *,
    by: str | None = None,
    image_id: str | None = None,
    title: str = "",
    ax: Any = None,
) -> Any:
    """Draw the similarities of candidate images to their test images, a strip for each model.

    Every candidate image is a dot; from 30 on their density lies above. The diamond is the mean
    with its 95% interval by t over test images (over candidate images where there is one test
    image); none is drawn where one value, or equal ones, leave nothing to tell it by.

    Args:
        similarities: frame of that name, of one similarity.
        by: another column of the frame to group the strips by, such as ``truth`` merged in from
            the outcomes; then each of its values has a strip for every model.
        image_id: the test image, where only one is meant.
        title: of the Axes.
        ax: matplotlib Axes to draw into; new ones when left out.

    Returns:
        the Axes.

    Raises:
        ValueError: several similarities, no value at all, or no such column.
    """
    from workbench.catalogue.wording import readable
    from workbench.figures._canvas import axes, count, pt, source, tidy
    from workbench.figures.colours import colours

    table = similarities if image_id is None else similarities[similarities["image_id"] == image_id]
    table = table.dropna(subset=["value"])
    kinds = sorted(table["similarity"].unique())
    if len(kinds) != 1:
        raise ValueError(
            f"distributions are drawn of one similarity; the table holds "
            f"{', '.join(kinds) or 'no value'}"
        )
    if by is not None and by not in table:
        raise ValueError(f"no column {by!r} to group by; there are: {', '.join(table.columns)}")
    models = list(dict.fromkeys(table["generator"]))
    palette = colours(models)
    groups = [None] if by is None else list(dict.fromkeys(table[by]))
    strips = [(group, model) for group in groups for model in models]
    ax = axes(ax, 5.6, 0.42 * len(strips) + 0.2 * len(groups) + 1.2)
    places, sizes, tests = [], [], []
    for line, (group, model) in enumerate(strips):
        part = table[table["generator"] == model]
        part = part if group is None else part[part[by] == group]
        places.append(line + 0.5 * (line // len(models)))
        if len(part):
            sizes.append(len(part))
            tests.append(part["image_id"].nunique())
            _strip(ax, part, places[-1], palette[model])
    ax.set_yticks(places, [model for _, model in strips])
    ax.set_ylim(places[-1] + 0.5, -0.9 if by is None else -1.1)
    for first, group in zip(places[:: len(models)], groups, strict=True):
        if group is not None:
            at, low = ax.get_yaxis_transform(), first - 0.62
            words = f"{by}: {group}"
            ax.text(0, low, words, transform=at, fontsize="small", style="italic", va="center")
    many = max(tests) > 1
    among = f", for {count(tests)} test images" if many else ""
    over = "test images" if many else "candidate images"
    label = f"{readable(kinds[0])} · n = {count(sizes)} candidate images a strip{among}; "
    tidy(ax, title, f"{label}◆ mean, line: 95% interval, t over {over}", grid="x")
    for tick in ax.get_yticklabels():
        tick.set_fontsize("small" if by else "medium")
    ax.margins(x=0.04)
    ax.tick_params(axis="x", pad=pt(3))
    keys = [name for name in (by,) if name is not None]
    columns = ["image_id", "prompt_id", "generator", "index", "similarity", "value"]
    return source(ax, table[[*keys, *columns]])


def _strip(ax: Any, part: pd.DataFrame, place: float, colour: str) -> None:
    """Draw the values of one model at a height: dots, density, mean and interval."""
    from workbench.evaluation.statistics import mean_interval
    from workbench.figures._canvas import pt

    values = part["value"].to_numpy(dtype=float)
    many = len(values) >= ENOUGH and np.ptp(values) > 0
    # the spread of the dots is drawn once for all: it carries nothing
    jitter = np.random.default_rng(0).uniform(0.05, 0.3, len(values)) if many else 0.0
    alpha = float(np.clip(30 / len(values), 0.12, 0.7))
    dots = {"s": pt(3 if many else 6) ** 2, "color": colour, "alpha": alpha, "lw": 0}
    ax.scatter(values, place + jitter + np.zeros(len(values)), **dots)
    if many:
        from scipy.stats import gaussian_kde

        at = np.linspace(values.min(), values.max(), 200)
        density = gaussian_kde(values)(at)
        top = place - 0.45 * density / density.max()
        ax.fill_between(at, place, top, color=colour, alpha=0.35, lw=0)
    groups = part["image_id"] if part["image_id"].nunique() > 1 else np.arange(len(values))
    mean = mean_interval(values, groups, (-np.inf, np.inf))
    line = {"color": "black", "lw": pt(1.5), "zorder": 3}
    if np.isfinite(mean.low):
        ax.plot([mean.low, mean.high], [place, place], **line)
    ax.plot([mean.value], [place], "D", color=colour, mec="black", ms=pt(6), zorder=4)
