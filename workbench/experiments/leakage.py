"""Can the file alone, without its picture, tell the model? The audit before any score."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from workbench import images as pictures
from workbench.experiments import Bench, cells, results
from workbench.plugin import Plugin

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image


@dataclass(frozen=True, repr=False)
class Leakage(Plugin):
    """Attribute by what a file shows without being looked at, cross-validated over prompts.

    Detectors have learnt the format or the size instead of the generator. A random forest
    (scikit-learn) gets: the sides alone; the bytes of the lossless PNG; the bytes as JPEG of
    quality 90. Sides must leave it at chance: all pictures go through one decode → resize →
    lossless path before any similarity. Bytes tell how busy a picture is, which is part of it:
    what they attain is what any measure of busyness would, and no similarity should be proud of.

    >>> Leakage(folds=3)
    Leakage(folds=3)
    """

    folds: int = 5
    trees: int = 100
    revision: ClassVar[int] = 1

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return ``results`` and ``pictures``, a row for each with its features and predictions."""
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.model_selection import GroupKFold, cross_val_predict

        from workbench.evaluation.statistics import bootstrap_interval

        images, truth = bench.pictures()
        table = truth[truth["image_id"].isin(images["image_id"])].reset_index(drop=True)
        measured = [_measure(bench.store.picture(name)) for name in table["image_id"]]
        columns: dict[str, list[str]] = {
            "sides": ["width", "height"],
            "PNG bytes": ["png"],
            "JPEG bytes": ["jpeg"],
            "all of these": ["width", "height", "png", "jpeg"],
        }
        folds = min(self.folds, table["prompt"].nunique())
        rows = []
        for name, wanted in columns.items():
            features = np.array([[found[key] for key in wanted] for found in measured], float)
            forest = RandomForestClassifier(self.trees, min_samples_leaf=5, random_state=bench.seed)
            guess = cross_val_predict(
                forest, features, table["truth"], groups=table["prompt"], cv=GroupKFold(folds)
            )
            table[name] = guess
            found = bootstrap_interval(guess == table["truth"], table["prompt"])
            rows.append({"features": name, "metric": "accuracy", **cells(found)})
        chance = {"value": 1 / len(bench.zoo), "low": None, "high": None, "n": len(table)}
        rows.append({"features": "chance", "metric": "accuracy", **chance})
        return {"results": results(rows), "pictures": table}

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw the accuracy of each set of features."""
        from workbench import figures

        table = frames["results"].set_index("features", drop=False)
        figures.resize(figure, 6.8, 0.45 * len(table) + 1.2)
        figures.dots(
            table.drop("chance"),
            by="features",
            chance=table.loc["chance", "value"],
            title="What the file alone tells",
            ax=figure.subplots(),
        )

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """Tell whether the sides leak, and what the bytes tell."""
        table = frames["results"].set_index("features")
        sides, all_of = table.loc["sides"], table.loc["all of these"]
        chance = table.loc["chance", "value"]
        leak = "nothing leaks" if sides["low"] <= chance else "the sides leak"
        return (
            f"Format and sides: {leak} ({sides['value']:.1%} right, chance {chance:.1%}, n = "
            f"{sides['n']:.0f}); with the bytes, which tell how busy a picture is, a forest is "
            f"right in {all_of['value']:.1%} ({all_of['low']:.1%} to {all_of['high']:.1%})."
        )


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
