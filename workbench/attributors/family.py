"""The family first, then the model within it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from workbench.attributors._training import Classifier, log_softmax, regression
from workbench.encoders import Encoder
from workbench.plugin import Fitted

if TYPE_CHECKING:
    import pandas as pd

    from workbench.pipeline.progress import Progress
    from workbench.store.store import Store


@dataclass(frozen=True, repr=False)
class Family(Classifier):
    """Attribute to a family of models, then to a model of that family (DNA, arXiv:2607.13685).

    Kin share an autoencoder or a training, and look alike; what tells them apart is not what tells
    their family from others. So one logistic regression over the features chooses the family f, and
    another in each family, standardised on the family's own pictures, the model:
    s_m = log P(f | x) + log P(m | f, x) − max over m' in f of log P(m' | f, x). The best model of a
    family has the family's score, so the first place always lies in the likeliest family. Trained;
    the classifiers are those of `Probe` with its `strength`, the hierarchy DNA's, the details ours.
    Scores are at most 0; higher is more likely.

    `families` tells the family of a model by its name ({"glid-3-xl": "LD"}, kept as pairs); else it
    is the column of that name of its catalogue row, and a model that has neither is its own. All
    pictures go to `size` pixels a side first.

    Calling it raises ValueError before `fit`, and for a model that it was not fitted on.

    >>> from workbench.weights.checkpoint import Checkpoint
    >>> from workbench.encoders.open_clip import OpenClip
    >>> Family(OpenClip(Checkpoint("pocket-clip", "encoder", "", "/weights")), families={"b": "A"})
    Family(OpenClip("pocket-clip"), families=(('b', 'A'),))
    """

    encoder: Encoder
    families: Any = ()
    strength: float = 1.0
    size: int = 64
    fitted: Fitted | None = None
    revision: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Convert the mapping to pairs; raise ValueError for a strength that is not above 0."""
        super().__post_init__()
        given = self.families
        items = given.items() if isinstance(given, Mapping) else given
        object.__setattr__(self, "families", tuple(sorted((str(k), str(v)) for k, v in items)))
        if not self.strength > 0:
            raise ValueError(f"the strength of a regression is above 0; seen {self.strength}")

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

        Raises ValueError for a source that is not in the zoo, or a model without a picture that
        could be encoded.
        """
        known = replace(self, families=families_of(zoo) | dict(self.families))
        fitted = super(Family, known).fit(images, zoo, store=store, seed=seed, progress=progress)
        return replace(fitted, families=self.families)

    def _learn(
        self,
        vectors: np.ndarray,
        places: np.ndarray,
        models: list[str],
        seed: int,
        progress: Progress | None,
    ) -> dict[str, np.ndarray]:
        named = dict(self.families)
        kin = [named.get(name, name) for name in models]
        names = sorted(set(kin))
        of_model = np.array([names.index(family) for family in kin])
        stages = {"family": (np.full(len(places), True), of_model[places])}
        for place, name in enumerate(names):
            stages[f"model of {name}"] = (of_model[places] == place, places)
        arrays = {"families": np.array(kin)}
        for stage, (rows, kinds) in stages.items():
            inside, targets = np.unique(kinds[rows], return_inverse=True)
            if len(inside) > 1:
                fitted = regression(vectors[rows], targets, self.strength)
                arrays |= {f"{stage}: {name}": value for name, value in fitted.items()}
        return arrays

    def _scores(self, matrix: np.ndarray, fitted: Fitted) -> np.ndarray:
        """Score (N, D) pictures: (N, K), by family and then by model."""
        kin = fitted["families"]
        names = sorted(set(kin.tolist()))
        logs = _stage(matrix, fitted, "family", len(names))
        scores = np.zeros((len(matrix), len(kin)))
        for place, name in enumerate(names):
            members = np.flatnonzero(kin == name)
            within = _stage(matrix, fitted, f"model of {name}", len(members))
            within = within - within.max(axis=1, keepdims=True)
            scores[:, members] = logs[:, [place]] + within
        return scores


def families_of(zoo: Mapping[str, Any]) -> dict[str, str]:
    """Return the family of each model: of its catalogue row, else its own name."""
    rows = {name: getattr(generator, "checkpoint", None) for name, generator in zoo.items()}
    return {name: getattr(row, "family", "") or name for name, row in rows.items()}


def _stage(matrix: np.ndarray, fitted: Fitted, stage: str, kinds: int) -> np.ndarray:
    """Return (N, kinds) log-probabilities of one regression; certainty where there is one kind."""
    if kinds == 1:
        return np.zeros((len(matrix), 1))
    mean, scale, weights, bias = (
        fitted[f"{stage}: {name}"] for name in ("mean", "scale", "weights", "bias")
    )
    standard = (matrix.astype(np.float64) - mean) / scale
    return np.stack([log_softmax(weights @ row + bias) for row in standard])
