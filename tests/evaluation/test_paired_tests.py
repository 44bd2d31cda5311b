"""Paired tests over clusters, and what they are apt to find."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest, nct, permutation_test
from scipy.stats import t as student

from workbench.evaluation.statistics import mcnemar, minimal_detectable_difference, sign_flip


def test_few_clusters_are_flipped_in_every_way():
    rng = np.random.default_rng(0)
    values, places = rng.integers(-1, 2, 36).astype(float), np.repeat(range(9), 4)
    sums = values.reshape(9, 4).sum(axis=1)
    flipped = [abs(np.dot(signs, sums)) for signs in product((-1, 1), repeat=9)]
    expected = np.mean(np.array(flipped) >= abs(sums.sum()) - 1e-9)
    assert sign_flip(values, places) == pytest.approx(expected, abs=1e-9)


def test_clusters_of_one_picture_give_the_p_of_mcnemar():
    first, second = np.array([1] * 9 + [0] * 2 + [1] * 20), np.array([0] * 9 + [1] * 2 + [1] * 20)
    found = sign_flip(first - second, range(31))
    assert found == pytest.approx(mcnemar(first, second), abs=1e-9)
    assert found == pytest.approx(binomtest(2, 11).pvalue, abs=1e-9)


def test_whole_numbers_are_exact_however_many_clusters_there_are():
    """Forty clusters all in favour: two of 2^40 signs; McNemar's law for sums of 1."""
    assert sign_flip([1.0] * 40, range(40)) == pytest.approx(2 / 2**40, rel=1e-12)
    values = np.array([1] * 70 + [-1] * 31 + [0] * 299)
    assert sign_flip(values, range(400)) == pytest.approx(binomtest(31, 101).pvalue, rel=1e-9)
    rng = np.random.default_rng(5)
    whole = rng.integers(-3, 4, 12).astype(float)
    other = permutation_test(
        (whole[whole != 0],), np.sum, permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip(whole, range(12)) == pytest.approx(other.pvalue, abs=1e-9)


def test_many_clusters_are_drawn_with_a_seed():
    values = np.random.default_rng(1).normal(0.25, 1, 60)
    one, two = sign_flip(values, range(60), seed=4), sign_flip(values, range(60), seed=4)
    assert one == two
    assert 1e-4 < one < 1
    t = values.mean() / (values.std(ddof=1) / 60**0.5)
    assert one == pytest.approx(2 * student.sf(abs(t), 59), abs=0.02)


def test_pictures_of_one_prompt_do_not_count_as_many():
    """Five prompts, all in favour: p is 2 / 2^5, however many pictures each has."""
    values, places = np.ones(100), np.repeat(range(5), 20)
    assert sign_flip(values, places) == pytest.approx(2 / 32)
    assert mcnemar(values, np.zeros(100)) < 1e-20


def test_the_test_keeps_its_level_where_prompts_go_together():
    rng = np.random.default_rng(2)
    rejected = alone = 0
    for _ in range(300):
        lean = rng.choice([-1, 1], (12, 1))
        values = np.where(rng.random((12, 4)) < 0.4, lean, 0)
        rejected += sign_flip(values.ravel(), np.repeat(range(12), 4)) <= 0.05
        alone += mcnemar(values.ravel() > 0, values.ravel() < 0) <= 0.05
    assert rejected / 300 <= 0.05 + 2 * (0.05 * 0.95 / 300) ** 0.5
    assert alone / 300 > 0.1  # McNemar's test takes them for independent


def test_where_nothing_differs_nothing_is_found():
    assert sign_flip([0, 0, 0], list("abc")) == 1.0
    assert sign_flip([1, -1, 0], list("aab")) == 1.0
    assert sign_flip([1, 1, 1], list("aaa")) == 1.0  # one prompt


@pytest.mark.parametrize(("clusters", "points"), [(100, 8), (25, 13), (10, 24)])
def test_a_detectable_difference_is_about_8_13_and_24_points(clusters, points):
    assert 100 * minimal_detectable_difference(clusters) == pytest.approx(points, abs=2)


@pytest.mark.parametrize("clusters", [5, 10, 25, 100])
def test_a_detectable_difference_is_found_with_the_power_that_it_says(clusters):
    shift = minimal_detectable_difference(clusters, 0.3, power=0.9) / 0.3 * clusters**0.5
    bar = student.ppf(0.975, clusters - 1)
    power = nct.sf(bar, clusters - 1, shift) + nct.cdf(-bar, clusters - 1, shift)
    assert power == pytest.approx(0.9, abs=1e-6)


def test_one_cluster_detects_nothing():
    with pytest.raises(ValueError, match=r"needs at least 2 clusters .* seen 1 and 0\.25$"):
        minimal_detectable_difference(1)
