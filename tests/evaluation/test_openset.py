"""Known and unknown sources: AUROC and OSCR in closed form, by hand, and as scikit-learn does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
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
