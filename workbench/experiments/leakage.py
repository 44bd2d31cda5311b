"""Can the file alone, without its picture, tell the model? The audit before any score."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from workbench import images as pictures
from workbench.evaluation.prompts import scenes
from workbench.experiments import Bench, cells, results
from workbench.experiments._family import chosen, percent, share, single
from workbench.plugin import Plugin

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image


SIDES = ("width", "height")
SETS = {
    "sides": SIDES,
    "PNG bytes": ("png",),
    "JPEG bytes": ("jpeg",),
    "all of these": (*SIDES, "png", "jpeg"),
}
"""Features of a file, by the name of the set."""


@dataclass(frozen=True, repr=False)
class Leakage(Plugin):
    """Attribute by what a file shows without being looked at, cross-validated over scenes.

    Detectors have learnt the format or the size instead of the generator. A random forest
    (scikit-learn) gets: the sides alone; the bytes of the lossless PNG; the bytes as JPEG of
    quality 90. All pictures go through one decode → resize → lossless path before any similarity,
    so the sides are mostly constant; then nothing can be learned from them, and nothing is: there
    is no accuracy of constants. Bytes tell how busy a picture is, which is part of it: what they
    attain is what any measure of busyness would, and no similarity should be proud of.

    >>> Leakage(folds=3)
    Leakage(folds=3)
    """

    folds: int = 5
    trees: int = 100
    revision: ClassVar[int] = 2

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results`` and ``pictures``, a row for each with its features and predictions."""
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.model_selection import GroupKFold, cross_val_predict

        images, truth = bench.pictures()
        table = truth[truth["image_id"].isin(images["image_id"])].reset_index(drop=True)
        for name, values in _measured(bench, table["image_id"]).items():
            table[name] = values
        groups = scenes(table)
        folds = min(self.folds, len(set(groups)))
        for name, wanted in SETS.items():
            features = table[list(wanted)].to_numpy(float)
            if not np.ptp(features, axis=0).any():
                continue  # constants
            forest = RandomForestClassifier(self.trees, min_samples_leaf=5, random_state=bench.seed)
            table[name] = cross_val_predict(
                forest, features, table["truth"], groups=groups, cv=GroupKFold(folds)
            )
        frames = {"pictures": table}
        return {"results": self.measure(frames), **frames}

    def measure(self, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Return the results of the pictures."""
        table = frames["pictures"]
        different = len(table[list(SIDES)].drop_duplicates())
        rows = [{"features": "sides", "metric": "different sides", **single(different, len(table))}]
        for name in (name for name in SETS if name in table):
            right = table.assign(correct=table[name] == table["truth"])
            rows.append({"features": name, "metric": "accuracy", **cells(share(right))})
        chance = single(1 / table["truth"].nunique(), len(table))
        rows.append({"features": "chance", "metric": "accuracy", **chance})
        return results(rows)

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw the accuracy of each set of features."""
        from workbench import figures

        table = frames["results"]
        table = table[table["metric"] == "accuracy"].set_index("features", drop=False)
        figures.resize(figure, 6.8, 0.3 * len(table) + 1.2)
        figures.dots(
            table.drop("chance"),
            by="features",
            chance=table.loc["chance", "value"],
            title="What the file alone tells",
            ax=figure.subplots(),
        )

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """Return whether there is anything to learn from the sides, and what the bytes tell."""
        table = frames["results"]
        sides = chosen(table, "different sides")
        table = table[table["metric"] == "accuracy"].set_index("features")
        chance = table.loc["chance", "value"]
        if "sides" in table.index:
            leak = f"by the sides alone a forest is right in {percent(table.loc['sides'])}"
        else:
            leak = "all have the same sides, from which nothing could be learned"
        return (
            f"Of n = {sides['n']:.0f} pictures {leak}; by the bytes of the file, which tell how "
            f"busy a picture is, it is right in {percent(table.loc['all of these'])}, chance "
            f"{chance:.1%}."
        )


def _measured(bench: Bench, ids: Iterable[str]) -> dict[str, list[float]]:
    """Return the features of pictures by name."""
    measures = [_measure(bench.store.picture(name)) for name in ids]
    return {name: [each[name] for each in measures] for name in (*SIDES, "png", "jpeg")}


def _measure(image: Image) -> dict[str, float]:
    """Return sides in pixels, and bytes as PNG and as JPEG of quality 90."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return {
        "width": image.width,
        "height": image.height,
        "png": len(pictures.png_bytes(image)),
        "jpeg": len(file.getvalue()),
    }
