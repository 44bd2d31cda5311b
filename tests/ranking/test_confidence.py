"""A calibrated probability for each model: what it says, what it learns from, how it is kept."""

from __future__ import annotations

import math
import tomllib

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from workbench import frames, ranking
from workbench.ranking.confidence import Confidence, calls, cross_fit, fit_confidence

MODELS = ["dalle", "glide", "ld", "sd"]


def pictures(prompts: int, seed: int, kin: float = 1.0, told: float = 1.2):
    """Draw scores, truth and extras of pictures by four models, of which ld and sd are alike.

    ``agreement`` is higher where the call is right; every prompt makes its pictures alike.
    """
    rng = np.random.default_rng(seed)
    rows, known, more = [], [], []
    for prompt in range(prompts):
        shift = rng.normal(0, 0.5)
        for own in MODELS:
            image = f"{seed}-{prompt}-{own}"
            values = rng.normal(0, 0.6, 4) + shift
            values[MODELS.index(own)] += told
            if own in ("ld", "sd"):
                values[MODELS.index("sd" if own == "ld" else "ld")] += told * kin
            right = MODELS[int(np.argmax(values))] == own
            share = np.clip(rng.normal(0.8 if right else 0.5, 0.15), 0, 1)
            known.append({"image_id": image, "truth": own, "prompt": f"prompt {prompt}"})
            more.append({"image_id": image, "agreement": share, "truncated": rng.random() < 0.2})
            rows += [
                {"image_id": image, "attributor": "a", "generator": name, "score": value}
                for name, value in zip(MODELS, values, strict=True)
            ]
    return frames.build("scores", rows), pd.DataFrame(known), pd.DataFrame(more)


@pytest.fixture(scope="module")
def calibration():
    return pictures(100, seed=1)


@pytest.fixture(scope="module")
def learned(calibration) -> Confidence:
    return fit_confidence(*calibration)


def correct(found: pd.DataFrame, truth: pd.DataFrame) -> np.ndarray:
    return found["called"].to_numpy() == found.merge(truth, on="image_id")["truth"].to_numpy()


def test_it_is_a_probability_for_each_model_and_the_call_is_the_first_of_the_ranking(learned):
    scores, _, extras = pictures(10, seed=2)
    found = learned(scores, extras)
    assert found.groupby("image_id")["probability"].sum().to_numpy() == pytest.approx(1)
    assert found["probability"].between(0, 1).all()
    decided = ranking.decide(ranking.rank(scores)).set_index("image_id")["predicted"]
    called = calls(found).set_index("image_id")["called"]
    assert called.to_dict() == decided.to_dict()


def test_it_is_what_scikit_learn_says_of_the_same_features():
    """Two models, no extras: the features written out beside."""
    scores, truth, _ = pictures(40, seed=3)
    pair = truth["truth"].isin(["glide", "sd"])
    scores = scores[scores["generator"].isin(["glide", "sd"])]
    scores = scores[scores["image_id"].isin(truth.loc[pair, "image_id"])]
    truth = truth[pair]
    wide = scores.pivot(index="image_id", columns="generator", values="score")
    wide = wide.loc[truth["image_id"]].to_numpy()
    margin = np.abs(wide[:, 0] - wide[:, 1])
    log = np.log(np.maximum(margin / np.median(margin), 1e-3))
    first = (wide[:, 0] > wide[:, 1]).astype(float)
    x = np.column_stack([wide, first, 1 - first, first * log, (1 - first) * log])
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    model = LogisticRegression(class_weight="balanced", max_iter=10_000).fit(x, truth["truth"])
    found = fit_confidence(scores, truth)(scores).set_index(["image_id", "generator"])
    found = found["probability"].unstack().loc[truth["image_id"]].to_numpy()
    assert found == pytest.approx(model.predict_proba(x), abs=1e-9)


def test_confidences_are_as_often_right_as_they_say(learned):
    scores, truth, extras = pictures(250, seed=4)
    found = calls(learned(scores, extras))
    right = correct(found, truth)
    for low, high in ((0.0, 0.5), (0.5, 0.8), (0.8, 1.01)):
        part = found["confidence"].between(low, high, inclusive="left").to_numpy()
        assert part.sum() > 50
        assert found["confidence"][part].mean() == pytest.approx(right[part].mean(), abs=0.08)


def test_it_tells_right_from_wrong_better_than_the_margin(learned):
    scores, truth, extras = pictures(250, seed=5)
    found = calls(learned(scores, extras))
    right = correct(found, truth)
    margin = ranking.decide(ranking.rank(scores)).set_index("image_id")["margin"]
    by_margin = roc_auc_score(right, margin.loc[found["image_id"]])
    assert roc_auc_score(right, found["confidence"]) > by_margin + 0.05


