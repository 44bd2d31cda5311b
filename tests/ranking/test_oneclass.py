"""One-class scores, conformal p-values and the likelihood ratio of a score."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial import distance
from sklearn.covariance import LedoitWolf

from workbench.ranking import oneclass


def sets(seed=0, count=6, size=5, dims=4):
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((count, 1, dims)) * 5
    return list(means + rng.standard_normal((count, size, dims)) * np.arange(1, dims + 1))


def test_the_distance_is_scipys_to_the_mean_of_the_references():
    references = sets()
    covariance = oneclass.within(references)
    tests = np.random.default_rng(1).standard_normal((6, 4))
    found = oneclass.mahalanobis(tests, references, covariance)
    inverse = np.linalg.inv(covariance)
    for x, some, value in zip(tests, references, found, strict=True):
        assert value == pytest.approx(-distance.mahalanobis(x, some.mean(axis=0), inverse))
    assert (
        oneclass.mahalanobis(references[0].mean(axis=0)[None], references[:1], covariance) == 0
    )[0]


def test_the_covariance_is_shrunk_and_that_of_the_residuals():
    (one,) = sets(count=1, size=40)
    ours = oneclass.within([one])
    scaled = (one - one.mean(axis=0)) * math.sqrt(40 / 39)
    assert np.allclose(ours, LedoitWolf(assume_centered=True).fit(scaled).covariance_)
    many = oneclass.within(sets(count=400, size=3))
    assert np.allclose(np.diag(many), [1, 4, 9, 16], rtol=0.2)
    assert np.linalg.eigvalsh(oneclass.within(sets(count=1, size=2, dims=9))).min() > 0
    with pytest.raises(ValueError, match=r"^a covariance needs two different reference pictures"):
        oneclass.within([np.ones((1, 3)), np.ones((3, 3))])


def test_without_a_reference_there_is_no_score():
    nothing = [np.zeros((0, 4))]
    assert math.isnan(oneclass.nearest(np.ones((1, 4)), nothing)[0])
    assert math.isnan(oneclass.mahalanobis(np.ones((1, 4)), nothing, np.eye(4))[0])


def test_of_exchangeable_scores_at_most_a_share_alpha_has_so_small_a_p():
    rng = np.random.default_rng(0)
    rates = {alpha: [] for alpha in (0.05, 0.2, 0.5)}
    for _ in range(400):
        scores = rng.standard_normal(60)
        p = oneclass.p_values(scores[:20], scores[20:])
        for alpha, found in rates.items():
            found.append((p <= alpha).mean())
    for alpha, found in rates.items():
        assert alpha - 0.03 <= np.mean(found) <= alpha + 0.01


def test_pictures_of_one_prompt_share_one_weight():
    calibration = np.array([0.0, 0.0, 0.0, 5.0, 6.0])
    grouped = oneclass.p_values(np.array([1.0]), calibration, ["a", "a", "a", "b", "c"])
    assert grouped[0] == pytest.approx((1 + 1) / 4)
    assert oneclass.p_values(np.array([1.0]), calibration)[0] == pytest.approx(4 / 6)
    twice = np.repeat(calibration, 2)
    names = np.repeat(np.arange(5), 2)
    assert np.array_equal(
        oneclass.p_values(calibration, twice, names), oneclass.p_values(calibration, calibration)
    )


def test_lost_pictures_make_no_test_easier():
    known = np.array([1.0, 2.0, np.nan])
    found = oneclass.p_values(np.array([0.0, np.nan]), known)
    assert found[0] == pytest.approx(2 / 4)
    assert math.isnan(found[1])


def test_the_ratio_of_two_normal_laws_is_found():
    rng = np.random.default_rng(0)
    own, others = rng.normal(2, 1, 4000), rng.normal(0, 1, 4000)
    weights = oneclass.weigh(own, others)
    x = np.array([-0.5, 0.0, 1.0, 2.0])
    exact = (2 * x - 2) / math.log(10)  # log N(x; 2, 1) − log N(x; 0, 1)
    assert np.allclose(weights(x), exact, atol=0.06)
    unequal = oneclass.weigh(own[:1000], others)
    assert np.allclose(unequal(x), exact, atol=0.15)  # the numbers are no prior


def test_no_ratio_is_beyond_what_the_prompts_can_show():
    own, others = np.full(20, 9.0) + np.arange(20), -np.arange(60.0)
    weights = oneclass.weigh(own, others, None, np.repeat(np.arange(20), 3))
    assert weights(np.array([1e6]))[0] == pytest.approx(math.log10(21))
    assert weights(np.array([-1e6]))[0] == pytest.approx(-math.log10(21))
    assert math.isnan(weights(np.array([np.nan]))[0])


def test_a_score_that_misleads_says_nothing():
    weights = oneclass.weigh(np.arange(10.0), np.arange(10.0) + 5)
    assert weights(np.array([0.0, 20.0])).tolist() == [0, 0]
    with pytest.raises(ValueError, match=r"of others; seen 1 and 0$"):
        oneclass.weigh(np.array([1.0]), np.array([np.nan]))
