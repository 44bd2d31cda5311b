"""Accuracy and its kin: closed forms first, then scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix

from tests.evaluation.conftest import MODELS, perfect, table
from workbench import evaluation, frames, ranking
from workbench.evaluation import metrics


def values(outcomes) -> dict[str, float]:
    found = evaluation.measure(outcomes).query("slice == 'all'")
    return dict(zip(found["metric"], found["value"], strict=True))


def test_perfect_is_one_and_a_guess_is_one_in_k():
    assert values(table(perfect())) == dict.fromkeys(
        ["accuracy", "coverage", "accuracy_accepted", "top2", "mrr"], 1.0
    )
    always = table([(truth, "sd") for truth, _ in perfect()])
    assert values(always)["accuracy"] == 0.25


def test_scikit_learn_agrees():
    rng = np.random.default_rng(0)
    pairs = [tuple(rng.choice(MODELS, 2)) for _ in range(300)]
    outcomes = table(pairs)
    truth, predicted = zip(*pairs, strict=True)
    assert values(outcomes)["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    np.testing.assert_array_equal(
        evaluation.confusion(outcomes, MODELS).to_numpy(),
        confusion_matrix(truth, predicted, labels=MODELS),
    )


def outcomes_of(scores: dict[str, dict[str, float]], truth: dict[str, str], threshold=None):
    rows = [
        {"image_id": image, "attributor": "m", "generator": name, "score": value}
        for image, each in scores.items()
        for name, value in each.items()
    ]
    ranked = ranking.rank(frames.build("scores", rows))
    known = pd.DataFrame(
        {"image_id": list(truth), "truth": list(truth.values()), "prompt": list(truth)}
    )
    return evaluation.outcomes(ranking.decide(ranked, threshold), ranked, known)


def test_what_the_truth_says_of_the_attack_is_kept_and_nothing_said_is_none():
    scores = {"x": {"sd": 0.9, "ld": 0.1}}
    assert list(outcomes_of(scores, {"x": "sd"})["attack"]) == ["none"]
    both = pd.concat(
        [
            table(perfect()),
            table([(a, "sd") for a, _ in perfect()]).assign(attack="JPEG()", intensity=30.0),
        ]
    )
    found = evaluation.measure(both).query("metric == 'accuracy' and slice == 'all'")
    assert list(zip(found["attack"], found["intensity"], found["value"], strict=True)) == [
        ("none", 0.0, 1.0),
        ("JPEG()", 30.0, 0.25),
    ]


def test_a_failure_is_a_miss_in_every_metric():
    nan = float("nan")
    found = outcomes_of(
        {"x": {"sd": 0.9, "ld": 0.1}, "y": {"sd": nan, "ld": nan}},
        {"x": "sd", "y": "sd", "query:0": "sd"},
    )
    assert list(found["correct"]) == [True, False, False]
    assert list(found["failure"][1:]) == ["no candidate image could be compared"] * 2
    assert values(found) == pytest.approx(
        {
            "accuracy": 1 / 3,
            "coverage": 1 / 3,
            "accuracy_accepted": 1.0,
            "top2": 1 / 3,
            "mrr": 1 / 3,
        }
    )


def test_abstention_leaves_the_forced_choice_alone():
    found = outcomes_of(
        {"x": {"sd": 0.9, "ld": 0.1}, "y": {"sd": 0.5, "ld": 0.45}, "z": {"sd": 0.2, "ld": 0.5}},
        {"x": "sd", "y": "ld", "z": "sd"},
        threshold=0.2,
    )
    got = values(found)
    assert got["accuracy"] == pytest.approx(1 / 3)
    assert got["coverage"] == pytest.approx(2 / 3)
    assert got["accuracy_accepted"] == pytest.approx(1 / 2)
    assert got["mrr"] == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)
    assert got["top2"] == 1.0


def test_set_metrics_count_what_holds_the_true_model():
    included = {"x": [True, True], "y": [False, True], "lost": [False, False]}
    sets = pd.DataFrame(
        [
            {"image_id": image, "attributor": "m", "generator": name, "included": value}
            for image, values in included.items()
            for name, value in zip(["sd", "ld"], values, strict=True)
        ]
    )
    truth = pd.DataFrame(
        {
            "image_id": ["x", "y", "lost", "query:0"],
            "truth": ["sd", "sd", "ld", "ld"],
            "prompt": ["p", "p", "q", "q"],
        }
    )
    found = evaluation.set_metrics(sets, truth).set_index(["metric", "slice"])["value"]
    assert found["set_coverage", "all"] == 0.25
    assert found["set_coverage", "sd"] == 0.5
    assert found["set_size", "all"] == pytest.approx(3 / 4)
    assert found["set_size", "ld"] == 0.0


def test_a_control_is_warned_of_from_five_points_below():
    controls = {"colour_alone": {"value": 0.76}, "size_alone": {"value": 0.74}}
    (told,) = metrics.warnings(0.8, controls)
    assert told.startswith("colour alone reaches 76.0%, within 5 points of the accuracy")
    assert metrics.warnings(0.9, controls) == []
    assert metrics.warnings(None, controls) == []
    assert metrics.warnings(0.7, {"colour_alone": None, "size_alone": {"value": None}}) == []
