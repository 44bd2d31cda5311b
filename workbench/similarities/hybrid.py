"""A weighted sum of other similarities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from workbench.plugin import Plugin
from workbench.similarities import Similarity

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from PIL.Image import Image


@dataclass(frozen=True, repr=False)
class Hybrid(Plugin):
    """Compare by Σ_i w_i (a_i − m_i) / d_i over parts a_i, each brought to one scale.

    One answer to an open question of Li et al. 2024 (arXiv:2403.01489), a similarity adapted to the
    models; the formula is ours. The constants m_i and d_i are fields, so that the value of a pair
    does not depend on its company; `fit` finds them on calibration pairs, without their truth.
    Left out, weights are 1 / n each, and the constants 0 and 1: `unfitted`.

    >>> from workbench.similarities.psnr import PSNR
    >>> from workbench.similarities.ssim import SSIM
    >>> Hybrid((SSIM(), PSNR()), means=(0.2, 12.0), deviations=(0.1, 3.0))
    Hybrid((SSIM(), PSNR()), means=(0.2, 12.0), deviations=(0.1, 3.0))
    """

    parts: tuple[Similarity, ...]
    weights: tuple[float, ...] = ()
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()
    revision: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Convert lists to tuples; raise ValueError for no part, or constants not one a part."""
        super().__post_init__()
        if not self.parts:
            raise ValueError("the parts of a hybrid are similarities, at least one; seen none")
        for name in ("weights", "means", "deviations"):
            given = tuple(map(float, getattr(self, name)))
            object.__setattr__(self, name, given)
            if len(given) not in (0, len(self.parts)):
                raise ValueError(
                    f"a hybrid of {len(self.parts)} parts has as many {name}, or none; "
                    f"seen {len(given)}"
                )
        if any(not value > 0 for value in self.deviations):
            raise ValueError(f"the deviations of a hybrid are above 0; seen {self.deviations}")

    @property
    def unfitted(self) -> bool:
        """Return whether no constants are given."""
        return not (self.means or self.deviations)

    def __call__(self, tests: Sequence[Image], candidates: Sequence[Image]) -> np.ndarray:
        """Return (N, M) float64 values; higher is closer.

        Raises what the parts raise.
        """
        return self.combine([part(tests, candidates) for part in self.parts])

    def combine(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """Return the weighted sum of an array of values for each part, all of one shape."""
        import numpy as np

        count = len(self.parts)
        weights = self.weights or (1 / count,) * count
        means, deviations = self.means or (0.0,) * count, self.deviations or (1.0,) * count
        total = np.zeros_like(values[0], np.float64)
        for a, w, m, d in zip(values, weights, means, deviations, strict=True):
            total = total + w * (np.asarray(a, np.float64) - m) / d
        return total

    def fit(self, frame: pd.DataFrame, seed: int = 0) -> Hybrid:
        """Return the hybrid whose constants are those of calibration pairs.

        m_i is the mean over all pairs. d_i is the deviation within a test image, pooled over the
        images: the candidates of one image are what is ranked.

        Args:
            frame: similarities frame that holds the pairs under the repr of every part.
            seed: not used, nothing is drawn.

        Raises ValueError for a part without pairs in the frame, or without any deviation.
        """
        means, deviations = [], []
        for part in self.parts:
            own = frame[frame["similarity"] == repr(part)].dropna(subset=["value"])
            if own.empty:
                raise ValueError(f"there are no calibration pairs of {part!r} to fit a hybrid on")
            centre = own.groupby("image_id")["value"].transform("mean")
            means.append(float(own["value"].mean()))
            deviations.append(float(((own["value"] - centre) ** 2).mean() ** 0.5))
            if not deviations[-1] > 0:
                raise ValueError(
                    f"{part!r} finds the candidates of each calibration picture equally close: "
                    "it cannot be brought to the scale of other parts"
                )
        return replace(self, means=tuple(means), deviations=tuple(deviations))
