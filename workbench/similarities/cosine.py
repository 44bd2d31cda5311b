"""Cosine similarity of the features of an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workbench.encoders import Encoder
from workbench.similarities import OverEncoder

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, repr=False, init=False)
class Cosine(OverEncoder):
    """Compare by the cosine a = φ(x)·φ(c) of L2-normalised features, in [−1, 1].

    Over the projected CLIP embedding this is CosCLIP (Li et al. 2024, arXiv:2403.01489).

    >>> from workbench.weights.checkpoint import Checkpoint
    >>> from workbench.encoders.open_clip import OpenClip
    >>> Cosine(OpenClip(Checkpoint("pocket-clip", "encoder", "", "/weights"), layer=4))
    Cosine("pocket-clip", layer=4)
    """

    encoder: Encoder
    revision: ClassVar[int] = 1

    def between(self, tests: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return (N, M) cosines of unit rows (N, D) and (M, D); higher is closer."""
        return tests @ candidates.T
