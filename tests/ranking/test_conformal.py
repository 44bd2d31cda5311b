from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from workbench import frames, ranking
from workbench.ranking import conformal

MODELS = ["dalle", "glide", "ld", "sd"]


def scores(values: np.ndarray, attributor: str = "m") -> pd.DataFrame:
    """Lay an (N, K) matrix out as the scores frame."""
    rows = [
        {"image_id": f"i{n}", "attributor": attributor, "generator": MODELS[k], "score": value}
        for (n, k), value in np.ndenumerate(values)
    ]
    return frames.build("scores", rows)


def truth(labels, prompts=None) -> pd.DataFrame:
    names = [f"i{n}" for n in range(len(labels))]
    return pd.DataFrame(
        {
            "image_id": names,
            "truth": [MODELS[label] for label in labels],
            "prompt": names if prompts is None else prompts,
        }
    )


def synthetic(rng, n: int, apart: float = 0.02):
    """Draw scores in which the true model is a little higher, and the truth."""
    labels = rng.integers(0, 4, n)
    values = rng.normal(0.7, 0.02, (n, 4)) + rng.normal(0, 0.05, (n, 1))
    values[np.arange(n), labels] += apart
    return values, labels


# The quantile.


def test_the_quantile_by_hand():
    nine = [9, 1, 8, 2, 7, 3, 6, 4, 5]
    assert conformal.quantile(nine, 0.9) == 9  # ⌈.9 · 10⌉ = 9
    assert conformal.quantile(nine, 0.5) == 5
    assert conformal.quantile(nine, 0.11) == 2
    assert conformal.quantile(nine, 0.91) == math.inf
    assert conformal.quantile([1, math.nan, 2], 0.5) == 2
    assert conformal.quantile([1, math.nan, 2], 0.75) == math.inf
    assert conformal.quantile([], 0.5) == math.inf


@settings(max_examples=200)
@given(st.integers(1, 300), st.floats(0.01, 0.99), st.integers(0, 1000))
def test_numpy_agrees_on_the_quantile(n, coverage, seed):
    values = np.random.default_rng(seed).integers(0, 50, n)  # with ties
    k = math.ceil(round(coverage * (n + 1), 9))
    expected = math.inf if k > n else np.partition(values, k - 1)[k - 1]
    found = conformal.quantile(values, coverage)
    assert found == expected
    if k <= n:
        higher = np.quantile(values, min(k / n, 1), method="higher")
        assert found <= higher  # Angelopoulos & Bates' line, which may be one value higher
        between = np.quantile(values, (k - 1.5) / (n - 1) if k > 1 else 0, method="higher")
        assert found == between  # the k-th value is the one above rank k − 1.5


def test_pictures_of_one_prompt_share_its_weight():
    values, prompts = [1, 2, 3, 4, 5, 6], ["a", "a", "a", "b", "c", "c"]
    # the shares add up to 1/3, 2/3, 1, 2, 2.5, 3 of 3 + 1
    for coverage, expected in (
        (0.16, 2),
        (0.25, 3),
        (0.3, 4),
        (0.6, 5),
        (0.7, 6),
        (0.76, math.inf),
    ):
        assert conformal.quantile(values, coverage, prompts) == expected


def test_equal_groups_are_as_many_pictures_but_no_more_prompts():
    values = np.arange(40.0)
    four = np.repeat(np.arange(10), 4)
    assert conformal.quantile(values, 0.9, four) == 39  # all 10 of 10 + 1 are needed
    assert conformal.quantile(values, 0.9) == 36
    assert conformal.quantile(values, 0.92, four) == math.inf


@pytest.mark.parametrize("coverage", [0, 1, -1, 1.5])
def test_a_coverage_outside_its_range_is_told(coverage):
    sentence = f"a coverage lies between 0 and 1; seen {coverage}"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        conformal.quantile([1], coverage)


# Attribution sets.


def test_a_set_by_hand():
    values = np.array([[1.0, 0.75, 0.5, 1.0], [0.0, 0.5, 0.5, math.nan]])
    table = conformal.conformal_sets(scores(values), 0.25)
    assert list(table.columns) == ["image_id", "attributor", "generator", "included"]
    first, second = [True, True, False, True], [False, True, True, False]
    assert table["included"].tolist() == [*first, *second]
    assert conformal.conformal_sets(scores(values), math.inf)["included"].all()
    alone = conformal.conformal_sets(scores(values), 0.0)
    assert alone["included"].tolist() == [True, False, False, True, *second]


def test_the_quantile_of_scores_is_that_of_the_true_models_distances():
    values = np.array([[0.75, 0.5, 0.25, 0], [0.75, 0.5, 0.25, 0], [0.5, 0.5, 0, 0]])
    known = truth([0, 2, 1])  # behind by 0, .5 and 0
    assert conformal.conformal_quantile(scores(values), known, 0.5) == 0.0
    assert conformal.conformal_quantile(scores(values), known, 0.75) == 0.5
    assert conformal.conformal_quantile(scores(values), known, 0.8) == math.inf


