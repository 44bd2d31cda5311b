"""Calibrations: from the scores of an attributor to scores comparable between models.

An open question of Li et al. 2024 (arXiv:2403.01489), a similarity adapted to each model. What
learns is fitted first, on pictures of known source, and is then a new frozen object that holds a
`workbench.fitted.Fitted`. One file is one plug-in; to add one, copy the nearest file beside this
one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from workbench.plugin import Fitted, Plugin

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


class Calibration(Protocol):
    """Change scores; higher stays more likely.

    One that learns has a field ``fitted``, None at first, and a method ``fit(frame, seed=0)`` that
    answers a fitted copy. Its frame is a scores frame of one attributor with a further column
    ``truth``, the generator that made the image. ``unfitted`` tells that this is still to come, and
    ``trained`` that it learned from pictures of known source: no attributor that holds it is
    training-free.
    """

    trained: ClassVar[bool]

    def __call__(self, scores: pd.DataFrame) -> pd.DataFrame:
        """Return the scores frame with new scores, row for row; one that is missing stays missing.

        The scores of an image depend on no other image.
        """
        ...


class Learning(Plugin):
    """Share what calibrations that learn have in common; each adds the field and `fit`."""

    fitted: Fitted | None

    @property
    def unfitted(self) -> bool:
        """Return whether `fit` is still to come."""
        return self.fitted is None

    def known(self, generators: Any) -> Fitted:
        """Return what was fitted, where it holds all of these generators.

        Raises ValueError where nothing was fitted, or not for all of them.
        """
        name = type(self).__name__
        if self.fitted is None:
            raise ValueError(
                f"{name} is fitted on calibration pictures first: "
                "call fit with their scores and truth"
            )
        models = self.fitted["generators"].tolist()
        strange = sorted(set(generators) - set(models))
        if strange:
            raise ValueError(
                f"{name} is fitted for {', '.join(models)}; there are scores of {strange[0]!r} too"
            )
        return self.fitted


def vectors(scores: pd.DataFrame) -> pd.DataFrame:
    """Return scores with a row for each image and attributor, a column for each generator."""
    wide = scores.pivot(index=["image_id", "attributor"], columns="generator", values="score")
    return wide.sort_index().sort_index(axis=1)


def examples(frame: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the (N, K) `vectors` of calibration pictures, and the N generators that made them.

    A picture without any score is left out.

    Raises ValueError: there is no column ``truth``, more than one attributor, a picture without
    one truth, or a generator without pictures, or a single one.
    """
    from workbench import frames

    if "truth" not in frame.columns:
        raise ValueError(
            "a calibration is fitted on scores with a column 'truth', the generator that made the "
            f"image; there are: {', '.join(map(str, frame.columns))}"
        )
    names = frame["attributor"].unique()
    if len(names) != 1:
        raise ValueError(f"a calibration is fitted on one attributor; there are {len(names)}")
    wide = vectors(frames.check(frame, "scores")).droplevel("attributor")
    wide = wide.dropna(how="all")
    truth = frame[["image_id", "truth"]].drop_duplicates().set_index("image_id")["truth"]
    if truth.isna().any() or truth.index.has_duplicates:
        raise ValueError("a calibration picture has one truth, the generator that made it")
    truth = truth.reindex(wide.index)
    makers, models = sorted(set(truth)), wide.columns.tolist()
    if makers != models or len(models) < 2:
        raise ValueError(
            "a calibration is fitted on pictures and scores of the same models, at least two; "
            f"there are pictures of {', '.join(makers) or 'none'} and scores of {', '.join(models)}"
        )
    return wide, truth.to_numpy(dtype=str)
