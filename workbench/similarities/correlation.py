"""Negative correlation distance of the features of an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workbench.encoders import Encoder
from workbench.similarities import OverEncoder

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, repr=False, init=False)
class Correlation(OverEncoder):
    """Compare by −(1 − r), r Pearson's correlation of the features, in [−2, 0]; 0 where r = 1.

    One of the distances of Bongini et al. (arXiv:2510.24278): the cosine after each row's own mean
    is taken off. A row whose features are all equal correlates with nothing: r = 0.

    >>> from workbench.weights.checkpoint import Checkpoint
    >>> from workbench.encoders.open_clip import OpenClip
    >>> Correlation(OpenClip(Checkpoint("pocket-clip", "encoder", "", "/weights"), layer=4))
    Correlation("pocket-clip", layer=4)
    """

    encoder: Encoder
    revision: ClassVar[int] = 1

    def between(self, tests: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return (N, M) values of rows (N, D) and (M, D); higher is closer."""
        import numpy as np

        correlations = _centred(tests) @ _centred(candidates).T
        return correlations.astype(np.float32) - np.float32(1)  # rounded first: equal pictures tie


def _centred(rows: np.ndarray) -> np.ndarray:
    """Take each row's mean off and scale it to length 1, or to 0 where only rounding is left."""
    import numpy as np

    left = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(left, axis=1, keepdims=True)
    return np.divide(left, length, out=np.zeros_like(left), where=length > 1e-6)
