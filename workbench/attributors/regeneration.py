"""The paper's attributor: regenerate with every candidate model and compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench import pipeline, ranking
from workbench.attributors import Calibrated, Stages
from workbench.calibrations import Calibration
from workbench.inverters import Inverter
from workbench.pipeline.progress import Progress
from workbench.similarities import Similarity
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Regeneration(Calibrated):
    """Attribute by regeneration (Li et al. 2024, arXiv:2403.01489), training-free.

    Invert the prompt of the test image, let every candidate model make `gamma` pictures of it, and
    score a model by the aggregated similarity of its pictures to the test image. All pictures go
    to `size` pixels a side first. An image that fails keeps its row, without scores.
    A `calibration` then changes the scores; `fit` fits one that learns, and a hybrid similarity.

    `alike` (ours): what was done to the test image last is estimated and done to its candidates
    (`pipeline.treatments`), and one that is not square is cut to an aspect that all models draw, in
    which it is inverted, drawn for and compared (`pipeline.views`).

    >>> from workbench.inverters.natural import Natural
    >>> from workbench.similarities.ssim import SSIM
    >>> Regeneration(Natural(), SSIM(), aggregate="max")
    Regeneration(Natural(), SSIM(), aggregate="max")
    """

    inverter: Inverter
    similarity: Similarity
    aggregate: str = "mean"
    gamma: int = 4
    size: int = 64
    calibration: Calibration | None = None
    alike: bool = False
    revision: ClassVar[int] = 1

    def __call__(
        self,
        images: pd.DataFrame,
        zoo: Mapping[str, Any],
        *,
        store: Store,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Stages:
        """Return the stages for the images frame and a zoo (name → Generator).

        Raises LookupError when weights are missing, ValueError for a γ below 1, an unknown
        aggregation, or a calibration that is not fitted for these models.
        """
        self._check(zoo)
        views = pipeline.views(images, zoo, store) if self.alike else {}
        done = pipeline.treatments(images, store, progress, views) if self.alike else {}
        prompts = pipeline.invert(images, self.inverter, store, progress, views)
        candidates = pipeline.generate(prompts, zoo, self.gamma, seed, store, progress)
        similarities = pipeline.similarity(
            images, prompts, candidates, self.similarity, store, self.size, progress, done, views
        )
        scores = ranking.score(
            similarities, repr(self), self.aggregate, images["image_id"], list(zoo)
        )
        return Stages(prompts, candidates, similarities, self._calibrated(scores), done)