def test_a_failed_calibration_picture_is_as_far_behind_as_can_be():
    values = np.array([[0.5, 0, 0, 0], [math.nan] * 4, [math.nan, 0.5, 0, 0]])
    assert conformal.conformal_quantile(scores(values), truth([0, 0, 0]), 0.25) == 0.0
    assert conformal.conformal_quantile(scores(values), truth([0, 0, 0]), 0.3) == math.inf
    unseen = truth([0, 0, 0, 0])  # of the fourth there are no scores at all
    assert conformal.conformal_quantile(scores(values), unseen, 0.2) == 0.0
    assert conformal.conformal_quantile(scores(values), unseen, 0.25) == math.inf


def test_too_few_calibration_pictures_include_everything():
    values, labels = synthetic(np.random.default_rng(0), 8)
    found = conformal.conformal_quantile(scores(values), truth(labels), 0.9)
    assert found == math.inf
    assert conformal.conformal_sets(scores(values), found)["included"].all()


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_a_thousand_synthetic_sets_cover_as_stated(coverage):
    rng = np.random.default_rng(0)
    held = sizes = 0
    for _ in range(20):  # as many calibrations of 99 pictures, each with 50 further ones
        values, labels = synthetic(rng, 149)
        found = conformal.conformal_quantile(scores(values[:99]), truth(labels[:99]), coverage)
        table = conformal.conformal_sets(scores(values[99:]), found)
        inside = table["included"].to_numpy().reshape(50, 4)
        held += int(inside[np.arange(50), labels[99:]].sum())
        sizes += int(inside.sum())
    # one calibration of 99 makes its 50 sets succeed together: Beta-binomial, not binomial
    spread = math.sqrt(coverage * (1 - coverage) * (1 / 1000 + 1 / (20 * 101)))
    assert held / 1000 == pytest.approx(coverage, abs=4 * spread)
    assert 1000 < sizes < 4000


def test_sets_cover_pictures_that_come_by_the_prompt():
    rng = np.random.default_rng(1)
    held = []
    for _ in range(1000):  # the pictures of a prompt are equally hard, and one more prompt comes
        hard = rng.exponential(1, (20, 1)) + rng.exponential(0.05, (20, 4))
        found = conformal.quantile(hard[:19].ravel(), 0.9, np.repeat(np.arange(19), 4))
        held.append(hard[19, 0] <= found)
    assert sum(held) >= binom.ppf(1e-4, 1000, 0.9)
    assert sum(held) <= binom.ppf(1 - 1e-4, 1000, 0.97)


def test_the_best_model_is_in_every_set_and_a_larger_quantile_includes_more():
    values, _ = synthetic(np.random.default_rng(2), 100)
    before = np.zeros((100, 4), bool)
    for quantile in (0.0, 0.01, 0.05, math.inf):
        inside = conformal.conformal_sets(scores(values), quantile)["included"]
        inside = inside.to_numpy().reshape(100, 4)
        assert inside[np.arange(100), values.argmax(axis=1)].all()
        assert (inside >= before).all()
        before = inside


def test_sets_do_not_depend_on_company_or_order():
    values, _ = synthetic(np.random.default_rng(3), 30)
    table = scores(values)
    whole = conformal.conformal_sets(table, 0.03).set_index(["image_id", "generator"]).sort_index()
    turned = conformal.conformal_sets(table.sample(frac=1, random_state=0), 0.03)
    pd.testing.assert_frame_equal(turned.set_index(["image_id", "generator"]).sort_index(), whole)
    alone = conformal.conformal_sets(table[table["image_id"] == "i7"], 0.03)
    assert alone["included"].tolist() == whole.loc["i7", "included"].tolist()


# None of these.


def test_a_p_value_by_hand():
    fitted = conformal.known({"sd": [0.5, 0.7, 0.6, 0.8], "ld": [0.1]})
    table = scores(np.array([[0.65, 0.05], [0.4, 0.1], [0.9, 0.0], [math.nan, math.nan]]))
    table["generator"] = ["sd", "ld"] * 4
    found = conformal.known_p_values(table, fitted)
    assert found["image_id"].tolist() == ["i0", "i1", "i2", "i3"]
    # sd: (1 + 2) / 5, ld: 1 / 2; then sd: 1 / 5, ld: (1 + 1) / 2; then sd: 5 / 5
    assert found["p"].tolist()[:3] == [0.6, 1.0, 1.0]
    assert math.isnan(found["p"][3])


def test_a_model_that_could_not_be_compared_is_not_ruled_out():
    fitted = conformal.known({name: [0.5] * 99 for name in MODELS})
    table = scores(np.array([[0.1, 0.1, 0.1, 0.1], [math.nan, 0.1, 0.1, 0.1]]))
    assert conformal.known_p_values(table, fitted)["p"].tolist() == [0.01, 1.0]