def test_what_is_accepted_is_rarely_wrong():
    learned = fit_confidence(*pictures(150, seed=16, kin=0.5, told=2.0))
    assert 0 < min(learned.thresholds.values()) < 1
    scores, truth, extras = pictures(300, seed=6, kin=0.5, told=2.0)
    found = learned.accept(learned(scores, extras))
    kept = found[found["accepted"]]
    assert len(kept) > 0.2 * len(found)
    assert 1 - correct(kept, truth).mean() <= 0.05


def test_no_prompt_helps_to_judge_its_own_pictures(calibration):
    scores, truth, extras = calibration
    one = cross_fit(scores, truth, extras)
    own = truth["prompt"] == "prompt 7"
    swapped = truth.copy()
    swapped.loc[own, "truth"] = truth.loc[own, "truth"].to_numpy()[::-1]
    two = cross_fit(scores, swapped, extras)
    ids = truth.loc[own, "image_id"]
    part = one["image_id"].isin(ids)
    pd.testing.assert_frame_equal(one[part], two[part])
    assert not np.allclose(one.loc[~part, "probability"], two.loc[~part, "probability"])


def test_scores_that_tell_nothing_accept_nothing():
    scores, truth, extras = pictures(60, seed=7, told=0.0)
    rng = np.random.default_rng(0)
    found = fit_confidence(scores, truth, extras.assign(agreement=rng.random(len(extras))))
    assert set(found.thresholds.values()) == {math.inf}
    assert not found.accept(found(scores, extras))["accepted"].any()


def test_thresholds_may_differ_by_the_model_called():
    found = fit_confidence(*pictures(150, seed=8, told=2.5), by_model=True).thresholds
    assert list(found) == MODELS
    assert max(found["dalle"], found["glide"]) < min(found["ld"], found["sd"])


def test_what_is_written_is_read_back_without_loss(calibration, learned):
    scores, _, extras = calibration
    table = tomllib.loads(f"[presets.toy]\n{learned.toml()}")["presets"]["toy"]["confidence"]
    again = Confidence.read(table)
    assert again == learned
    assert hash(again) == hash(learned)
    pd.testing.assert_frame_equal(again(scores, extras), learned(scores, extras))
    never = fit_confidence(*pictures(4, seed=9))
    assert set(never.thresholds.values()) == {math.inf}
    assert Confidence.read(tomllib.loads(never.toml())["confidence"]) == never


def test_lines_that_are_missing_or_cut_are_told(learned):
    table = tomllib.loads(learned.toml())["confidence"]
    with pytest.raises(ValueError, match=r"^the lines of a confidence lack means$"):
        Confidence.read({name: value for name, value in table.items() if name != "means"})
    with pytest.raises(ValueError, match=r"'thresholds' .* has the shape \(4,\); seen \(2,\)$"):
        Confidence.read(table | {"thresholds": [0.5, 0.5]})


def test_the_order_of_rows_does_not_matter(learned):
    scores, _, extras = pictures(10, seed=10)
    shuffled = scores.sample(frac=1, random_state=0)
    one, two = learned(scores, extras), learned(shuffled, extras.iloc[::-1])
    pd.testing.assert_frame_equal(one, two)


def test_a_picture_that_could_not_be_compared_has_no_probability(learned):
    scores, _, extras = pictures(3, seed=11)
    lost = scores["image_id"].iloc[0]
    scores["score"] = scores["score"].mask(scores["image_id"] == lost)
    found = learned(scores, extras)
    assert found.loc[found["image_id"] == lost, "probability"].isna().all()
    assert lost not in set(learned.accept(found)["image_id"])
    assert len(learned.accept(found)) == 11


def test_a_model_without_a_score_still_leaves_probabilities(learned):
    scores, _, extras = pictures(3, seed=12)
    scores["score"] = scores["score"].mask(scores["generator"] == "glide")
    found = learned(scores, extras)
    assert found["probability"].notna().all()


def test_other_models_and_missing_columns_are_refused(learned):
    scores, _, extras = pictures(2, seed=13)
    with pytest.raises(ValueError, match=r"'truncated', which is missing$"):
        learned(scores, extras.drop(columns="truncated"))
    with pytest.raises(ValueError, match=r"learned for dalle, glide, ld, sd; seen pixart$"):
        learned(scores.assign(generator=scores["generator"].replace("sd", "pixart")), extras)
    two = pd.concat([scores, scores.assign(attributor="b")])
    with pytest.raises(
        ValueError, match=r"^a confidence is of one attributor at a time; seen a, b"
    ):
        learned(two, extras)


def test_too_few_prompts_are_told():
    with pytest.raises(ValueError, match=r"two models and two prompts at least; seen 4 and 1$"):
        fit_confidence(*pictures(1, seed=14))
    scores, truth, extras = pictures(6, seed=15)
    few = truth[(truth["truth"] != "sd") | (truth["prompt"] == "prompt 0")]
    with pytest.raises(ValueError, match=r"^there is no calibration picture of sd to learn from"):
        fit_confidence(scores, few, extras)
