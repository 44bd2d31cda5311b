"""Attributors: from test images and a zoo to scores. One file is one plug-in.

Regeneration (the paper) is one among rivals, so every comparison is one loop. To add one, copy
the nearest file beside this one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from workbench import frames
from workbench.calibrations import Calibration
from workbench.evidence.treatment import Treatment
from workbench.inverters import Inverter
from workbench.inverters.natural import Natural
from workbench.plugin import Plugin
from workbench.similarities import Similarity
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Stages:
    """Frames of `workbench.frames` that an attributor produced, by their names.

    ``scores`` is the answer: a row for each test image and candidate model, higher is more likely,
    missing where nothing could be compared. ``treatments`` tells by image_id what its candidate
    images went through before they were compared, where an attributor treats them alike.
    """

    prompts: pd.DataFrame
    candidates: pd.DataFrame
    similarities: pd.DataFrame
    scores: pd.DataFrame
    treatments: Mapping[str, Treatment] = field(default_factory=dict)


class Attributor(Protocol):
    """Score every candidate model for every test image; the repr names it in every table.

    One that learns from pictures of known source has a property ``unfitted``, True until that is
    done, and a method ``fit(images, zoo, *, store, seed=0, progress=None)``, which takes images
    whose ``source`` is their model and answers a fitted copy. `workbench.attribute` fits what is
    unfitted first; one that cannot answer before says so in a ValueError, before anything is made.
    ``trained`` tells that it is not training-free. One that has none of these needs no fit.
    """

    def __call__(
        self,
        images: pd.DataFrame,
        zoo: Mapping[str, Any],
        *,
        store: Store,
        seed: int = 0,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Stages:
        """Return the stages for the images frame and a zoo (name → Generator)."""
        ...


class Calibrated(Plugin):
    """Share what attributors with an inverter, a similarity and a calibration have in common."""

    inverter: Inverter
    similarity: Similarity
    calibration: Calibration | None

    @property
    def unfitted(self) -> bool:
        """Return whether the similarity or the calibration is still to be fitted."""
        return any(getattr(part, "unfitted", False) for part in (self.similarity, self.calibration))

    @property
    def trained(self) -> bool:
        """Return whether the calibration learned from pictures of known source."""
        return bool(getattr(self.calibration, "trained", False))

    def _check(self, zoo: Mapping[str, Any]) -> None:
        """Raise ValueError, before hours are spent, for a calibration that does not fit the zoo.

        Raises ValueError where it is not fitted, or for other models.
        """
        self._calibrated(
            frames.build(
                "scores",
                [{"image_id": "", "attributor": "", "generator": name} for name in zoo],
            )
        )

    def _calibrated(self, scores: pd.DataFrame) -> pd.DataFrame:
        """Return the scores as the calibration changes them, if there is one."""
        return scores if self.calibration is None else self.calibration(scores)

    def fit(
        self,
        images: pd.DataFrame,
        zoo: Mapping[str, Any],
        *,
        store: Store,
        seed: int = 0,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Any:
        """Return a copy whose calibration is fitted on images made by the models of the zoo.

        A hybrid similarity without constants is fitted first. A known prompt given as text is that
        of the test images; here each image's own is known.

        Args:
            images: frame of that name; ``source`` is the model, and ``prompt`` serves an oracle.
            zoo: name → Generator.
            store: where everything made is kept.
            seed: of the candidate images, and of what is learned.
            progress: called with (stage, done, total).

        Raises ValueError for what the similarity or the calibration cannot be fitted on.
        """
        import pandas as pd

        plain: Any = replace(self, calibration=None)  # type: ignore[type-var]
        if isinstance(plain.inverter, Natural):
            plain = replace(plain, inverter=Natural())
        more = {"store": store, "seed": seed, "progress": progress}
        similarity: Any = self.similarity
        if getattr(similarity, "unfitted", False):
            parts = [
                replace(plain, similarity=part)(images, zoo, **more).similarities
                for part in similarity.parts
            ]
            similarity = similarity.fit(pd.concat(parts, ignore_index=True), seed)
        fitted: Any = replace(self, similarity=similarity)  # type: ignore[type-var]
        calibration: Any = self.calibration
        if not hasattr(calibration, "fit"):
            return fitted
        scores = replace(plain, similarity=similarity)(images, zoo, **more).scores
        truth = images[["image_id", "source"]].rename(columns={"source": "truth"})
        return replace(
            fitted, calibration=calibration.fit(scores.merge(truth, on="image_id"), seed)
        )
