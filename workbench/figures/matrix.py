"""The similarities of one test image, number by number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def matrix(
    similarities: pd.DataFrame,
    *,
    image_id: str | None = None,
    title: str = "",
    ax: Any = None,
) -> Any:
    """Draw a_kj of one test image as a heat map: a row a candidate model, a column an index.

    Args:
        similarities: frame of that name, of one similarity.
        image_id: the test image, where the frame holds several.
        title: of the Axes.
        ax: matplotlib Axes to draw into; new ones when left out.

    Returns:
        the Axes; what could not be compared stays white.

    Raises:
        ValueError: the frame holds several images, prompts or similarities, or not this image.
    """
    import seaborn as sns

    from workbench.catalogue.wording import readable
    from workbench.figures._canvas import axes, pt, source, tidy
    from workbench.figures.colours import FULL, colours

    table = similarities if image_id is None else similarities[similarities["image_id"] == image_id]
    runs = table[["image_id", "prompt_id", "similarity"]].drop_duplicates()
    if len(runs) != 1:
        raise ValueError(
            f"a matrix is drawn of one image, prompt and similarity; the table holds {len(runs)} "
            "such triples: choose with image_id=…"
        )
    models = list(dict.fromkeys(table["generator"]))
    wide = table.pivot(index="generator", columns="index", values="value").loc[models]
    high, across = wide.shape
    ax = axes(ax, min(0.75 * across + 2.0, 12.0), 0.5 * high + 1.2)
    best = wide.to_numpy(dtype=float)
    sns.heatmap(
        wide.astype(float),
        annot=across <= 8,
        fmt=".3f",
        annot_kws={"fontsize": "small", "color": "0.1"},
        cmap=sns.light_palette(FULL, as_cmap=True),
        cbar=across > 8,
        linewidths=pt(1.5),
        linecolor="white",
        ax=ax,
    )
    for place, colour in enumerate(colours(models).values()):
        line = {"color": colour, "lw": pt(3), "clip_on": False, "solid_capstyle": "butt"}
        ax.plot([-0.04, -0.04], [place + 0.08, place + 0.92], **line)
    n = int((best == best).sum())
    kind = readable(runs["similarity"].item())
    tidy(ax, title, f"candidate image · n = {n} similarities, {kind}")
    ax.set_ylabel("")
    ax.set_xlim(-0.08, across)
    ax.tick_params(axis="y", rotation=0)
    ax.spines["bottom"].set_visible(False)
    return source(ax, table)
