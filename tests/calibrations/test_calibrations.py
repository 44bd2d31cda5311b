"""Standardised and Learned: closed forms, refusals, and scikit-learn must agree."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.contracts.plugins import scored
from workbench import calibrations, catalogue, frames, ranking
from workbench.calibrations.learned import Learned
from workbench.calibrations.standardised import Standardised

BOTH = [Standardised(), Learned()]


def table(rows: list[tuple[str, dict[str, float | None]]]) -> pd.DataFrame:
    """Make scores of pictures: (truth, generator → score) each."""
    cells = [
        {"image_id": f"picture {i}", "attributor": "a", "generator": name, "score": score}
        for i, (_, scores) in enumerate(rows)
        for name, score in scores.items()
    ]
    truth = [truth for truth, scores in rows for _ in scores]
    return frames.build("scores", cells).assign(truth=truth)


def accuracy(scores: pd.DataFrame) -> float:
    decided = ranking.decide(ranking.rank(scores.drop(columns="truth", errors="ignore")))
    known = scored(600, seed=9)[["image_id", "truth"]].drop_duplicates()
    return float((decided.merge(known)["predicted"] == known["truth"].to_numpy()).mean())


def test_standardised_in_closed_form():
    """Of its own pictures x scores 1 and 3 (mean 2, deviation 1), y 10 and 30 (20 and 10)."""
    own = [("x", {"x": 1, "y": 50}), ("x", {"x": 3, "y": 60})]
    own += [("y", {"x": 7, "y": 10}), ("y", {"x": 8, "y": 30}), ("y", {"x": 9, "y": None})]
    fitted = Standardised().fit(table(own))
    found = fitted(table([("?", {"x": 4, "y": 25}), ("?", {"x": None, "y": 20})]))
    assert np.array_equal(found["score"], [2, 0.5, np.nan, 0], equal_nan=True)
    assert fitted.fitted.pictures == 5


def test_standardised_scores_of_own_pictures_have_mean_0_and_deviation_1():
    frame = scored(60)
    found = Standardised().fit(frame)(frame).assign(truth=frame["truth"])
    own = found[found["generator"] == found["truth"]].groupby("generator")["score"]
    assert np.allclose(own.mean(), 0)
    assert np.allclose(own.std(ddof=0), 1)


def test_a_fitted_model_may_be_left_out_of_the_zoo_when_scores_are_standardised():
    fitted = Standardised().fit(scored())
    few = scored()[lambda frame: frame["generator"] != "y"]
    whole = fitted(scored())
    expected = whole[whole["generator"] != "y"].reset_index(drop=True)
    pd.testing.assert_frame_equal(fitted(few), expected)


@pytest.mark.parametrize("models", [("x", "y", "z"), ("x", "y")], ids=len)
def test_learned_equals_scikit_learn(models):
    frame = scored(90, models)
    frame = frame[~frame["image_id"].isin(["picture 4", "picture 5"])]
    wide = frame.pivot(index="image_id", columns="generator", values="score")
    truth = frame.drop_duplicates("image_id").set_index("image_id")["truth"][wide.index]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=2.0, max_iter=10_000))
    expected = model.fit(wide, truth).predict_log_proba(wide)
    found = Learned(penalty=0.5).fit(frame)(frame)
    found = found.pivot(index="image_id", columns="generator", values="score")
    assert np.allclose(found, expected, atol=1e-4)


def test_learned_probabilities_sum_to_one():
    frame = scored()
    found = Learned().fit(frame)(frame)
    whole = found[~found["image_id"].isin(["picture 4", "picture 5"])]
    assert np.allclose(np.exp(whole["score"]).groupby(whole["image_id"]).sum(), 1)


def test_a_missing_score_is_taken_as_the_mean_of_its_model():
    fitted = Learned().fit(scored())
    mean = scored().groupby("generator")["score"].mean()
    lost = fitted(table([("?", {"x": 1, "y": None, "z": 3})]))
    full = fitted(table([("?", {"x": 1, "y": mean["y"], "z": 3})]))
    assert lost["score"].isna().tolist() == [False, True, False]
    assert np.allclose(lost["score"].dropna(), full["score"][[0, 2]])


def test_a_stronger_penalty_draws_towards_chance():
    frame = scored(60)
    weak, strong = (Learned(penalty=value).fit(frame)(frame)["score"] for value in (0.01, 1e6))
    assert weak.var() > 1
    assert np.allclose(np.exp(strong.dropna()), 1 / 3, atol=0.02)


def test_both_mend_scores_that_no_common_scale_compares():
    """Of x, y, z each next has the higher scores: raw, z takes nearly all, and both repair it."""
    frame, fresh = scored(300), scored(600, seed=9)
    raw = accuracy(fresh)
    assert raw < 0.65
    assert accuracy(Standardised().fit(frame)(fresh)) > raw + 0.1
    assert accuracy(Learned().fit(frame)(fresh)) > raw + 0.1


@pytest.mark.parametrize("calibration", BOTH, ids=repr)
def test_scores_of_another_model_are_refused(calibration):
    fitted = calibration.fit(scored())
    name = type(calibration).__name__
    sentence = rf"^{name} is fitted for x, y, z; there are scores of 'other' too$"
    with pytest.raises(ValueError, match=sentence):
        fitted(scored(models=("x", "y", "z", "other")))


def test_learned_needs_the_scores_of_every_model():
    few = scored()[lambda frame: frame["generator"] != "y"]
    sentence = (
        "^Learned is fitted for x, y, z; an image with scores of all of them is needed, there is "
        "one of 2$"
    )
    with pytest.raises(ValueError, match=sentence):
        Learned().fit(scored())(few)


def _one_truth_missing(frame):
    return frame.assign(truth=frame["truth"].where(frame["image_id"] != "picture 1"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda frame: frame.drop(columns="truth"),
            "a calibration is fitted on scores with a column 'truth', the generator that made the "
            "image; there are: image_id, attributor, generator, score",
        ),
        (
            lambda frame: pd.concat([frame, frame.assign(attributor="b")]),
            "a calibration is fitted on one attributor; there are 2",
        ),
        (_one_truth_missing, "a calibration picture has one truth, the generator that made it"),
        (
            lambda frame: frame[frame["truth"] != "y"],
            "a calibration is fitted on pictures and scores of the same models, at least two; "
            "there are pictures of x, z and scores of x, y, z",
        ),
        (
            lambda frame: frame[frame["generator"] != "y"],
            "a calibration is fitted on pictures and scores of the same models, at least two; "
            "there are pictures of x, y, z and scores of x, z",
        ),
    ],
)
@pytest.mark.parametrize("calibration", BOTH, ids=repr)
def test_what_nothing_can_be_learned_from_is_refused(calibration, change, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        calibration.fit(change(scored()))


def test_a_model_needs_scores_to_learn_from():
    flat = scored()
    flat.loc[flat["generator"] == "y", "score"] = 1.0
    sentence = "two different scores of it; those of y have 1$"
    with pytest.raises(ValueError, match=sentence):
        Standardised().fit(flat)
    Learned().fit(flat)  # says nothing, and does no harm
    flat.loc[flat["generator"] == "y", "score"] = np.nan
    with pytest.raises(ValueError, match=r"^no calibration picture has a score of y$"):
        Learned().fit(flat)
    with pytest.raises(ValueError, match=r"^the penalty of Learned is above 0; seen 0$"):
        Learned(penalty=0)


def test_pictures_without_any_score_are_left_out():
    frame = scored()
    assert frame.loc[frame["image_id"] == "picture 4", "score"].isna().all()
    wide, truth = calibrations.examples(frame)
    assert wide.shape == (23, 3)
    assert truth.tolist() == [
        frame.loc[frame["image_id"] == image, "truth"].iloc[0] for image in wide.index
    ]


def test_the_catalogue_knows_them_by_name_and_what_is_fitted_does_not_read_back():
    assert catalogue.names("calibration") == ["learned", "standardised"]
    assert catalogue.load("standardised", "calibration") == Standardised()
    assert catalogue.load("Learned(penalty=0.5)", "calibration") == Learned(penalty=0.5)
    name = repr(Standardised().fit(scored()))
    assert name.startswith('Standardised(fitted=fitted("')
    with pytest.raises(ValueError, match=r"^what was fitted cannot be read back from a repr, "):
        catalogue.load(name, "calibration")
