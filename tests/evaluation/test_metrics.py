from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, roc_auc_score

from tests.support import toys
from workbench import evaluation, frames, pipeline, ranking

MODELS = ["sd", "ld", "glide", "dalle"]


def table(pairs, prompts=None) -> pd.DataFrame:
    """Make outcomes from (truth, predicted) pairs."""
    rows = [
        {"image_id": f"i{i}", "attributor": "m", "truth": truth, "predicted": predicted}
        for i, (truth, predicted) in enumerate(pairs)
    ]
    frame = pd.DataFrame(rows)
    frame["prompt"] = prompts or [f"p{i // len(MODELS)}" for i in range(len(frame))]
    frame["correct"] = frame["truth"] == frame["predicted"]
    frame["accepted"] = True
    frame["rank_of_truth"] = np.where(frame["correct"], 1.0, 2.0)
    return frame


def perfect(n: int = 50) -> list[tuple[str, str]]:
    return [(name, name) for _ in range(n) for name in MODELS]


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


def test_equal_pictures_of_two_models_are_one_image_and_two_truths(store):
    zoo = {"a": toys.Toy((1, 0, 0)), "b": toys.Toy((1, 0, 0))}
    images, truth = pipeline.make_queries(["one", "two"], zoo, store)
    assert len(images) == 2
    assert sorted(truth["truth"]) == ["a", "a", "b", "b"]


def test_queries_that_fail_stand_in_the_truth_alone(store):
    images, truth = pipeline.make_queries(["one", "forbidden"], toys.zoo(), store)
    assert len(images) == 4
    lost = truth[truth["failure"].notna()]
    assert len(lost) == 4
    assert lost["image_id"].str.startswith("query:").all()
    assert lost["image_id"].is_unique





def signature(outcomes, natural=None) -> str:
    return evaluation.signature(outcomes, MODELS, outcomes if natural is None else natural)


def test_no_errors_no_signature():
    assert signature(table(perfect())) == ""


def test_failures_speak_first():
    pairs = [(a, None if i % 5 == 0 else b) for i, (a, b) in enumerate(perfect())]
    assert signature(table(pairs)) == (
        "Failures: 20% of the pictures could not be attributed at all."
    )


def test_chance_is_told():
    rng = np.random.default_rng(0)
    assert signature(table([(a, rng.choice(MODELS)) for a, _ in perfect()])).startswith(
        "At chance: "
    )


def test_poor_prompts_are_those_the_natural_prompt_mends():
    wrong = {"sd": "ld", "ld": "glide", "glide": "dalle", "dalle": "sd"}
    pairs = [(a, wrong[a] if i % 7 == 0 else b) for i, (a, b) in enumerate(perfect())]
    inverted, natural = table(pairs), table(perfect())
    assert signature(inverted, natural).startswith(
        "Poor prompts: with the natural prompt 14.5% more of the pictures are attributed rightly ("
    )
    assert signature(inverted, inverted) == ""


def test_twins_exchange_most_errors():
    twins = {"sd": "ld", "ld": "sd"}
    pairs = [(a, twins.get(a, a) if i % 11 == 0 else b) for i, (a, b) in enumerate(perfect())]
    wrong = [(a, b) for a, b in pairs if a != b]
    there = wrong.count(("sd", "ld"))
    assert signature(table(pairs)) == (
        f"Twin models: sd and ld exchange {len(wrong)} of the {len(wrong)} errors "
        f"({there} and {len(wrong) - there})."
    )


def test_one_weak_model_is_named():
    spread = ["ld", "glide", "dalle"]
    pairs = [
        (a, spread[(i // 4) % 3] if a == "sd" and (i // 4) % 3 != 2 else b)
        for i, (a, b) in enumerate(perfect())
    ]
    assert signature(table(pairs)).startswith("One weak model: pictures of sd are ")


def test_an_attractor_takes_most_errors():
    pairs = [(a, "sd" if i % 5 == 3 or i % 7 == 2 else b) for i, (a, b) in enumerate(perfect())]
    assert signature(table(pairs)).startswith("One attractor: ")
    assert signature(table(pairs)).endswith(" errors are attributed to sd.")


def test_signatures_are_named_together():
    twins = {"sd": "ld", "ld": "sd"}
    pairs = [(a, twins.get(a, a) if i % 5 == 0 else b) for i, (a, b) in enumerate(perfect())]
    said = signature(table(pairs), table(perfect()))
    assert said.startswith("Poor prompts: ")
    assert "; twin models: sd and ld exchange " in said





def test_auroc_and_oscr_of_perfect_separation_and_of_none():
    apart = [3.0, 2.0], [1.0, 0.0]
    assert evaluation.auroc(*apart) == 1.0
    assert evaluation.auroc(*apart[::-1]) == 0.0
    assert evaluation.auroc([1.0, 1.0], [1.0]) == 0.5
    assert evaluation.oscr_area(evaluation.oscr(apart[0], [True, True], apart[1])) == 1.0
    assert evaluation.oscr_area(evaluation.oscr(apart[0], [True, False], apart[1])) == 0.5
    assert evaluation.oscr_area(evaluation.oscr(apart[0], [False, False], apart[1])) == 0.0


def test_oscr_by_hand():
    curve = evaluation.oscr([0.9, 0.7, 0.3], [True, False, True], [0.8, 0.1])
    assert curve["fpr"].tolist() == [0.0, 0.0, 0.5, 0.5, 0.5, 1.0]
    assert curve["ccr"].tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3, 2 / 3, 2 / 3])
    assert evaluation.oscr_area(curve) == pytest.approx(0.5 * (1 / 3 + 2 / 3))


def open_set(seed: int = 0):
    rng = np.random.default_rng(seed)
    known = rng.normal(1, 1, 300).round(1)  # with ties
    return known, rng.random(300) < 0.7, rng.normal(0, 1, 200).round(1)


def test_scikit_learn_agrees_on_the_open_set():
    known, correct, unknown = open_set()
    label = np.repeat([True, False], [300, 200])
    scores = np.concatenate([known, unknown])
    assert evaluation.auroc(known, unknown) == pytest.approx(roc_auc_score(label, scores))
    whole = evaluation.oscr(known, np.ones(300), unknown)
    assert evaluation.oscr_area(whole) == pytest.approx(roc_auc_score(label, scores))
    # what is attributed wrongly never counts: the AUROC of the others, times their share
    right = np.concatenate([known[correct], unknown])
    label = np.repeat([True, False], [correct.sum(), 200])
    expected = correct.mean() * roc_auc_score(label, right)
    found = evaluation.oscr(known, correct, unknown)
    assert evaluation.oscr_area(found) == pytest.approx(expected)
    assert found.iloc[-1].tolist() == [1.0, correct.mean()]


def test_open_set_measures_depend_on_the_order_of_scores_alone():
    known, correct, unknown = open_set()
    turned = np.random.default_rng(1).permutation(300)
    one = evaluation.oscr(known, correct, unknown)
    two = evaluation.oscr(np.exp(known[turned]), correct[turned], np.exp(unknown))
    pd.testing.assert_frame_equal(one, two)
    assert one["fpr"].is_monotonic_increasing
    assert one["ccr"].is_monotonic_increasing


def test_a_failed_picture_is_the_least_known():
    nan = float("nan")
    assert evaluation.auroc([0.5, nan], [0.1]) == 0.5
    assert evaluation.auroc([0.5], [nan]) == 1.0


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
