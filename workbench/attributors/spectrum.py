"""Amplitude spectrum of the denoising residual, compared with each model's mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from workbench import frames, images, pipeline
from workbench.attributors._training import Classifier, means_of
from workbench.plugin import Fitted

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

    from workbench.pipeline.progress import Progress
    from workbench.store.store import Store

WINDOW = 3
"""Side of the median filter, in pixels."""


@dataclass(frozen=True, repr=False)
class Spectrum(Classifier):
    """Score by how a picture's noise spectrum departs from the mean as a model's does.

    The residual r = x − median(x) of a 3×3 median filter holds what a model leaves in the finest
    detail; its mean over a model's pictures is a fingerprint (Marra et al. 2019, arXiv:1812.11842).
    Here, as for OFA (AAAI 2026), it is the amplitude spectrum ``|F(r)|`` that is averaged, as the
    content moves phases. With ``a = log(1 + |F(r)|)``, the mean of the colour channels, and ā the
    mean of all training pictures, each model weighing alike, s_m = cos(a − ā, mean_m(a) − ā), in
    [−1, 1]; higher is more likely. Median, logarithm and centring are ours (Marra et al. denoise by
    a network).

    All pictures go to `size` pixels a side first, as everywhere in the project: of models of other
    native sizes that resampling is part of the trace. Little is left of it after JPEG or resizing.
    `fit` learns the means from pictures of known source; calling it before raises ValueError, and
    so does a model that it was not fitted on.

    >>> Spectrum(size=256)
    Spectrum(size=256)
    """

    size: int = 64
    fitted: Fitted | None = None
    revision: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size < WINDOW:
            raise ValueError(f"a residual needs {WINDOW} pixels a side; seen the size {self.size}")

    def _features(
        self, table: pd.DataFrame, store: Store, progress: Progress | None
    ) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
        good = table[table["failure"].isna()]
        load = pipeline.pictures_of(good, store)
        features = {}
        for done, name in enumerate(good["image_id"], 1):
            features[name] = spectrum(images.fit(load(name), self.size))
            if progress is not None:
                progress("spectrum", done, len(good))
        return frames.empty("prompts"), features

    def _learn(
        self,
        vectors: np.ndarray,
        places: np.ndarray,
        models: list[str],
        seed: int,
        progress: Progress | None,
    ) -> dict[str, np.ndarray]:
        means = means_of(vectors, places, len(models))
        centre = means.mean(axis=0)
        return {"centre": centre, "means": np.stack([_unit(mean - centre) for mean in means])}

    def _scores(self, matrix: np.ndarray, fitted: Fitted) -> np.ndarray:
        """Score (N, D) spectra: (N, K) cosines."""
        return np.stack([fitted["means"] @ _unit(row - fitted["centre"]) for row in matrix])


def spectrum(picture: Image) -> np.ndarray:
    """Return ``log(1 + |F(r)|)`` of an RGB picture's residual, (H · (W // 2 + 1),) float64.

    The residual is in grey levels, its transform that of real values (half of the plane), scaled
    by 1 / √(H · W), and the logarithm is averaged over the channels.

    >>> from PIL import Image
    >>> float(spectrum(Image.new("RGB", (8, 8), "teal")).max())
    0.0
    """
    from scipy.fft import rfft2
    from scipy.ndimage import median_filter

    pixels = np.asarray(picture, dtype=np.float64)
    residual = pixels - median_filter(pixels, size=(WINDOW, WINDOW, 1), mode="reflect")
    amplitude = np.abs(rfft2(residual, axes=(0, 1), norm="ortho"))
    return np.log1p(amplitude).mean(axis=2).ravel()


def _unit(row: np.ndarray) -> np.ndarray:
    """Scale a row to length 1; zeros stay."""
    return row / max(float(np.linalg.norm(row)), 1e-12)