def test_what_is_fitted_are_a_models_scores_of_its_own_pictures():
    values = np.array([[0.9, 0.8, 0.7, 0.6], [0.1, 0.2, 0.3, 0.4], [0.5] * 4, [math.nan] * 4])
    fitted = conformal.fit_known(scores(values), truth([0, 2, 0, 0]))
    assert {name: fitted[name].tolist() for name in MODELS} == {
        "dalle": [0.5, 0.9],
        "glide": [],
        "ld": [0.3],
        "sd": [],
    }
    assert fitted.pictures == 3
    again = conformal.known({name: fitted[name] for name in MODELS})
    assert again == fitted


def test_of_each_models_pictures_at_most_alpha_is_rejected():
    rng = np.random.default_rng(4)
    rejected = np.zeros((40, 4))
    for run in range(40):
        values, labels = synthetic(rng, 400, apart=0.05)
        labels[200:] = np.arange(200) % 4
        known, labels = truth(labels[:200]), labels[200:]
        fitted = conformal.fit_known(scores(values[:200]), known)
        p = conformal.known_p_values(scores(values[200:]), fitted)["p"].to_numpy()
        rejected[run] = [(p[labels == k] <= 0.05).sum() for k in range(4)]
    assert (rejected.sum(axis=0) <= binom.ppf(1 - 1e-4, 2000, 0.05)).all()
    assert rejected.sum() > 0


def test_pictures_of_strangers_are_rejected_and_too_few_calibration_pictures_reject_nothing():
    values, labels = synthetic(np.random.default_rng(5), 400)
    stranger = scores(np.full((1, 4), 0.1))
    fitted = conformal.fit_known(scores(values), truth(labels))
    assert conformal.known_p_values(stranger, fitted)["p"].item() < 0.05
    few = conformal.fit_known(scores(values[:40]), truth(np.arange(40) % 4))
    assert conformal.known_p_values(stranger, few)["p"].item() == 1 / 11


def test_a_rejected_image_is_not_accepted_and_keeps_its_best():
    table = scores(np.array([[0.9, 0.1, 0.1, 0.1], [0.8, 0.1, 0.1, 0.1], [math.nan] * 4]))
    decided = ranking.decide(ranking.rank(table))
    p = pd.DataFrame({"image_id": ["i1", "i0", "i2"], "p": [0.05, 0.051, math.nan]})
    found = conformal.reject(decided, p)
    assert found["accepted"].tolist() == [True, False, False]
    assert found["predicted"].tolist()[:2] == ["dalle", "dalle"]
    assert decided["accepted"].tolist() == [True, True, False]


def test_a_model_without_calibration_is_told():
    with pytest.raises(LookupError, match=r"^nothing named 'dalle' was fitted; there are: sd$"):
        conformal.known_p_values(scores(np.ones((1, 4))), conformal.known({"sd": [0.5]}))


def test_nothing_scored_is_nothing_to_fit():
    with pytest.raises(ValueError, match="learned from at least 1 picture; seen 0"):
        conformal.fit_known(scores(np.full((1, 4), math.nan)), truth([0]))


def test_two_attributors_are_not_calibrated_together():
    both = pd.concat([scores(np.ones((1, 4))), scores(np.ones((1, 4)), "other")])
    sentence = "a calibration is of one attributor at a time; seen m, other"
    for call in (conformal.conformal_quantile, conformal.fit_known):
        with pytest.raises(ValueError, match=f"^{sentence}$"):
            call(both, truth([0]))


def test_a_pooled_p_is_the_rank_among_the_calibration_pictures():
    """Each picture a group: (1 + #{c ≤ s}) / (n + 1), the conformal p-value of Vovk et al. 2005."""
    drawn = np.random.default_rng(0).normal(size=40).round(1)  # with ties
    seen = np.array([-9.0, 0.0, 0.3, 9.0, math.nan])
    expected = [(1 + (drawn <= value).sum()) / 41 for value in seen[:4]]
    found = conformal.pooled_p_values(seen, drawn, range(40))
    assert found[:4] == pytest.approx(expected, abs=1e-9)
    assert math.isnan(found[4])
    four = conformal.pooled_p_values(seen, np.repeat(drawn, 4), np.repeat(range(40), 4))
    assert four[:4] == pytest.approx(found[:4], abs=1e-9)  # copies are no new pictures
    with pytest.raises(ValueError, match=r"^a pooled test needs calibration pictures"):
        conformal.pooled_p_values([0.5], [], [])


def test_a_pooled_level_is_kept_on_average_where_pictures_of_a_scene_are_alike():
    rng, rejected = np.random.default_rng(1), 0
    for _ in range(2000):
        shared = 0.8 * rng.standard_normal((31, 1))
        drawn = shared + 0.6 * rng.standard_normal((31, 4))
        p = conformal.pooled_p_values(drawn[30, :1], drawn[:30].ravel(), np.repeat(range(30), 4))
        rejected += p[0] <= conformal.ALPHA
    assert 0.02 < rejected / 2000 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 2000)
