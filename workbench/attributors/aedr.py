"""AEDR: how much more the first pass through a model's autoencoder changes than the second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from workbench import frames, images, pipeline
from workbench.attributors import Stages
from workbench.attributors._training import learned, only_scores, score_table, training
from workbench.pipeline.progress import Progress
from workbench.plugin import Fitted, Plugin
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd

ROUNDING = 1 / 12 / 255**2
"""Mean squared error of rounding to 8 bits: added to both losses, so that neither is 0."""


@dataclass(frozen=True, repr=False)
class AEDR(Plugin):
    """Attribute by autoencoder double reconstruction (Wang et al., AAAI 2026, arXiv:2507.18988).

    t_k = H(x) · MSE(x, R_k(x)) / MSE(R_k(x), R_k(R_k(x))), R_k the autoencoder of model k: the
    ratio is near 1 for a picture of its own, which has left that decoder before, and larger for any
    other; H is the `homogeneity` of the test image, by which the paper calibrates it. Training-free
    the score is −log t_k, and H, the same for every candidate, changes no ranking. `fit` learns
    τ_k, the `quantile` of a kernel density of t over the model's own pictures, and the score
    becomes log τ_k − log t_k: 0 or more where the paper takes the picture for the model's own.
    Higher is more likely; no bounds. `fit` is not needed, so there is no ``unfitted``; a fitted one
    is `trained`. The paper asks of one model at a time; to rank several by τ_k / t_k is ours. It
    fits τ on 500 pictures, at a quantile that it chooses for each model; here it is one for all.

    A model without an autoencoder (one that works on pixels, an archive) has no score and ranks
    last: a zoo with one can be attributed in part only. Pictures go to the size of each model
    directly, since the trace lies in their very pixels; where the models differ in size, size is
    part of the trace. Ours: the mode of the latents, and 8-bit reconstructions (hence ROUNDING).

    >>> AEDR()
    AEDR()
    """

    quantile: float = 0.95
    fitted: Fitted | None = None
    revision: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.5 <= self.quantile < 1:
            raise ValueError(f"the quantile lies in [0.5, 1); seen {self.quantile}")

    @property
    def trained(self) -> bool:
        """Return whether the thresholds of `fit` are part of the score."""
        return self.fitted is not None

    def fit(
        self,
        images: pd.DataFrame,
        zoo: Mapping[str, Any],
        *,
        store: Store,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Self:
        """Return a copy with a threshold for each model, from an images frame of known ``source``.

        Raises ValueError for a source that is not in the zoo, or a model with an autoencoder and
        fewer than 2 pictures of its own.
        """
        table = training(images, zoo)
        thresholds = []
        for name in sorted(zoo):
            own = table[table["source"] == name]
            logs = _log_ratios(own, zoo[name], store, progress)
            if len(logs) == 1:
                raise ValueError(f"AEDR needs at least 2 pictures of each model; seen 1 of {name}")
            ratios = np.exp([logs[image] for image in sorted(logs)])
            thresholds.append(_kde_quantile(ratios, self.quantile) if logs else np.nan)
        arrays = {"models": np.array(sorted(zoo)), "thresholds": np.array(thresholds)}
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
        """Return the stages for the images frame and a zoo (name → Generator): scores only.

        Raises ValueError for a model that it was not fitted on, LookupError when weights are
        missing.
        """
        offsets = dict.fromkeys(zoo, 0.0)
        if self.fitted is not None:
            fitted = learned(self, zoo)
            logs = np.log(fitted["thresholds"]).tolist()
            offsets = dict(zip(fitted["models"].tolist(), logs, strict=True))
        table = frames.check(images, "images")
        by_image: dict[str, dict[str, float]] = {image: {} for image in table["image_id"]}
        for name, generator in zoo.items():
            for image, log in _log_ratios(table, generator, store, progress).items():
                by_image[image][name] = offsets[name] - log
        return only_scores(score_table(self, table, zoo, by_image))


def _log_ratios(
    table: pd.DataFrame, generator: Any, store: Store, progress: Progress | None
) -> dict[str, float]:
    """Return image_id → log t of the pictures that the model can reconstruct twice."""
    good = table[table["failure"].isna()]
    pictures = pipeline.pictures_of(good, store)
    once = pipeline.reconstruct(good["image_id"], generator, store, progress, pictures)
    twice = pipeline.reconstruct(once.values(), generator, store, progress)
    logs = {}
    for image, first in once.items():
        if first in twice:
            one, two = store.picture(first), store.picture(twice[first])
            losses = _loss(pictures(image), one), _loss(one, two)
            ratio = np.log(losses[0] + ROUNDING) - np.log(losses[1] + ROUNDING)
            logs[image] = float(ratio + np.log(homogeneity(pictures(image))))
    return logs


def homogeneity(picture: Any) -> float:
    """Measure how alike neighbouring pixels are, in (0, 1]: 1 for a single grey.

    Σ_ij P_ij / (1 + (i − j)²) of the grey-level co-occurrence matrix (Haralick et al. 1973) of each
    pixel with its right-hand neighbour, both ways, in 32 levels: what the authors' code computes
    (scikit-image).

    >>> from PIL import Image
    >>> homogeneity(Image.new("RGB", (8, 8), "teal"))
    1.0
    """
    from skimage import feature

    texture: Any = feature  # carries no types
    levels = np.asarray(picture.convert("L")) // 8
    matrix = texture.graycomatrix(levels, [1], [0], levels=32, symmetric=True, normed=True)
    return float(texture.graycoprops(matrix, "homogeneity")[0, 0])


def _loss(picture: Any, reconstruction: Any) -> float:
    """Return the mean squared error of values in [0, 1], at the size of the reconstruction."""
    fitted = images.array(images.fit(picture, reconstruction.width)).astype(np.float64)
    return float(np.mean((fitted - images.array(reconstruction)) ** 2))


def _kde_quantile(values: np.ndarray, quantile: float) -> float:
    """Return a quantile of the Gaussian kernel density (Scott's bandwidth) of values."""
    from scipy.optimize import brentq
    from scipy.stats import gaussian_kde

    if np.ptp(values) == 0:
        return float(values[0])
    density = gaussian_kde(values)
    reach = 10 * float(np.sqrt(density.covariance[0, 0]))
    return float(
        brentq(
            lambda x: density.integrate_box_1d(-np.inf, x) - quantile,
            values.min() - reach,
            values.max() + reach,
        )
    )
