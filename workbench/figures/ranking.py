"""The ranking of one test image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def ranking(
    rankings: pd.DataFrame,
    similarities: pd.DataFrame | None = None,
    *,
    image_id: str | None = None,
    ax: Any = None,
) -> Any:
    """Draw the scores of the candidate models for one test image, the best on top.

    Args:
        rankings: frame of that name, of one attributor.
        similarities: frame of that name; then every candidate image is a dot, their range a line,
            and γ is told.
        image_id: the test image, where the frame holds several.
        ax: matplotlib Axes to draw into; new ones when left out.

    Returns:
        the Axes.

    Raises:
        ValueError: the frame holds several images or attributors, or not this image.
    """
    from workbench.figures._canvas import axes, beside, count, pt, source, tidy
    from workbench.figures.colours import colours

    table = rankings if image_id is None else rankings[rankings["image_id"] == image_id]
    pairs = table[["image_id", "attributor"]].drop_duplicates()
    if len(pairs) != 1:
        raise ValueError(
            f"a ranking is drawn of one image and one attributor; the table holds {len(pairs)} "
            "such pairs: choose with image_id=…"
        )
    table = table.sort_values("rank")
    names = list(table["generator"])
    palette = colours(names)
    ax = axes(ax, 5.6, 0.36 * len(names) + 1.3)
    dots = None
    if similarities is not None:
        dots = similarities[similarities["image_id"] == table["image_id"].iloc[0]]
        dots = dots.dropna(subset=["value"])
    for place, (name, score) in enumerate(zip(names, table["score"], strict=True)):
        colour = palette[name]
        if dots is not None:
            values = dots.loc[dots["generator"] == name, "value"]
            if len(values):
                ax.plot([values.min(), values.max()], [place, place], color=colour, lw=pt(1.5))
                dot = {"color": colour, "ms": pt(5), "alpha": 0.55, "mew": 0}
                ax.plot(values, [place] * len(values), "o", **dot)
        ax.plot([score], [place], "D", color=colour, ms=pt(7), mew=0, zorder=3)
        beside(ax, place, f"{score:.3f}" if score == score else "–", place == 0)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.6)
    scores = table["score"].to_numpy(dtype=float)
    title = "no model could be compared"
    if len(scores) > 1 and scores[1] == scores[1]:
        title = f"{names[0]} first, margin {scores[0] - scores[1]:.4f}"
    note = ""
    if dots is not None and len(dots):
        size = count(dots.groupby("generator").size())
        note = f"\n◆ score   ● one of {size} candidate images   — their range"
    ax.margins(x=0.08)
    tidy(ax, title, f"similarity to the test image{note}", grid="x")
    return source(ax, table)
