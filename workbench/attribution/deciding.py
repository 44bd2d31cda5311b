"""From the stages of a run to its decisions: the calibration of a setting, put to use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import frames, pipeline, ranking
from workbench.catalogue.setting import Setting
from workbench.pipeline.progress import Progress
from workbench.ranking import conformal
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from workbench.attributors import Stages


@dataclass(frozen=True)
class Decisions:
    """What was decided for each image, as frames; None where the setting is not calibrated.

    ``rankings`` and ``attributions``: frames of that name. ``sets``: of `conformal_sets`.
    ``known``: of `known_p_values`. ``probabilities``: of a `Confidence`.
    """

    rankings: pd.DataFrame
    attributions: pd.DataFrame
    sets: pd.DataFrame | None = None
    known: pd.DataFrame | None = None
    probabilities: pd.DataFrame | None = None


def decide(
    setting: Setting,
    images: pd.DataFrame,
    stages: Stages,
    store: Store,
    progress: Progress | None = None,
    *,
    without_missing: bool = False,
) -> Decisions:
    """Rank, and decide by the setting's confidence, else its margin, else by forced choice.

    Where a candidate model has no picture to compare, calibration says nothing: the image is not
    called, and is in no set; with ``without_missing`` the others are ranked by forced choice.

    Args:
        setting: whose calibration is used.
        images: frame of that name.
        stages: of its attributor.
        store: where features are kept.
        progress: called with ("encode", …) and ("similarity", …).
        without_missing: accept the first of the models that could be compared, too.
    """
    rankings = ranking.rank(stages.scores)
    attributions = ranking.decide(rankings, setting.threshold)
    probabilities = sets = known = None
    if setting.confidence is not None:
        covariates = extras(setting, images, stages, attributions, store, progress)
        probabilities = setting.confidence(stages.scores, covariates)
        sure = setting.confidence.accept(probabilities)
        calls = sure.loc[sure["accepted"], "image_id"]
        good = attributions["image_id"].isin(calls) & (attributions["margin"] > 0)
        attributions = attributions.assign(accepted=good)
    if setting.conformal is not None:
        sets = conformal.conformal_sets(stages.scores, setting.conformal)
    if setting.known is not None:
        known = conformal.known_p_values(stages.scores, setting.known)
        attributions = conformal.reject(attributions, known)
    lacking = incomplete(stages.scores)
    missing = attributions["image_id"].isin(lacking)
    forced = (attributions["margin"] > 0) if without_missing else False
    attributions["accepted"] = np.where(missing, forced, attributions["accepted"])
    sets, known, probabilities = (
        None if table is None else table[~table["image_id"].isin(lacking)].reset_index(drop=True)
        for table in (sets, known, probabilities)
    )
    checked = frames.check(attributions, "attributions")
    return Decisions(rankings, checked, sets, known, probabilities)


def incomplete(scores: pd.DataFrame) -> set[str]:
    """Return the images for which some candidate models have a score, and some have none."""
    counted = scores.groupby("image_id")["score"].agg(["count", "size"])
    part = (counted["count"] > 0) & (counted["count"] < counted["size"])
    return set(counted.index[part])


def extras(
    setting: Setting,
    images: pd.DataFrame,
    stages: Stages,
    called: pd.DataFrame,
    store: Store,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Gather what a confidence is learned with beside the scores, by ``image_id``.

    ``agreement``: the share of settings that call the same model (`pipeline.agreement`).
    ``truncated``: whether the prompt was cut short. Arguments as of `decide`; ``called``: the
    attributions.
    """
    prompts = stages.prompts
    agreement = pipeline.agreement(
        images,
        prompts,
        stages.candidates,
        called,
        getattr(setting.attributor, "similarity", setting.similarity),
        store,
        setting.size,
        progress,
    )
    cut: dict[Any, bool] = dict(zip(prompts["image_id"], prompts["truncated"], strict=True))
    return agreement.assign(
        truncated=[float(bool(cut.get(name))) for name in agreement["image_id"]]
    )
