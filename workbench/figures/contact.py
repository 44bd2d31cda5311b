"""A contact sheet: what every model draws of the same prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from workbench.store.store import Store

LETTERS = 30
"""Letters in a line of a prompt, at most; fewer where the page gives them less room."""
SIDE, NAMES = 1.1, 2.4
"""Inches of a picture's side, and of the room for prompts."""


def contact(table: pd.DataFrame, store: Store, *, ax: Any = None) -> Any:
    """Draw pictures of the same prompts side by side: a prompt a row, a candidate model a column.

    Args:
        table: one row a picture: ``prompt``, ``generator`` and ``candidate_id``, in the order
            wanted. Where there is no picture the place stays grey.
        store: that holds the pictures.
        ax: matplotlib Axes to draw into; new ones when left out.

    Returns:
        the Axes; below each column stands a bar in the model's colour.

    Raises:
        ValueError: the table is empty, lacks a column, or has two pictures for one place.
    """
    from textwrap import fill

    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties

    from workbench.figures._canvas import new, note, pt, size
    from workbench.figures.colours import colours
    from workbench.figures.pictures import pictures

    models = list(dict.fromkeys(table.get("generator", ())))
    prompts = list(dict.fromkeys(table.get("prompt", ())))
    letters = LETTERS
    if ax is None and prompts:
        designed = SIDE * len(models) + NAMES
        width, _ = size(designed, 0)
        high = FontProperties(size=rcParams["ytick.labelsize"]).get_size_in_points()
        room = 72 * NAMES * width / designed
        letters = max(8, min(LETTERS, int(room / (0.7 * high))))  # a letter, and some air
        ax = new(width, SIDE * width / designed * len(prompts) + 0.8)
    ax = pictures(table, store, rows="prompt", columns="generator", ax=ax)
    ax.set_yticks(ax.get_yticks(), [fill(prompt, letters) for prompt in prompts])
    ax.xaxis.tick_top()
    ax.tick_params(axis="x", labelsize="small", labelcolor="black", pad=pt(3))
    ax.tick_params(length=0)
    bottom = len(prompts) + 0.04
    for place, colour in enumerate(colours(models).values()):
        ends = [place + 0.06, place + 0.94]
        line = {"color": colour, "lw": pt(3), "clip_on": False, "solid_capstyle": "butt"}
        ax.plot(ends, [bottom, bottom], **line)
    ax.set_ylim(len(prompts) + 0.1, 0)
    note(ax, f"{len(prompts)} prompts; a column: one candidate model")
    return ax
