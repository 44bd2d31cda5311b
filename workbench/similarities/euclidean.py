"""Negative Euclidean distance of the features of an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workbench.encoders import Encoder
from workbench.similarities import OverEncoder

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, repr=False, init=False)
class Euclidean(OverEncoder):
    """Compare by −‖φ(x) − φ(c)‖₂ of L2-normalised features, in [−2, 0]; 0 for equal pictures.

    One of the distances of Bongini et al. (arXiv:2510.24278). On unit rows it is −√(2 − 2a) of the
    cosine a: single candidate images come in the same order, their mean need not.

    >>> from workbench.weights.checkpoint import Checkpoint
    >>> from workbench.encoders.open_clip import OpenClip
    >>> Euclidean(OpenClip(Checkpoint("pocket-clip", "encoder", "", "/weights"), layer=4))
    Euclidean("pocket-clip", layer=4)
    """

    encoder: Encoder
    revision: ClassVar[int] = 1

    def between(self, tests: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return (N, M) values of unit rows (N, D) and (M, D); higher is closer."""
        from scipy.spatial.distance import cdist

        return 0.0 - cdist(tests, candidates, "euclidean")
