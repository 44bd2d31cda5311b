"""A metric that is learned on pictures of other prompts, for pictures beside their candidates.

Trained, however training-free the features are: it sees pictures of known source. Measured on
prompts that it has not seen (`out_of_fold`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.ranking.aggregate import mean

SHRINK = 0.3
"""Weight of the sphere in the scatter within (default ours)."""


@dataclass(frozen=True)
class Discriminant:
    """Score pictures by what differs between models, and not between pictures of one model.

    Features are standardised, z, and whitened, y, by the scatter within the cells of one prompt and
    model, S = (1 − λ) W + λ (tr W / D) I with λ = `SHRINK` (within-class covariance normalisation,
    Hatch et al. 2006; shrinkage to a sphere, Friedman 1989). c is the centre of a picture's own
    candidates, the mean over the models of the mean over their candidates: what the prompt alone
    makes. Two parts stand beside each other, each divided by its usual deviation within a picture:

    - the linear discriminant of y − c, mₖᵀ(y − c) − ‖mₖ‖² / 2, with mₖ the mean of y − c over the
      training pictures of model k (Fisher 1936);
    - the mean cosine of y − c with r − c over the candidates r of model k.

    The whole is ours. `basis` and `gains` are the whitening, `means` the mₖ; made by `fit`.
    """

    centre: np.ndarray
    scale: np.ndarray
    basis: np.ndarray
    gains: np.ndarray
    rest: float
    means: np.ndarray
    units: tuple[float, float] = (1.0, 1.0)

    def parts(
        self, tests: np.ndarray, pool: np.ndarray, chosen: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the linear part, (N, K), and the cosines with the candidates, (N, K, γ).

        Args:
            tests: (N, D) features.
            pool: (P, D) features.
            chosen: (N, K, γ) rows of the pool, -1 for none; a model has one at least.
        """
        ours, theirs = self.whiten(tests), self.whiten(pool)
        linear = np.empty(chosen.shape[:2])
        cosines = np.full(chosen.shape, np.nan)
        for i, places in enumerate(chosen):
            there = places >= 0
            middle = np.mean([theirs[row[row >= 0]].mean(axis=0) for row in places], axis=0)
            test = ours[i] - middle
            linear[i] = self.means @ test - (self.means**2).sum(axis=1) / 2
            some = theirs[places[there]] - middle
            lengths = np.linalg.norm(some, axis=1) * np.linalg.norm(test)
            cosines[i][there] = some @ test / np.maximum(lengths, 1e-12)
        return linear, cosines

    def scores(self, tests: np.ndarray, pool: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Return (N, K) scores, higher is likelier; arguments as of `parts`."""
        linear, cosines = self.parts(tests, pool, chosen)
        return linear / self.units[0] + mean(cosines) / self.units[1]

    def whiten(self, features: np.ndarray) -> np.ndarray:
        """Return (N, D) y of features (N, D)."""
        rows = (features - self.centre) / self.scale
        return rows * self.rest + (rows @ self.basis.T * (self.gains - self.rest)) @ self.basis


def fit(
    features: np.ndarray,
    chosen: np.ndarray,
    truth: np.ndarray,
    prompts: np.ndarray,
    places: np.ndarray,
) -> Discriminant:
    """Learn from the pictures at `places`, whose candidates lie among the same features.

    Args:
        features: (P, D) of all pictures.
        chosen: (P, K, γ) candidates of each, as rows of the features, -1 for none.
        truth: (P,) model of each, 0 … K − 1.
        prompts: (P,) prompt of each.
        places: (n,) the pictures to learn from.

    Raises:
        ValueError: a model has no picture to learn from.
    """
    rows = features[places].astype(float)
    centre, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-9
    rows = (rows - centre) / scale
    cells = np.unique([prompts[places], truth[places].astype(str)], axis=1, return_inverse=True)[1]
    sums = np.zeros((cells.max() + 1, rows.shape[1]))
    np.add.at(sums, cells, rows)
    within = (rows - (sums / np.bincount(cells)[:, None])[cells]) / np.sqrt(len(rows))
    _, values, basis = np.linalg.svd(within, full_matrices=False)
    sphere = SHRINK * (values**2).sum() / rows.shape[1] + 1e-12
    gains = 1 / np.sqrt((1 - SHRINK) * values**2 + sphere)
    kinds = chosen.shape[1]
    bare = Discriminant(
        centre, scale, basis, gains, float(1 / np.sqrt(sphere)), np.zeros((kinds, rows.shape[1]))
    )
    differences = _differences(bare, features, chosen, places)
    if missing := set(range(kinds)) - set(truth[places].tolist()):
        raise ValueError(f"model {min(missing)} of {kinds} has no picture to learn from")
    means = np.stack([differences[truth[places] == k].mean(axis=0) for k in range(kinds)])
    learned = Discriminant(centre, scale, basis, gains, bare.rest, means)
    linear, cosines = learned.parts(features[places], features, chosen[places])
    units = tuple(float(each.std(axis=1).mean()) or 1.0 for each in (linear, mean(cosines)))
    return Discriminant(centre, scale, basis, gains, bare.rest, means, (units[0], units[1]))


def _differences(
    bare: Discriminant, features: np.ndarray, chosen: np.ndarray, places: np.ndarray
) -> np.ndarray:
    """Return y − c of the pictures at places, (n, D)."""
    whitened = bare.whiten(features)
    differences = np.empty((len(places), features.shape[1]))
    for row, place in enumerate(places):
        own = [whitened[some[some >= 0]].mean(axis=0) for some in chosen[place]]
        differences[row] = whitened[place] - np.mean(own, axis=0)
    return differences


@dataclass(frozen=True)
class Fold:
    """What was learned without a prompt."""

    prompt: str
    learned: Discriminant


def folds(
    features: np.ndarray,
    chosen: np.ndarray,
    truth: np.ndarray,
    prompts: np.ndarray,
    left: Collection[str] | None = None,
) -> list[Fold]:
    """Leave each prompt out in turn, and learn from the others; arguments as of `fit`.

    `left`: the prompts to leave out, all where it is not given.
    """
    return [
        Fold(prompt, fit(features, chosen, truth, prompts, np.flatnonzero(prompts != prompt)))
        for prompt in sorted(set(prompts) if left is None else left)
    ]


def out_of_fold(
    folds: Sequence[Fold],
    tests: np.ndarray,
    pool: np.ndarray,
    chosen: np.ndarray,
    prompts: np.ndarray,
) -> np.ndarray:
    """Score every picture by the fold that has not seen its prompt: (N, K).

    Args:
        folds: as the function `folds` learned them.
        tests: (N, D) features.
        pool: (P, D) features.
        chosen: (N, K, γ) rows of the pool, -1 for none.
        prompts: (N,) prompt of each picture.
    """
    scores = np.full(chosen.shape[:2], np.nan)
    for fold in folds:
        own = prompts == fold.prompt
        if own.any():
            scores[own] = fold.learned.scores(tests[own], pool, chosen[own])
    return scores
