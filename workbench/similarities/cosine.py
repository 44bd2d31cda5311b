"""Cosine similarity of the features of an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workbench.checkpoints import Checkpoint, Named, arguments
from workbench.encoders import Encoder

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


@dataclass(frozen=True, repr=False)
class Cosine(Named):
    """Compare by the cosine a = φ(x)·φ(c) of L2-normalised features, in [−1, 1].

    Over the projected CLIP embedding this is CosCLIP (Li et al. 2024, arXiv:2403.01489).

    >>> from workbench.encoders.open_clip import OpenClip
    >>> Cosine(OpenClip(Checkpoint("pocket-clip", "encoder", "", "/weights"), layer=4))
    Cosine("pocket-clip", layer=4)
    """

    encoder: Encoder
    revision: ClassVar[int] = 1

    def __repr__(self) -> str:
        """Write an encoder of the catalogue as its name and fields, any other by its own repr."""
        named = isinstance(getattr(self.encoder, "checkpoint", None), Checkpoint)
        inner = arguments(self.encoder) if named else [repr(self.encoder)]
        return f"Cosine({', '.join(inner)})"

    def __call__(self, tests: Sequence[Image], candidates: Sequence[Image]) -> np.ndarray:
        """Answer (N, M) float32 cosines; higher is closer."""
        return self.compare(self.encoder(tests), self.encoder(candidates))

    def compare(self, tests: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Answer (N, M) float32 cosines of unit rows (N, D) and (M, D).

        The sums run in float64 and are rounded to float32, so that equal pictures tie exactly.
        Raises ValueError when the widths D differ.
        """
        import numpy as np

        if not len(tests) or not len(candidates):
            return np.zeros((len(tests), len(candidates)), np.float32)
        if tests.shape[1] != candidates.shape[1]:
            raise ValueError(
                "features of one width are needed; "
                f"there are {tests.shape[1]} and {candidates.shape[1]}"
            )
        return (tests.astype(np.float64) @ candidates.astype(np.float64).T).astype(np.float32)
