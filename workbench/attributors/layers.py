"""Regeneration compared at several layers at once, in a mix that a few pictures choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from workbench import pipeline, ranking
from workbench.attributors import Stages
from workbench.attributors._training import learned, training
from workbench.encoders import Encoder
from workbench.inverters import Inverter
from workbench.pipeline.aspect import View
from workbench.pipeline.progress import Progress
from workbench.plugin import Fitted, Plugin
from workbench.similarities.cosine import Cosine
from workbench.similarities.hybrid import Hybrid
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from workbench.evidence.treatment import Treatment

RIDGE = 0.1
"""Weight of ‖β‖² / 2 beside the sum of cross-entropies, so that few pictures do not run away."""


@dataclass(frozen=True, repr=False)
class Layers(Plugin):
    """Attribute by regeneration with a convex mix of an encoder's layers. Trained on few pictures.

    a_kj = Σ_l w_l cos(φ_l(x), φ_l(c_kj)) / d_l over the layers l = 1 … L and the projected
    embedding, w_l ≥ 0 and Σ_l w_l = 1: the layer is where regeneration gains most (RefPrint,
    arXiv:2607.12052), and the best one differs from zoo to zoo. `fit` regenerates for pictures of
    known source, divides the scores of each layer by their deviation d_l within a picture, and
    finds β ≥ 0 that maximise the likelihood of the sources under softmax(Σ_l β_l s_l / d_l), less a
    small ridge: a concave problem with one answer; w = β / Σ β, all equal where β is 0. The mix is
    ours. Where `aggregate` is not the mean, the weights are found for mixed scores and used for
    mixed similarities. `alike` is that of `Regeneration`, for the pictures of the fit too.

    Calling it raises ValueError before `fit`, for a model that it was not fitted on, and for an
    encoder without layers.

    >>> from workbench.weights.checkpoint import Checkpoint
    >>> from workbench.encoders.open_clip import OpenClip
    >>> from workbench.inverters.natural import Natural
    >>> Layers(Natural(), OpenClip(Checkpoint("pocket-clip", "encoder", "", "/w")), gamma=2)
    Layers(Natural(), OpenClip("pocket-clip"), gamma=2)
    """

    inverter: Inverter
    encoder: Encoder
    aggregate: str = "mean"
    gamma: int = 4
    size: int = 64
    alike: bool = False
    fitted: Fitted | None = None
    revision: ClassVar[int] = 1
    trained: ClassVar[bool] = True

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
        """Return a copy with the weights of the layers, from an images frame of known ``source``.

        Raises ValueError for a source that is not in the zoo, a model without pictures, an encoder
        without layers, or where no picture could be compared with all models.
        """
        table = training(images, zoo)
        encoder: Any = self.encoder
        layers, models = _layers(encoder), sorted(zoo)
        done, views, prompts, candidates = self._regenerated(table, zoo, store, seed, progress)
        self._encode(table, views, candidates, layers, store, progress)
        cube = []
        for layer in layers:
            compare = Cosine(encoder.at(layer))
            values = pipeline.similarity(
                table, prompts, candidates, compare, store, self.size, None, done, views
            )
            scores = ranking.score(values, "", self.aggregate, table["image_id"], models)
            wide = scores.pivot(index="image_id", columns="generator", values="score")
            cube.append(wide.loc[table["image_id"], models].to_numpy())
        truth = np.array([models.index(source) for source in table["source"]])
        weights, deviations = mix(np.stack(cube, axis=2), truth)
        arrays = {
            "models": np.array(models),
            "layers": np.array([layer or 0 for layer in layers]),  # 0: the projected embedding
            "weights": weights,
            "deviations": deviations,
        }
        return replace(self, fitted=Fitted(len(table), arrays))

    def __call__(
        self,
        images: pd.DataFrame,
        zoo: Mapping[str, Any],
        *,
        store: Store,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Stages:
        """Return the stages for the images frame and a zoo (name → Generator).

        Raises ValueError before `fit` and for a model that it was not fitted on, LookupError when
        weights are missing.
        """
        layers, similarity = self._mixed(learned(self, zoo))
        done, views, prompts, candidates = self._regenerated(images, zoo, store, seed, progress)
        self._encode(images, views, candidates, layers, store, progress)
        similarities = pipeline.similarity(
            images, prompts, candidates, similarity, store, self.size, progress, done, views
        )
        scores = ranking.score(
            similarities, repr(self), self.aggregate, images["image_id"], list(zoo)
        )
        return Stages(prompts, candidates, similarities, scores, done)

    def _mixed(self, fitted: Fitted) -> tuple[list[int | None], Hybrid]:
        """Return the layers that have a weight, and their mix."""
        used = fitted["weights"] > 0
        layers = [int(layer) or None for layer in fitted["layers"][used]]
        encoder: Any = self.encoder
        parts = tuple(Cosine(encoder.at(layer)) for layer in layers)
        weights, deviations = (fitted[name][used].tolist() for name in ("weights", "deviations"))
        return layers, Hybrid(parts, tuple(weights), deviations=tuple(deviations))

    def _encode(
        self,
        images: pd.DataFrame,
        views: Mapping[str, View],
        candidates: pd.DataFrame,
        layers: list[int | None],
        store: Store,
        progress: Progress | None,
    ) -> None:
        """Encode images and candidates at several layers in one pass, into the store."""
        good = images[images["failure"].isna()]
        ids = [views[name].picture if name in views else name for name in good["image_id"]]
        if not self.alike:  # else what is compared are treated ones
            ids += list(candidates["candidate_id"].dropna())
        load = pipeline.pictures_of(good, store)
        pipeline.encode_layers(ids, self.encoder, layers, store, self.size, progress, load)

    def _regenerated(
        self,
        images: pd.DataFrame,
        zoo: Mapping[str, Any],
        store: Store,
        seed: int,
        progress: Progress | None,
    ) -> tuple[dict[str, Treatment], dict[str, View], pd.DataFrame, pd.DataFrame]:
        """Return the treatments, views, prompts and candidates of images."""
        views = pipeline.views(images, zoo, store) if self.alike else {}
        done = pipeline.treatments(images, store, progress, views) if self.alike else {}
        prompts = pipeline.invert(images, self.inverter, store, progress, views)
        candidates = pipeline.generate(prompts, zoo, self.gamma, seed, store, progress)
        return done, views, prompts, candidates


def mix(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the convex weights of layers that make the true models likeliest (`Layers`).

    Args:
        scores: (N, K, L) of N pictures, K models and L layers; pictures with a NaN are left out.
        truth: (N,) places of the true models.

    Returns:
        weights (L,), 0 or more, that sum to 1, and deviations (L,) of the scores within a picture
        (1 where they do not differ).

    Raises:
        ValueError: no picture has all its scores.

    >>> told = np.array([[[1.0, 0.0], [0.0, 0.1]], [[0.0, 0.2], [1.0, 0.2]]])
    >>> mix(told, np.array([0, 1]))[0].tolist()
    [1.0, 0.0]
    """
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    whole = ~np.isnan(scores).any(axis=(1, 2))
    if not whole.any():
        raise ValueError(
            "no picture could be compared with candidates of every model at every layer, so no mix "
            "of layers can be found"
        )
    cube, right = scores[whole], truth[whole]
    centred = cube - cube.mean(axis=1, keepdims=True)
    deviations = np.sqrt((centred**2).mean(axis=(0, 1)))
    deviations = np.where(deviations > 0, deviations, 1.0)
    standard = centred / deviations
    own = standard[np.arange(len(right)), right]

    def loss(beta: np.ndarray) -> tuple[float, np.ndarray]:
        logits = standard @ beta
        logs = logits - logsumexp(logits, axis=1, keepdims=True)
        expected = np.einsum("nk,nkl->nl", np.exp(logs), standard)
        value = -logs[np.arange(len(right)), right].sum() + RIDGE / 2 * beta @ beta
        return float(value), (expected - own).sum(axis=0) + RIDGE * beta

    start = np.full(cube.shape[2], 1 / cube.shape[2])
    weights = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(start)).x
    weights = np.where(weights > 1e-6 * weights.sum(), weights, 0.0)
    total = float(weights.sum())
    return (weights / total if total > 0 else start), deviations


def _layers(encoder: Any) -> list[int | None]:
    """Return the layers of an encoder: its blocks, then the projected embedding."""
    if not all(hasattr(encoder, name) for name in ("at", "depth", "layers")):
        raise ValueError(f"a mix of layers needs an encoder with layers; {encoder!r} has none")
    return [*range(1, encoder.depth() + 1), None]
