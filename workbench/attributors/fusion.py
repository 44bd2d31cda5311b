"""Late fusion of the scores of several attributors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from workbench import frames
from workbench.attributors import Attributor, Stages
from workbench.attributors._training import learned, log_softmax, score_table, training
from workbench.keys import digest
from workbench.pipeline.progress import Progress
from workbench.plugin import Fitted, Plugin
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd

STEPS = 10
"""Steps from 0 to 1 of each weight in the grid of `tune`."""


@dataclass(frozen=True, repr=False)
class Fusion(Plugin):
    """Fuse the scores of several attributors, for example regeneration and a trained one.

    The paper's plug-in experiment (Li et al. 2024, arXiv:2403.01489) adds regeneration to existing
    attribution methods; this way of adding is ours. The scores s_pk of part p for one image become
    log-probabilities, log P_p = log softmax(z / `temperature`), z = (s_p − mean) / deviation over
    its K models (0 where all are equal), and the fused score is the weighted mean Σ w_p log P_pk /
    Σ w_p. A model without a score in one part takes the weighted mean of the other parts; one
    without a score in any has none, nor has one scored by parts of weight 0 alone. Weights are
    equal where none are given.

    `fit` fits the parts that are `unfitted`, and leaves the others as they are. With `tune` it also
    chooses the weights: half of the prompts are held out, the parts are fitted on the other half,
    and of all weights in tenths those win that attribute most held-out pictures rightly, then those
    with the larger mean log-probability of the truth; then the parts are fitted on everything.

    Standardised image by image a part that hesitates counts as much as one that is sure. With
    `confident` the deviation is one number for each part, the root mean square of those of the
    held-out pictures, so that a picture of which a part's scores differ more weighs more.

    Scores are at most 0, higher is more likely; they are of the K models together, so one more
    model changes them all. The frames of the other stages are those of the first part that has any.

    >>> from workbench.attributors.aedr import AEDR
    >>> from workbench.attributors.chance import Chance
    >>> Fusion((AEDR(), Chance()), weights=(0.9, 0.1))
    Fusion((AEDR(), Chance()), weights=(0.9, 0.1))
    """

    parts: tuple[Attributor, ...]
    weights: tuple[float, ...] = ()
    temperature: float = 1.0
    tune: bool = False
    confident: bool = False
    fitted: Fitted | None = None
    revision: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.parts) < 2 or len(self.weights) not in (0, len(self.parts)):
            raise ValueError(
                "a fusion has at least two parts, and a weight for each or none at all; "
                f"seen {len(self.parts)} parts and {len(self.weights)} weights"
            )
        if self.weights and not (min(self.weights) >= 0 and sum(self.weights) > 0):
            raise ValueError(f"weights are at least 0, and not all of them 0; seen {self.weights}")
        if not self.temperature > 0:
            raise ValueError(f"the temperature is above 0; seen {self.temperature}")

    @property
    def trained(self) -> bool:
        """Return whether any part learned from pictures of known source."""
        learns = self.tune or self.confident
        return learns or any(getattr(part, "trained", False) for part in self.parts)

    @property
    def unfitted(self) -> bool:
        """Return whether `fit` must come before the first call."""
        untuned = (self.tune or self.confident) and self.fitted is None
        return untuned or any(getattr(part, "unfitted", False) for part in self.parts)

    def fit(
        self,
        images: pd.DataFrame,
        zoo: Mapping[str, Any],
        *,
        store: Store,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Self:
        """Return a copy that has learned from an images frame, whose ``source`` is the truth.

        Raises ValueError for a source that is not in the zoo, or a model without pictures, in the
        half without those held out too.
        """
        if not (self.tune or self.confident or self.unfitted):
            return self
        table = training(images, zoo)
        options: dict[str, Any] = {"store": store, "seed": seed, "progress": progress}
        weights, more = np.array(self.weights or [1.0] * len(self.parts)), {}
        if self.tune or self.confident:
            held = table["image_id"].isin(_held_out(table, seed))
            parts = _fit_parts(self.parts, table[~held], zoo, options)
            scores_of_parts = [part(table[held], zoo, **options).scores for part in parts]
            spreads: list[float | None] = [None] * len(parts)
            if self.confident:
                spreads = [_spread(scores) for scores in scores_of_parts]
                more = {"spreads": np.array(spreads, dtype=float)}
            if self.tune:
                pairs = zip(scores_of_parts, spreads, strict=True)
                logs = [self._logs(scores, zoo, spread) for scores, spread in pairs]
                weights = _best_weights(logs, table[held], sorted(zoo))
        parts = _fit_parts(self.parts, table, zoo, options)
        arrays = {"models": np.array(sorted(zoo)), "weights": weights, **more}
        return replace(self, parts=parts, fitted=Fitted(len(table), arrays))

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

        Raises ValueError when a part is not fitted, or not on a model of the zoo, and whatever a
        part raises.
        """
        table = frames.check(images, "images")
        weights = np.array(self.weights or [1.0] * len(self.parts))
        spreads: list[float | None] = [None] * len(self.parts)
        if self.tune or self.confident or self.fitted is not None:
            fitted = learned(self, zoo)
            weights = fitted["weights"]
            spreads = fitted["spreads"].tolist() if self.confident else spreads
        stages = [
            part(table, zoo, store=store, seed=seed, progress=progress) for part in self.parts
        ]
        pairs = zip(stages, spreads, strict=True)
        logs = [self._logs(item.scores, zoo, spread) for item, spread in pairs]
        models = sorted(zoo)
        by_image = {
            image: dict(zip(models, _fuse([item[image] for item in logs], weights), strict=True))
            for image in table["image_id"]
        }
        frames_made = {
            name: next((f for item in stages if len(f := getattr(item, name))), frames.empty(name))
            for name in ("prompts", "candidates", "similarities")
        }
        return Stages(**frames_made, scores=score_table(self, table, zoo, by_image))

    def _logs(
        self, scores: pd.DataFrame, zoo: Mapping[str, Any], spread: float | None
    ) -> dict[str, np.ndarray]:
        """Return image_id → (K,) log-probabilities of one part, NaN where it has no score."""
        table = scores.pivot(index="image_id", columns="generator", values="score")
        rows = table.reindex(columns=sorted(zoo)).to_numpy(dtype=float)
        logs = [_log_probabilities(row, self.temperature, spread) for row in rows]
        return dict(zip(table.index, logs, strict=True))


