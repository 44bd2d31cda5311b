"""What trained attributors share: their training pictures, what they refuse, their tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from workbench import frames, pipeline
from workbench.attributors import Stages
from workbench.pipeline.progress import Progress
from workbench.plugin import Fitted, Plugin
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd


def training(images: pd.DataFrame, zoo: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows to learn from, in the order of image_id; failed ones are ignored.

    Raises ValueError for a source that is not in the zoo, or a model without any picture.
    """
    table = frames.check(images, "images")
    table = table[table["failure"].isna()].sort_values("image_id", ignore_index=True)
    sources = set(table["source"].fillna("no source"))
    if strange := sorted(sources - set(zoo)):
        raise ValueError(
            f"training pictures are of the candidate models {', '.join(sorted(zoo))}; "
            f"seen also: {', '.join(strange)}"
        )
    if lacking := sorted(set(zoo) - sources):
        raise ValueError(
            f"every candidate model needs training pictures; there are none of {', '.join(lacking)}"
        )
    return table


def learned(attributor: Any, zoo: Mapping[str, Any]) -> Fitted:
    """Return what was fitted.

    Raises ValueError for an attributor that is not fitted, or a model it was not fitted on: a score
    beside others that know nothing of it would mean nothing.
    """
    fitted: Fitted | None = attributor.fitted
    name = type(attributor).__name__
    if fitted is None:
        raise ValueError(
            f"{name} is not fitted: call its fit with pictures of known source, and use the answer"
        )
    known = fitted["models"].tolist()
    if strange := sorted(set(zoo) - set(known)):
        raise ValueError(
            f"{name} was fitted on {', '.join(known)}, not on {', '.join(strange)}: "
            "fit it again on this zoo"
        )
    return fitted


def score_table(
    attributor: Any,
    images: pd.DataFrame,
    zoo: Mapping[str, Any],
    found: Mapping[str, Mapping[str, float]],
) -> pd.DataFrame:
    """Make the scores frame from image_id → model → score; what is not found is missing."""
    name = repr(attributor)
    return frames.build(
        "scores",
        [
            {
                "image_id": image,
                "attributor": name,
                "generator": model,
                "score": found.get(image, {}).get(model),
            }
            for image in images["image_id"]
            for model in sorted(zoo)
        ],
    )


def only_scores(scores: pd.DataFrame) -> Stages:
    """Return the stages of an attributor that inverts, generates and compares nothing."""
    names = ("prompts", "candidates", "similarities")
    return Stages(**{name: frames.empty(name) for name in names}, scores=scores)


class Classifier(Plugin, ABC):
    """What classifiers over feature vectors share; a plug-in adds how it learns and scores.

    `_learn` takes (M, D) vectors and the (M,) places of their models, `_scores` (N, D) vectors,
    row by row: with another number of rows a product may differ in its last bits.
    """

    trained: ClassVar[bool] = True
    fitted: Fitted | None

    @property
    def unfitted(self) -> bool:
        """Tell whether `fit` must come before the first call."""
        return self.fitted is None

    def fit(
        self,
        images: pd.DataFrame,
        zoo: Mapping[str, Any],
        *,
        store: Store,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Self:
        """Return a copy that has learned from an images frame, whose ``source`` is the truth.

        Raises ValueError for a source that is not in the zoo, or a model without a picture that
        could be encoded.
        """
        table = training(images, zoo)
        _, vectors = self._features(table, store, progress)
        usable = training(table[table["image_id"].isin(vectors)], zoo)
        models = sorted(zoo)
        matrix = np.stack([vectors[image] for image in usable["image_id"]])
        places = np.array([models.index(source) for source in usable["source"]])
        arrays = self._learn(matrix, places, models, seed, progress)
        fitted = Fitted(len(usable), {"models": np.array(models), **arrays})
        return replace(self, fitted=fitted)  # type: ignore[type-var]

    def __call__(
        self,
        images: pd.DataFrame,
        zoo: Mapping[str, Any],
        *,
        store: Store,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Stages:
        """Return the stages for the images frame and a zoo (name → Generator): scores, and prompts.

        Raises ValueError when it is not fitted, or not on a model of the zoo; LookupError when
        weights are missing.
        """
        fitted = learned(self, zoo)
        table = frames.check(images, "images")
        prompts, vectors = self._features(table, store, progress)
        found = {}
        if vectors:
            rows = self._scores(np.stack(list(vectors.values())), fitted).tolist()
            models = fitted["models"].tolist()
            found = {
                image: dict(zip(models, row, strict=True))
                for image, row in zip(vectors, rows, strict=True)
            }
        return replace(only_scores(score_table(self, table, zoo, found)), prompts=prompts)

    def _features(
        self, images: pd.DataFrame, store: Store, progress: Progress | None
    ) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
        """Return the prompts frame, and image_id → (D,) float32 of what could be encoded."""
        return frames.empty("prompts"), encoded(self, images, store, progress)

    @abstractmethod
    def _learn(
        self,
        vectors: np.ndarray,
        places: np.ndarray,
        models: list[str],
        seed: int,
        progress: Progress | None,
    ) -> dict[str, np.ndarray]:
        """Return the arrays to keep, from vectors (M, D) and the places (M,) of their models."""

    @abstractmethod
    def _scores(self, matrix: np.ndarray, fitted: Fitted) -> np.ndarray:
        """Return (N, K) scores of vectors (N, D), the models in the order of ``fitted``."""


def encoded(
    attributor: Any, images: pd.DataFrame, store: Store, progress: Progress | None
) -> dict[str, np.ndarray]:
    """Encode the pictures that could be opened, at the attributor's size: image_id → (D,)."""
    good = images[images["failure"].isna()]
    features = pipeline.encode(
        good["image_id"],
        attributor.encoder,
        store,
        attributor.size,
        progress,
        pipeline.pictures_of(good, store),
    )
    return dict(zip(features.ids, features.matrix, strict=True))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Turn the logits (K,) of one picture into log-probabilities, float64.

    >>> np.exp(log_softmax(np.array([1.0, 1.0]))).tolist()
    [0.5, 0.5]
    """
    shifted = logits.astype(np.float64) - logits.max()
    return shifted - np.log(np.exp(shifted).sum())
