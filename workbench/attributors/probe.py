"""A linear probe over an encoder's features as an attributor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from workbench.attributors._training import Classifier, log_softmax, regression
from workbench.encoders import Encoder
from workbench.plugin import Fitted

if TYPE_CHECKING:
    from workbench.pipeline.progress import Progress


@dataclass(frozen=True, repr=False)
class Probe(Classifier):
    """Attribute by multinomial logistic regression on encoder features. Trained.

    s = log softmax(W z + b) with z = (φ(x) − mean) / deviation, each feature standardised on the
    training pictures; the loss is the cross-entropy of all pictures + ‖W‖² / (2 · `strength`), so
    a larger strength is regularised less (scikit-learn's C). Scores are log-probabilities over the
    models it was fitted on, at most 0. All pictures go to `size` pixels a side first.

    Calling it raises ValueError before `fit`, and for a model that it was not fitted on.

    >>> from workbench.weights.checkpoint import Checkpoint
    >>> from workbench.encoders.open_clip import OpenClip
    >>> Probe(OpenClip(Checkpoint("pocket-clip", "encoder", "", "/weights"), layer=4), strength=0.1)
    Probe(OpenClip("pocket-clip", layer=4), strength=0.1)
    """

    encoder: Encoder
    strength: float = 1.0
    size: int = 64
    fitted: Fitted | None = None
    revision: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.strength > 0:
            raise ValueError(f"the strength of a probe is above 0; seen {self.strength}")

    def _learn(
        self,
        vectors: np.ndarray,
        places: np.ndarray,
        models: list[str],
        seed: int,
        progress: Progress | None,
    ) -> dict[str, np.ndarray]:
        return regression(vectors, places, self.strength)

    def _scores(self, matrix: np.ndarray, fitted: Fitted) -> np.ndarray:
        """Score (N, D) pictures: (N, K) log-probabilities."""
        standard = (matrix.astype(np.float64) - fitted["mean"]) / fitted["scale"]
        return np.stack([log_softmax(fitted["weights"] @ row + fitted["bias"]) for row in standard])
