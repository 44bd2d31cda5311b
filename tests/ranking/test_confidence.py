"""The threshold of a margin."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from workbench import ranking


def test_the_threshold_is_the_smallest_margin_with_a_good_bound():
    rng = np.random.default_rng(0)
    margins = rng.random(400).round(2)
    correct = rng.random(400) < np.clip(0.7 + margins, 0, 1)

    def bound(t: float) -> float:
        kept = (margins >= t) & (margins > 0)
        test = binomtest(int((~correct[kept]).sum()), int(kept.sum()), alternative="less")
        return test.proportion_ci(0.95, method="exact").high

    expected = min(t for t in np.unique(margins) if t > 0 and bound(t) <= 0.05)
    assert ranking.threshold(margins, correct) == pytest.approx(expected)


def test_no_good_bound_means_always_abstain():
    assert ranking.threshold([0.1] * 500, [False] * 500) == math.inf
    assert ranking.threshold([], []) == math.inf
    assert ranking.threshold([0.0, math.nan], [True, True]) == math.inf
