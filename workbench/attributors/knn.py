"""The nearest training pictures as an attributor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from workbench.attributors._training import Classifier
from workbench.encoders import Encoder
from workbench.plugin import Fitted

if TYPE_CHECKING:
    from workbench.pipeline.progress import Progress


@dataclass(frozen=True, repr=False)
class KNN(Classifier):
    """Let the k nearest training pictures vote: s_m = votes_m / k + 1e-6 · mean_m. Trained.

    Near is the cosine of the encoder's features; mean_m is the mean cosine over all training
    pictures of model m, which settles equal votes (the rule of RefPrint's aggregation,
    arXiv:2607.12052, in `ranking.knn`). Equal cosines count in the order of image_id. Fewer than k
    training pictures vote all. Scores lie in [−1e-6, 1 + 1e-6]; higher is more likely. All
    pictures go to `size` pixels a side first.

    Calling it raises ValueError before `fit`, and for a model that it was not fitted on.

    >>> from workbench.weights.checkpoint import Checkpoint
    >>> from workbench.encoders.open_clip import OpenClip
    >>> KNN(OpenClip(Checkpoint("pocket-clip", "encoder", "", "/weights")), k=3)
    KNN(OpenClip("pocket-clip"), k=3)
    """

    encoder: Encoder
    k: int = 5
    size: int = 64
    fitted: Fitted | None = None
    revision: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k < 1:
            raise ValueError(f"k, the neighbours that vote, is at least 1; seen {self.k}")

    def _learn(
        self,
        vectors: np.ndarray,
        places: np.ndarray,
        models: list[str],
        seed: int,
        progress: Progress | None,
    ) -> dict[str, np.ndarray]:
        return {"vectors": vectors.astype(np.float32), "places": places}

    def _scores(self, matrix: np.ndarray, fitted: Fitted) -> np.ndarray:
        """Score (N, D) pictures against the (M, D) training pictures: (N, K)."""
        vectors, places = fitted["vectors"].astype(np.float64), fitted["places"]
        count = len(fitted["models"])
        sizes = np.bincount(places, minlength=count)

        def score(row: np.ndarray) -> np.ndarray:
            near = (vectors @ row).astype(np.float32)  # as in Cosine: equal pictures tie exactly
            first = np.argsort(-near, kind="stable")[: self.k]
            votes = np.bincount(places[first], minlength=count) / len(first)
            return votes + 1e-6 * np.bincount(places, near, minlength=count) / sizes

        return np.stack([score(row) for row in matrix.astype(np.float64)])
