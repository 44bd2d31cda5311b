"""Regeneration that stops when the answer is known: how many candidates, image by image."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from workbench import frames, pipeline, ranking
from workbench.attributors import Stages
from workbench.attributors._training import score_table
from workbench.attributors.regeneration import Regeneration
from workbench.inverters import Inverter
from workbench.pipeline.progress import Progress
from workbench.plugin import Plugin
from workbench.ranking import conformal, elimination
from workbench.ranking.rank import similarity_cube
from workbench.similarities import Similarity
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd

AGGREGATES = ("mean", "max", "softmax")


@dataclass(frozen=True, repr=False)
class Adaptive(Plugin):
    """Attribute by regeneration in rounds of `step` candidate images, at most `gamma` per model.

    After each round the models that can no longer win are dropped (successive elimination, Even-Dar
    et al. 2006, JMLR 7:1079), and an image with one model left is done. Indices extend, so what is
    drawn is the beginning of what `Regeneration` draws with the same seed; with γ ≤ step it is the
    same attributor.

    **Guarantee**, for each image: with probability ≥ 1 − `delta` the first model is the one that
    `Regeneration` at γ = `gamma` puts first. Without `bound` this holds if an image's similarities
    are normal and independent over the indices (mean: jointly normal over the models, of any
    covariance; max: of each model), which cosines are only nearly. With the `bound` that `fit`
    finds it needs no law, but holds on average over pictures exchangeable with those of the fit,
    for the zoo, step and γ of the fit. It is about agreement with γ candidates, not about being
    right. `workbench.elimination` has the rules; softmax needs a bound.

    **Scores** are compared at equal counts only. A dropped model keeps the score it was dropped
    with, lowered by as much as the best score fell afterwards, so it never ends before the model
    that beat it. A maximum over few images and one over many do not compare: the margin to a
    dropped model is no calibrated margin. knn is refused, its votes depend on who is left.

    `alike` is that of `Regeneration`, with which it then agrees; a bound is of pictures treated so.

    >>> from workbench.inverters.natural import Natural
    >>> from workbench.similarities.ssim import SSIM
    >>> Adaptive(Natural(), SSIM(), gamma=12, delta=0.1)
    Adaptive(Natural(), SSIM(), gamma=12, delta=0.1)
    """

    inverter: Inverter
    similarity: Similarity
    aggregate: str = "mean"
    gamma: int = 16
    size: int = 64
    step: int = 4
    delta: float = 0.05
    bound: float | None = None
    alike: bool = False
    revision: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gamma < 1 or self.step < 1:
            raise ValueError(
                f"gamma and step are at least 1; seen gamma {self.gamma}, step {self.step}"
            )
        if not 0 < self.delta < 1:
            raise ValueError(f"delta, the chance of an error, lies in (0, 1); seen {self.delta}")
        if self.aggregate not in AGGREGATES:
            raise ValueError(
                f"models cannot be dropped by {self.aggregate!r}; there are: "
                f"{', '.join(AGGREGATES)}"
            )

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

        Candidates and similarities hold what was drawn, no more. Raises LookupError when weights
        are missing, ValueError for softmax without a bound.
        """
        trails = elimination.rule(
            self.aggregate, self.gamma, self.step, len(zoo), self.delta, self.bound
        )
        views = pipeline.views(images, zoo, store) if self.alike else {}
        done = pipeline.treatments(images, store, progress, views) if self.alike else {}
        prompts = pipeline.invert(images, self.inverter, store, progress, views)
        rows, models = list(images["image_id"]), sorted(zoo)
        drawn_candidates, compared = [frames.empty("candidates")], [frames.empty("similarities")]

        def draw(drawing: np.ndarray, start: int, stop: int) -> np.ndarray:
            prompts_of = {
                name: prompts[prompts["image_id"].isin(np.array(rows)[drawing[:, k]])]
                for k, name in enumerate(models)
            }
            drawn_candidates.append(_generated(prompts_of, zoo, start, stop, seed, store, progress))
            compare = self.similarity, store, self.size, progress, done, views
            values = pipeline.similarity(images, prompts, drawn_candidates[-1], *compare)
            image, model = _places(values, rows, models)
            compared.append(values[drawing[image, model]])  # not what an equal prompt still draws
            return _cube(compared[-1], rows, models, start, stop)

        rounds = elimination.counts(self.gamma, self.step)
        whole = ranking.AGGREGATIONS[self.aggregate]
        _, scores = elimination.race(draw, len(rows), len(models), rounds, whole, trails)
        by_image = {
            image: dict(zip(models, row, strict=True))
            for image, row in zip(rows, scores, strict=True)
        }
        return Stages(
            prompts,
            _joined(drawn_candidates, "candidates"),
            _joined(compared, "similarities"),
            score_table(self, images, zoo, by_image),
            done,
        )

    def fit(
        self,
        images: pd.DataFrame,
        zoo: Mapping[str, Any],
        *,
        store: Store,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Adaptive:
        """Calibrate the bound on images whose γ candidates are all drawn (`bounded`).

        Raises ValueError where there are too few calibration prompts for this δ.
        """
        fields = self.inverter, self.similarity, self.aggregate, self.gamma, self.size
        whole = Regeneration(*fields, alike=self.alike)
        stages = whole(images, zoo, store=store, seed=seed, progress=progress)
        return self.bounded(stages.similarities, images)

    def bounded(self, similarities: pd.DataFrame, images: pd.DataFrame) -> Adaptive:
        """Calibrate the bound, so that the guarantee needs no law; no truth is looked at.

        Args:
            similarities: frame of that name: calibration pictures, the zoo, all γ candidates, as
                `Regeneration` with the same fields answers them.
            images: frame of that name; pictures of one ``prompt`` count as one.

        Returns:
            the attributor with its `bound`.

        Raises:
            ValueError: there are too few calibration prompts for this δ.
        """
        groups = conformal.groups(images)
        rows, models = list(images["image_id"]), sorted(similarities["generator"].unique())
        cube = _cube(similarities, rows, models, 0, self.gamma)
        rounds = elimination.counts(self.gamma, self.step)
        bounds = elimination.needed(cube, rounds, ranking.AGGREGATIONS[self.aggregate])
        bound = conformal.quantile(bounds, 1 - self.delta, groups)
        if np.isinf(bound):
            raise ValueError(
                f"at delta {self.delta} a bound needs more calibration prompts; "
                f"seen {len(set(groups))}"
            )
        return dataclasses.replace(self, bound=bound)


def _generated(
    prompts_of: Mapping[str, pd.DataFrame],
    zoo: Mapping[str, Any],
    start: int,
    stop: int,
    seed: int,
    store: Store,
    progress: Progress | None,
) -> pd.DataFrame:
    """Generate one round: each model the pictures of its own prompts, in one call."""
    step = stop - start
    jobs = {name: part["prompt_id"].dropna().nunique() * step for name, part in prompts_of.items()}
    total, before = sum(jobs.values()), 0
    drawn = []
    for name, part in prompts_of.items():
        after = _after(progress, before, total)
        drawn.append(
            pipeline.generate(
                part, {name: zoo[name]}, stop, seed, store, after, indices=range(start, stop)
            )
        )
        before += jobs[name]
    return _joined(drawn, "candidates")


def _after(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Return a callback that counts a model's pictures after those of the models before it."""
    if progress is None:
        return None
    return lambda stage, done, _: progress(stage, before + done, total)


def _joined(parts: Sequence[pd.DataFrame], name: str) -> pd.DataFrame:
    import pandas as pd

    full = [part for part in parts if len(part)] or parts[:1]
    return frames.check(pd.concat(full, ignore_index=True), name)


def _places(
    values: pd.DataFrame, rows: list[str], models: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the place of each similarity's image and model."""
    where = [
        values[column].map({name: i for i, name in enumerate(names)}).to_numpy(dtype=int)
        for column, names in (("image_id", rows), ("generator", models))
    ]
    return where[0], where[1]


def _cube(
    values: pd.DataFrame, rows: list[str], models: list[str], start: int, stop: int
) -> np.ndarray:
    """Return similarities as (N, K, stop − start) by index, NaN where there is none."""
    inside = values[values["index"].between(start, stop - 1)]
    slot = inside["index"].to_numpy() - start
    return similarity_cube(inside, rows, models, slot, stop - start)
