"""What the Explorer writes: tables, pictures, and Parquet that other tools read."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import images
from workbench.store.store import Store
from workbench.widgets._points import NEAREST

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def written(
    folder: Path, points: pd.DataFrame, tags: pd.DataFrame, matrix: np.ndarray, store: Store
) -> Path:
    """Write points into a folder, and return it.

    Args:
        folder: made where it is missing.
        points: a row a point, ``picture`` its digest.
        tags: ``picture`` and ``tag``.
        matrix: (N, D) features of the points, by which their neighbours are told.
        store: where the pictures lie.

    Raises:
        OSError: something cannot be written.
        StoreError: the store has a picture no longer.
    """
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    points.to_csv(folder / "points.csv", index=False)
    tags.to_csv(folder / "tags.csv", index=False)
    data = [images.png_bytes(store.picture(name)) for name in points["picture"]]
    for name, png in zip(points["picture"], data, strict=True):
        (folder / "pictures" / f"{name}.png").write_bytes(png)
    table = points.assign(
        neighbors=neighbours(matrix),
        image=[
            {"bytes": png, "path": f"pictures/{name}.png"}
            for name, png in zip(points["picture"], data, strict=True)
        ],
    )
    table.to_parquet(folder / "points.parquet", index=False)
    return folder


def drawn(
    points: pd.DataFrame, maps: Sequence[tuple[str, np.ndarray, float]], by: str
) -> dict[str, Any]:
    """Return maps as a picture: its data URI ``uri``, and the ``width`` to show it at.

    Args:
        points: a row a point.
        maps: the name of each, (N, 2) places, and its trustworthiness.
        by: the column of the colours.
    """
    import numpy as np
    from matplotlib.figure import Figure

    from workbench import figures

    figure = Figure(figsize=(6.6 * len(maps), 4.4), layout="constrained")
    for ax, (name, places, trust) in zip(
        np.atleast_1d(figure.subplots(1, len(maps))), maps, strict=True
    ):
        figures.space(points, places, by=by, trust=trust, title=name, ax=ax)
    png, sides = figures.png(figure)
    return {"uri": "data:image/png;base64," + base64.b64encode(png).decode("ascii"), **sides}


def neighbours(matrix: np.ndarray) -> list[dict[str, list[Any]]]:
    """Return the nearest rows of each, itself left out, as Embedding Atlas reads them."""
    from sklearn.neighbors import NearestNeighbors

    count = min(NEAREST, len(matrix) - 1)
    if count < 1:
        return [{"ids": [], "distances": []} for _ in matrix]
    far, near = NearestNeighbors(n_neighbors=count).fit(matrix).kneighbors()
    return [
        {"ids": ids.tolist(), "distances": gaps.tolist()}
        for ids, gaps in zip(near, far, strict=True)
    ]