def _spread(scores: pd.DataFrame) -> float:
    """Return the root mean square of the deviations of scores within an image."""
    deviations = scores.groupby("image_id")["score"].std(ddof=0).dropna()
    return float(np.sqrt((deviations**2).mean())) if len(deviations) else 0.0


def _log_probabilities(
    scores: np.ndarray, temperature: float, spread: float | None = None
) -> np.ndarray:
    """Standardise the (K,) scores of one image, and take the log of their softmax.

    >>> _log_probabilities(np.array([3.0, 1.0, np.nan]), 1.0).round(3).tolist()
    [-0.127, -2.127, nan]
    >>> _log_probabilities(np.array([3.0, 1.0, np.nan]), 1.0, spread=2.0).round(3).tolist()
    [-0.313, -1.313, nan]
    """
    logs, known = np.full(len(scores), np.nan), ~np.isnan(scores)
    if known.any():
        centred = scores[known] - scores[known].mean()
        deviation = float(centred.std()) if spread is None else spread
        standard = centred / deviation if deviation > 0 else np.zeros_like(centred)
        logs[known] = log_softmax(standard / temperature)
    return logs


def _fuse(logs: Sequence[np.ndarray], weights: np.ndarray) -> list[float]:
    """Average the (K,) log-probabilities of the parts, each model over the parts that have it."""
    table = np.stack(logs, axis=1)
    fused = []
    for row in table:
        known = ~np.isnan(row)
        total = float(weights[known].sum())
        fused.append(float(weights[known] @ row[known]) / total if total > 0 else float("nan"))
    return fused


def _fit_parts(
    parts: tuple[Any, ...], table: pd.DataFrame, zoo: Mapping[str, Any], options: dict[str, Any]
) -> tuple[Any, ...]:
    return tuple(
        part.fit(table, zoo, **options) if getattr(part, "unfitted", False) else part
        for part in parts
    )


def _held_out(table: pd.DataFrame, seed: int) -> list[str]:
    """Return a mask of the pictures of half of the prompts, drawn by the seed."""
    prompts = table["prompt"].fillna(table["image_id"])
    order = sorted(set(prompts), key=lambda text: digest(["held out", seed, text]))
    return list(table.loc[prompts.isin(order[: len(order) // 2]), "image_id"])


def _best_weights(
    logs: Sequence[Mapping[str, np.ndarray]], table: pd.DataFrame, models: list[str]
) -> np.ndarray:
    """Search the weights in tenths: most right on the held-out pictures, then the likeliest."""

    def merit(weights: np.ndarray) -> tuple[float, float]:
        right, likely = [], []
        for image, source in zip(table["image_id"], table["source"], strict=True):
            fused = np.array(_fuse([item[image] for item in logs], weights))
            truth, known = models.index(source), ~np.isnan(fused)
            if known[truth]:
                right.append(bool(fused[truth] == fused[known].max()))
                likely.append(log_softmax(fused[known])[known[:truth].sum()])
        return sum(right) / max(len(table), 1), float(np.mean(likely)) if likely else -np.inf

    grid = (item for item in product(range(STEPS + 1), repeat=len(logs)) if sum(item) == STEPS)
    return max((np.array(item) / STEPS for item in grid), key=merit)
