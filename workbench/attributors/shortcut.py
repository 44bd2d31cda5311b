"""Controls that look at what should not matter: bytes, colours, busyness."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from workbench import frames, images, pipeline
from workbench.attributors._training import Classifier
from workbench.plugin import Fitted

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

    from workbench.pipeline.progress import Progress
    from workbench.store.store import Store

LOOKS = ("bytes", "colours", "busyness")


@dataclass(frozen=True, repr=False)
class Shortcut(Classifier):
    """Attribute by one simple trait of a picture, as a control beside attributors. Trained.

    A random forest (Breiman 2001; scikit-learn) of `trees` with at least `leaf` pictures in a leaf
    learns from one of:

    - ``bytes``: how many bytes the picture takes as lossless PNG and as JPEG of quality 90;
    - ``colours``: its joint histogram over 4 × 4 × 4 cells of RGB;
    - ``busyness``: of its grey values, the mean absolute differences across and down, deviation,
      mean absolute Laplacian, and the entropy in bits of a histogram of 32 levels.

    What is right this often, without anything of a model's fingerprint, is no merit of one that is
    right as often. Scores are the mean shares of the trees' leaves, in [0, 1]; higher is more
    likely. Pictures go to `size` pixels a side first, as everywhere in the project.

    Calling it raises ValueError before `fit`, and for a model that it was not fitted on.

    >>> Shortcut("colours")
    Shortcut(looks="colours")
    """

    looks: str = "bytes"
    trees: int = 200
    leaf: int = 5
    size: int = 64
    fitted: Fitted | None = None
    revision: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.looks not in LOOKS:
            raise ValueError(f"a shortcut looks at one of {', '.join(LOOKS)}; seen {self.looks!r}")
        if self.trees < 1 or self.leaf < 1:
            raise ValueError(f"trees and leaf are at least 1; seen {self.trees} and {self.leaf}")

    def _features(
        self, table: pd.DataFrame, store: Store, progress: Progress | None
    ) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
        good = table[table["failure"].isna()]
        load, features = pipeline.pictures_of(good, store), {}
        for done, name in enumerate(good["image_id"], 1):
            features[name] = traits(images.fit(load(name), self.size), self.looks)
            if progress is not None:
                progress(self.looks, done, len(good))
        return frames.empty("prompts"), features

    def _learn(
        self,
        vectors: np.ndarray,
        places: np.ndarray,
        models: list[str],
        seed: int,
        progress: Progress | None,
    ) -> dict[str, np.ndarray]:
        """Keep what the forest grows from: a forest itself is no array."""
        return {"vectors": vectors, "places": places, "seed": np.array(seed % 2**32)}

    def _scores(self, matrix: np.ndarray, fitted: Fitted) -> np.ndarray:
        """Score (N, D) traits: (N, K) shares."""
        from sklearn.ensemble import RandomForestClassifier

        forest = RandomForestClassifier(
            self.trees, min_samples_leaf=self.leaf, random_state=int(fitted["seed"])
        )
        probabilities: np.ndarray = forest.fit(fitted["vectors"], fitted["places"]).predict_proba(
            matrix
        )
        return probabilities


def traits(picture: Image, looks: str) -> np.ndarray:
    """Return what a shortcut looks at, (D,) float64.

    >>> from PIL import Image
    >>> traits(Image.new("RGB", (8, 8), "teal"), "busyness").tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0]
    """
    if looks == "bytes":
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=90)
        return np.array([len(images.png_bytes(picture)), len(file.getvalue())], dtype=float)
    if looks == "colours":
        cells = np.asarray(picture).reshape(-1, 3) // 64 @ np.array([16, 4, 1])
        return np.bincount(cells, minlength=64) / len(cells)
    grey = np.asarray(picture.convert("L"), dtype=float)
    inner = grey[1:-1, 1:-1]
    bends = 4 * inner - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    shares = np.bincount((grey // 8).astype(int).ravel(), minlength=32) / grey.size
    entropy = -float(np.sum(shares * np.log2(shares, where=shares > 0, out=np.zeros(32))))
    slopes = [float(np.abs(np.diff(grey, axis=axis)).mean()) for axis in (1, 0)]
    return np.array([*slopes, grey.std(), np.abs(bends).mean(), entropy]) + 0.0
