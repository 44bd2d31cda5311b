"""Scores in deviations from what a model's own pictures score."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from workbench.calibrations import Learning, examples
from workbench.plugin import Fitted

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Standardised(Learning):
    """Standardise each model's scores by its self-similarity: s'_k = (s_k − μ_k) / σ_k.

    μ_k and σ_k are the mean and the deviation (over n) of s_k on the calibration pictures that
    model k made itself. A score then tells how usual it would be for a picture of k: a model whose
    pictures of one prompt differ much from one another is not held to the likeness of a model that
    always draws the same (an open question of Li et al. 2024, arXiv:2403.01489; the formula is
    ours). What other models' pictures score is not looked at.

    No classifier is trained, the 2K numbers are means and deviations; but they are learned from
    pictures of known source, so it is listed as trained.

    >>> Standardised(), Standardised().unfitted
    (Standardised(), True)
    """

    fitted: Fitted | None = None
    revision: ClassVar[int] = 1
    trained: ClassVar[bool] = True

    def __call__(self, scores: pd.DataFrame) -> pd.DataFrame:
        """Return the scores frame in deviations, higher is more likely; NaN stays NaN.

        Raises ValueError when it is not fitted, or not for all of the models.
        """
        from workbench import frames

        table = frames.check(scores, "scores")
        learned = self.known(table["generator"])
        place = learned["generators"].searchsorted(table["generator"].to_numpy(dtype=str))
        centred = table["score"] - learned["means"][place]
        return table.assign(score=centred / learned["deviations"][place])

    def fit(self, frame: pd.DataFrame, seed: int = 0) -> Standardised:
        """Return a copy fitted on a scores frame with a column ``truth``; nothing is drawn.

        Raises ValueError for what `examples` refuses, or a model whose own pictures do not have
        two different scores at least.
        """
        import numpy as np

        wide, truth = examples(frame)
        own = {name: wide.loc[truth == name, name].dropna().to_numpy() for name in wide.columns}
        flat = [name for name, values in own.items() if len(np.unique(values)) < 2]
        if flat:
            raise ValueError(
                "to standardise, the calibration pictures a model made itself need two different "
                f"scores of it; those of {flat[0]} have {len(np.unique(own[flat[0]]))}"
            )
        arrays = {
            "generators": np.array(list(own), dtype=str),
            "means": np.array([values.mean() for values in own.values()]),
            "deviations": np.array([values.std() for values in own.values()]),
        }
        return replace(self, fitted=Fitted(len(wide), arrays))
