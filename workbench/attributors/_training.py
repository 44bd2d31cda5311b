"""Parts shared by trained attributors: training pictures, checks, tables, regression."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
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
    by_image: Mapping[str, Mapping[str, float]],
) -> pd.DataFrame:
    """Return the scores frame of image_id → model → score; a score left out is missing."""
    name = repr(attributor)
    return frames.build(
        "scores",
        [
            {
                "image_id": image,
                "attributor": name,
                "generator": model,
                "score": by_image.get(image, {}).get(model),
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
    """Base of classifiers over feature vectors; a plug-in adds how it learns and scores.

    `_learn` takes (M, D) vectors and the (M,) places of their models, `_scores` (N, D) vectors,
    row by row: with another number of rows a product may differ in its last bits.
    """

    trained: ClassVar[bool] = True
    fitted: Fitted | None

    @property
    def unfitted(self) -> bool:
        """Return whether `fit` must come before the first call."""
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
        by_image = {}
        if vectors:
            rows = self._scores(np.stack(list(vectors.values())), fitted).tolist()
            models = fitted["models"].tolist()
            by_image = {
                image: dict(zip(models, row, strict=True))
                for image, row in zip(vectors, rows, strict=True)
            }
        return replace(only_scores(score_table(self, table, zoo, by_image)), prompts=prompts)

    def out_of_group(
        self,
        vectors: np.ndarray,
        places: np.ndarray,
        models: Sequence[str],
        groups: np.ndarray,
        seed: int = 0,
    ) -> np.ndarray:
        """Score every vector by what is learned on those of all other groups: (M, K).

        Args:
            vectors: (M, D) features of pictures of known source.
            places: (M,) the model of each, 0 … K − 1.
            models: K names.
            groups: (M,) what is left out together, such as their prompts; each model has pictures
                in two groups at least.
            seed: of what learns with chance.

        Raises:
            ValueError: without one group a model has no picture to learn from.
        """
        names = list(models)
        scores = np.empty((len(vectors), len(names)))
        for group in np.unique(groups):
            own = groups == group
            if lacking := set(range(len(names))) - set(places[~own].tolist()):
                raise ValueError(
                    f"without {group} there is no picture of {names[min(lacking)]} to learn from"
                )
            arrays = self._learn(vectors[~own], places[~own], names, seed, None)
            fitted = Fitted(int((~own).sum()), {"models": np.array(names), **arrays})
            scores[own] = self._scores(vectors[own], fitted)
        return scores

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


def means_of(vectors: np.ndarray, places: np.ndarray, count: int) -> np.ndarray:
    """Return the mean vector of each model, (K, D) float64, from (M, D) and their (M,) places."""
    return np.stack([vectors[places == k].astype(np.float64).mean(axis=0) for k in range(count)])


def regression(vectors: np.ndarray, places: np.ndarray, strength: float) -> dict[str, np.ndarray]:
    """Fit a multinomial logistic regression on standardised features (scikit-learn).

    Args:
        vectors: (M, D) of training pictures.
        places: (M,) which of K ≥ 2 kinds each is of, counted from 0.
        strength: the inverse of the weight of ‖W‖² / 2 beside the sum of cross-entropies.

    Returns:
        ``mean`` and ``scale`` (D,), ``weights`` (K, D) and ``bias`` (K,): the log-probabilities of
        x are log softmax(weights · (x − mean) / scale + bias).
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # else the last bits depend on the number of cores
        scaler = StandardScaler().fit(vectors.astype(np.float64))
        standard = scaler.transform(vectors.astype(np.float64))
        model = LogisticRegression(C=strength, tol=1e-6, max_iter=5000).fit(standard, places)
    weights, bias = model.coef_, model.intercept_
    if len(weights) == 1:  # scikit-learn keeps one row: the second kind against the first
        weights, bias = np.stack([0 * weights[0], weights[0]]), np.array([0.0, bias[0]])
    return {"mean": scaler.mean_, "scale": scaler.scale_, "weights": weights, "bias": bias}
