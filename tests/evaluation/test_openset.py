"""Known and unknown sources: AUROC and OSCR in closed form, by hand, and as scikit-learn does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, t
from sklearn.metrics import roc_auc_score

from workbench import evaluation


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


def test_an_area_is_that_of_the_curve_with_its_interval_by_hand():
    known, correct, unknown = open_set()
    scores, label = np.concatenate([known, unknown]), np.repeat([True, False], [300, 200])
    right = np.concatenate([correct, np.zeros(200, bool)])
    places = np.arange(500) % 125
    found = evaluation.area_interval(scores, label, places)
    assert found.value == pytest.approx(evaluation.auroc(known, unknown), abs=1e-9)
    assert found.n == 500
    area = evaluation.oscr_area(evaluation.oscr(known, correct, unknown))
    assert evaluation.area_interval(scores, label, places, right).value == pytest.approx(area)
    assert found.low < found.value < found.high


def test_without_clusters_the_error_is_that_of_delong():
    """V = Var(V10) / m + Var(V01) / n of the structural components (DeLong et al. 1988)."""
    rng = np.random.default_rng(3)
    known, unknown = rng.normal(1, 1, 400), rng.normal(0, 1, 400)
    pairs = known[:, None] > unknown[None, :]
    delong = pairs.mean(axis=1).var(ddof=1) / 400 + pairs.mean(axis=0).var(ddof=1) / 400
    scores, label = np.concatenate([known, unknown]), np.repeat([True, False], 400)
    found = evaluation.area_interval(scores, label, range(800))
    error = (found.high - found.value) / t.ppf(0.975, 799)
    assert error**2 == pytest.approx(delong * (399 / 400) * (800 / 799), rel=1e-9)


@pytest.mark.parametrize(("clusters", "least"), [(10, 0.91), (25, 0.93), (100, 0.935)])
def test_an_area_is_covered_where_known_and_unknown_share_scenes(clusters, least):
    """Three known pictures and an unknown one a scene, as where one of four models is left out."""
    rng, held, shift = np.random.default_rng(clusters), 0, 1.2
    truth = norm.cdf(shift / 2**0.5)  # of pictures of different scenes; of one they are alike
    label, places = np.tile([True, True, True, False], clusters), np.repeat(range(clusters), 4)
    for _ in range(1000):
        shared = 0.4 * rng.standard_normal((clusters, 1))
        drawn = (shared + 0.84**0.5 * rng.standard_normal((clusters, 4))).ravel() + shift * label
        found = evaluation.area_interval(drawn, label, places)
        held += found.low <= truth <= found.high
    assert held / 1000 >= least


def test_an_area_never_has_zero_width_and_one_scene_tells_nothing():
    apart = [3.0, 2.0, 1.0, 0.0], [True, True, False, False]
    found = evaluation.area_interval(*apart, list("abcd"))
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.025 ** (1 / 4))  # Clopper & Pearson for 4 of 4
    found = evaluation.area_interval(*apart, list("aaaa"))
    assert (found.low, found.high) == (0.0, 1.0)
    with pytest.raises(ValueError, match=r"known and unknown pictures; 2 of 2 are known$"):
        evaluation.area_interval([1.0, 0.0], [True, True], "ab")
