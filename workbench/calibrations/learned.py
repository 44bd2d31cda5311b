"""Scores turned into log-probabilities by a multinomial logistic regression."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from workbench.calibrations import Learning, examples, vectors
from workbench.plugin import Fitted

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Learned(Learning):
    """Learn how the K scores of an image tell its model: s'_k = log softmax(W z + b)_k.

    z are the scores, standardised by their mean and deviation on all calibration pictures; a score
    that is missing is taken as that model's mean there (z = 0), and its own answer stays missing.
    W (K, K) and b (K) are those of a multinomial logistic regression (Cox 1958; scikit-learn) with
    the ridge `penalty` · ‖W‖² / 2, default ours. It is trained: what it adds is to be told
    apart from a training-free attribution.

    >>> Learned(penalty=0.1), Learned().unfitted
    (Learned(penalty=0.1), True)
    """

    penalty: float = 1.0
    fitted: Fitted | None = None
    revision: ClassVar[int] = 1
    trained: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.penalty > 0:
            raise ValueError(f"the penalty of Learned is above 0; seen {self.penalty}")

    def __call__(self, scores: pd.DataFrame) -> pd.DataFrame:
        """Return the scores frame in log-probabilities (≤ 0), higher is more likely.

        Raises ValueError when it is not fitted, or an image has not one row for each of the models.
        """
        import pandas as pd
        from scipy.special import log_softmax

        from workbench import frames

        table = frames.check(scores, "scores")
        learned = self.known(table["generator"])
        wide, models = vectors(table), learned["generators"].tolist()
        rows = table.groupby(["image_id", "attributor"]).size()
        if (rows < len(models)).any():
            raise ValueError(
                f"Learned is fitted for {', '.join(models)}; an image with scores of all of them "
                f"is needed, there is one of {rows.min()}"
            )
        if table.empty:
            return table
        z = _standardised(wide.to_numpy(), learned["means"], learned["deviations"])
        logits = (z[:, None, :] * learned["weights"]).sum(axis=2) + learned["intercepts"]
        answer = pd.DataFrame(log_softmax(logits, axis=1), wide.index, wide.columns).stack()
        keys = pd.MultiIndex.from_frame(table[["image_id", "attributor", "generator"]])
        log_probabilities = answer.reindex(keys).to_numpy()
        return table.assign(score=table["score"].where(table["score"].isna(), log_probabilities))

    def fit(self, frame: pd.DataFrame, seed: int = 0) -> Learned:
        """Return a copy fitted on a scores frame with a column ``truth``.

        Raises ValueError for what `examples` refuses, or a model without any score.
        """
        import numpy as np
        from sklearn.linear_model import LogisticRegression

        wide, truth = examples(frame)
        silent = wide.columns[wide.isna().all()]
        if len(silent):
            raise ValueError(f"no calibration picture has a score of {silent[0]}")
        means, deviations = wide.mean().to_numpy(), wide.std(ddof=0).to_numpy()
        deviations = np.where(deviations > 0, deviations, 1.0)
        z = _standardised(wide.to_numpy(), means, deviations)
        model = LogisticRegression(C=1 / self.penalty, max_iter=10_000, random_state=seed)
        model.fit(z, truth)
        weights, intercepts = model.coef_, model.intercept_
        if len(weights) == 1:  # two models: the logit of the second, against 0
            weights = np.concatenate([np.zeros_like(weights), weights])
            intercepts = np.append(0.0, intercepts)
        arrays = {
            "generators": np.array(wide.columns.tolist(), dtype=str),
            "means": means,
            "deviations": deviations,
            "weights": weights,
            "intercepts": intercepts,
        }
        return replace(self, fitted=Fitted(len(wide), arrays))


def _standardised(scores: np.ndarray, means: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    """Bring (N, K) scores to mean 0 and deviation 1, and what is missing to 0."""
    import numpy as np

    return np.nan_to_num((scores - means) / deviations)
