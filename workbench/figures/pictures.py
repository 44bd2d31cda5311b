"""Pictures of the store, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from workbench.store.store import Store

GAP = 0.06
"""Space between two pictures, as a share of their side."""


def pictures(
    table: pd.DataFrame,
    store: Store,
    *,
    rows: str | None = None,
    columns: str | None = None,
    picture: str = "candidate_id",
    note: str | None = None,
    title: str = "",
    ax: Any = None,
) -> Any:
    """Draw a grid of pictures: a row for each value of one column, a column for each of another.

    Args:
        table: one row a picture, such as the candidates frame.
        store: that holds the pictures.
        rows: the column whose values go down, in order of appearance; one row when left out. A row
            of a candidate model has its colour on the left.
        columns: the column whose values go across; when left out, the pictures of a row stand in
            the order of the table.
        picture: the column of the pictures' digests. Where it is missing, or the store has the
            picture no longer, the place stays grey.
        note: a column to write below each picture: text, or numbers, to three decimals.
        title: of the Axes.
        ax: matplotlib Axes to draw into; new ones when left out.

    Returns:
        the Axes; a picture is 1 wide and 1 high.

    Raises:
        ValueError: the table is empty, lacks a column, or has two pictures for one place.
    """
    import pandas as pd

    from workbench.figures._canvas import heading, new, pt, size, source
    from workbench.figures.colours import MODELS, colours

    named = [name for name in (rows, columns, picture, note) if name is not None]
    absent = [name for name in named if name not in table]
    if absent:
        raise ValueError(
            f"the table lacks the column {', '.join(absent)}; there are: "
            f"{', '.join(map(str, table.columns))}"
        )
    if table.empty:
        raise ValueError("there is nothing to draw: the table has no rows")
    down = table[rows] if rows is not None else pd.Series("", index=table.index)
    across = table[columns] if columns is not None else table.groupby(down.to_numpy()).cumcount()
    twice = pd.DataFrame({"row": down, "column": across}).duplicated()
    if twice.any():
        at = table[twice].iloc[0]
        raise ValueError(
            f"two pictures share the place {rows}={at.get(rows)!r}, {columns}={at.get(columns)!r}: "
            "draw a part of the table"
        )
    lines, places = list(pd.unique(down)), list(pd.unique(across))
    high = 1.2 + 0.2 * table[note].astype(str).str.count("\n").max() if note else 1.0
    if ax is None:
        width, _ = size(min(1.1 * len(places), 9.0) + 1.0, 0)
        ax = new(width, (width - 1.0) / len(places) * high * len(lines) + 0.6)
    palette = colours(map(str, lines)) if rows in MODELS else {}
    for row in range(len(lines)):
        if str(lines[row]) in palette:
            ends = [row * high + GAP, row * high + 1 - GAP]
            ax.plot([-0.06, -0.06], ends, color=palette[str(lines[row])], lw=pt(3), clip_on=False)
    for cell, row, column in zip(table.to_dict("records"), down, across, strict=True):
        x, y = places.index(column), lines.index(row) * high
        _place(ax, store, cell[picture], x, y)
        if note:
            text = cell[note] if isinstance(cell[note], str) else f"{cell[note]:.3f}"
            ax.annotate(text, (x + 0.5, y + 1.0), ha="center", va="top", fontsize="small")
    ax.set_xlim(-0.1, len(places))
    ax.set_ylim(high * len(lines), 0)
    ax.set_aspect("equal")
    ax.set_xticks([x + 0.5 for x in range(len(places))], places if columns else [""] * len(places))
    ax.set_yticks([y * high + 0.5 for y in range(len(lines))], lines)
    ax.tick_params(length=0, labelsize="small")
    ax.set_xlabel(columns or "", fontsize="small", color="0.3")
    for edge in ax.spines.values():
        edge.set_visible(False)
    heading(ax, title)
    return source(ax, table[named])


def _place(ax: Any, store: Store, digest: Any, x: float, y: float) -> None:
    """Draw one picture whole into the square at (x, y), or grey where there is none."""
    from matplotlib.patches import Rectangle

    from workbench.store import StoreError

    try:
        image = store.picture(digest) if isinstance(digest, str) else None
    except (StoreError, ValueError):
        image = None
    if image is None:
        side = 1 - 2 * GAP
        ax.add_patch(Rectangle((x + GAP, y + GAP), side, side, color="0.92", lw=0))
        return
    scale = (1 - 2 * GAP) / max(image.size)
    wide, high = (scale * side / 2 for side in image.size)
    ends = (x + 0.5 - wide, x + 0.5 + wide, y + 0.5 + high, y + 0.5 - high)
    ax.imshow(image, extent=ends, aspect="auto", interpolation="antialiased")
