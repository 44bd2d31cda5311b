"""Pictures in an encoder's space, projected to two dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def space(
    points: pd.DataFrame,
    places: np.ndarray,
    *,
    by: str = "generator",
    trust: float | None = None,
    title: str = "",
    ax: Any = None,
) -> Any:
    """Draw pictures as points of a map, coloured by their model: test images as stars.

    Args:
        points: one row a picture, such as `projection.points` answers: ``kind`` ("test" or
            "candidate"), and the column ``by``, missing for a test image of unknown source. Where
            there is ``outcome``, test images attributed wrongly have a black rim.
        places: (N, 2) where each lies, such as `projection.project` answers.
        by: the column of the colours: ``generator``, or another with few values.
        trust: trustworthiness of the map in [0, 1], told below it; 1: all neighbours on the map
            are neighbours in the space.
        title: of the Axes.
        ax: matplotlib Axes to draw into; new ones when left out.

    Returns:
        the Axes.

    Raises:
        ValueError: not as many places as points, or a column is missing.
    """
    import numpy as np

    from workbench.figures._canvas import axes, pt, source, tidy
    from workbench.figures.colours import MARKS, of

    spots = np.asarray(places, dtype=float)
    if spots.shape != (len(points), 2):
        raise ValueError(
            f"{len(points)} points need places of shape ({len(points)}, 2), not {spots.shape}"
        )
    absent = [column for column in ("kind", by) if column not in points]
    if absent:
        raise ValueError(
            f"the points lack the column {', '.join(absent)}; there are: "
            f"{', '.join(map(str, points.columns))}"
        )
    ax = axes(ax, 6.4, 4.4)
    table = points.reset_index(drop=True).assign(x=spots[:, 0], y=spots[:, 1])
    names = [str(name) for name in dict.fromkeys(table[by].dropna())]
    palette, size = of(by, names), pt(5 if len(table) > 300 else 7) ** 2
    tests = table["kind"] == "test"
    wrong = table["outcome"].eq("wrong") if "outcome" in table else tests & False
    for place, name in enumerate([*names, None]):
        own = table[by].isna() if name is None else table[by].astype(str) == name
        style = {"color": "black" if name is None else palette[name], "lw": 0}
        style |= {"marker": MARKS[place % len(MARKS)], "label": name}
        candidates = table[own & ~tests]
        if name is not None:
            ax.scatter(candidates["x"], candidates["y"], s=size, alpha=0.6, **style)
        for part, rim in ((table[own & tests & ~wrong], "white"), (table[own & wrong], "black")):
            star = style | {"marker": "*", "lw": pt(0.8), "edgecolor": rim, "label": None}
            ax.scatter(part["x"], part["y"], s=6 * size, zorder=3, **star)
    words = [
        f"★ {tests.sum()} test images{', black rim: attributed wrongly' if any(wrong) else ''}"
    ]
    words += [f"● {(~tests).sum()} candidate images"] if any(~tests) else []
    words += [] if trust is None else [f"trustworthiness {trust:.2f} of 1"]
    tidy(ax, title, "; ".join(words))
    ax.set(xticks=[], yticks=[])
    for side in ax.spines.values():
        side.set(visible=True, color="0.8")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize="small")
    return source(ax, table)
