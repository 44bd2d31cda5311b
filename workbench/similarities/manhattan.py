"""Negative Manhattan distance of the features of an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workbench.encoders import Encoder
from workbench.similarities import OverEncoder

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, repr=False, init=False)
class Manhattan(OverEncoder):
    """Compare by −Σ|φ(x) − φ(c)| of L2-normalised features, in [−2√D, 0]; 0 for equal pictures.

    One of the distances of Bongini et al. (arXiv:2510.24278); less moved by a single feature than
    the Euclidean one.

    >>> from workbench.weights.checkpoint import Checkpoint
    >>> from workbench.encoders.open_clip import OpenClip
    >>> Manhattan(OpenClip(Checkpoint("pocket-clip", "encoder", "", "/weights"), layer=4))
    Manhattan("pocket-clip", layer=4)
    """

    encoder: Encoder
    revision: ClassVar[int] = 1

    def between(self, tests: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return (N, M) values of unit rows (N, D) and (M, D); higher is closer."""
        from scipy.spatial.distance import cdist

        return 0.0 - cdist(tests, candidates, "cityblock")
