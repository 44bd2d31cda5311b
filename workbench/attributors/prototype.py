"""The nearest mean of a few pictures of each model as an attributor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from workbench.attributors._training import Classifier, means_of
from workbench.encoders import Encoder
from workbench.plugin import Fitted

if TYPE_CHECKING:
    from workbench.pipeline.progress import Progress


@dataclass(frozen=True, repr=False)
class Prototype(Classifier):
    """Score by the cosine to the mean of a few pictures of each model: s_m = cos(φ(x), p_m).

    The N-way K-shot protocol of OmniDFA (arXiv:2509.25682), after prototypical networks (Snell et
    al. 2017, arXiv:1703.05175): p_m is the mean of the unit vectors φ of K pictures of model m, and
    nothing else is learned. K is how many pictures of each model `fit` is given. The cosine is ours
    (Snell et al. take the squared distance). Scores lie in [−1, 1]; higher is more likely. All
    pictures go to `size` pixels a side first.

    Calling it raises ValueError before `fit`, and for a model that it was not fitted on.

    >>> from workbench.weights.checkpoint import Checkpoint
    >>> from workbench.encoders.open_clip import OpenClip
    >>> Prototype(OpenClip(Checkpoint("pocket-clip", "encoder", "", "/weights"), layer=4))
    Prototype(OpenClip("pocket-clip", layer=4))
    """

    encoder: Encoder
    size: int = 64
    fitted: Fitted | None = None
    revision: ClassVar[int] = 1

    def _learn(
        self,
        vectors: np.ndarray,
        places: np.ndarray,
        models: list[str],
        seed: int,
        progress: Progress | None,
    ) -> dict[str, np.ndarray]:
        means = means_of(vectors, places, len(models))
        return {"means": means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)}

    def _scores(self, matrix: np.ndarray, fitted: Fitted) -> np.ndarray:
        """Score (N, D) unit rows against the prototypes: (N, K) cosines."""
        return np.stack([fitted["means"] @ row for row in matrix.astype(np.float64)])
