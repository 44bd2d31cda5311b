from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, multivariate_normal, norm

from workbench import ranking
from workbench.ranking import conformal, elimination

GAMMA, STEP = 16, 4
COUNTS = elimination.counts(GAMMA, STEP)


def race(cube: np.ndarray, aggregate: str = "mean", delta: float = 0.05, bound=None):
    """Run the race over similarities that are all known, and log what it asked for."""
    asked = []

    def draw(drawing, start, stop):
        asked.append((drawing.copy(), start, stop))
        return cube[:, :, start:stop]

    rule = elimination.rule(aggregate, GAMMA, STEP, cube.shape[1], delta, bound)
    whole = ranking.AGGREGATIONS[aggregate]
    drawn, scores = elimination.race(draw, *cube.shape[:2], COUNTS, whole, rule)
    return drawn, scores, asked


def first(scores: np.ndarray) -> np.ndarray:
    return np.nan_to_num(scores, nan=-np.inf).argmax(axis=1)


def errors(cube: np.ndarray, aggregate: str, delta: float, bound=None) -> int:
    """Count the images whose first model is not that of all γ candidates."""
    _, scores, _ = race(cube, aggregate, delta, bound)
    return int((first(scores) != first(ranking.AGGREGATIONS[aggregate](cube))).sum())


def allowed(n: int, delta: float) -> int:
    """Bound errors that happen with probability delta: more come once in a million runs."""
    return int(binom.isf(1e-6, n, delta))


def arms(means, n=50, spread=0.01, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.array(means)[:, None] + spread * rng.standard_normal((n, len(means), GAMMA))


# The closed form.


@pytest.mark.parametrize("aggregate", ["mean", "max"])
def test_well_separated_arms_stop_after_the_first_round(aggregate):
    drawn, scores, asked = race(arms([0.9, 0.2, 0.1, 0.3]), aggregate)
    assert len(asked) == 1
    assert np.isnan(drawn[:, :, STEP:]).all()
    assert (first(scores) == 0).all()


@pytest.mark.parametrize("aggregate", ["mean", "max"])
@pytest.mark.parametrize("cube", [np.full((5, 4, GAMMA), 0.5), arms([0.5] * 4)[:, :1].repeat(4, 1)])
def test_equal_arms_draw_everything(cube, aggregate):
    drawn, scores, asked = race(cube, aggregate)
    assert [stop for _, _, stop in asked] == COUNTS
    np.testing.assert_array_equal(drawn, cube)
    np.testing.assert_array_equal(scores, ranking.AGGREGATIONS[aggregate](cube))


def test_the_mean_rule_is_students_t_with_the_finite_population_in_it():
    seen = np.array([[[0.5, 0.7, 0.8, 0.6], [0.3, 0.6, 0.4, 0.5]]])
    d = seen[0, 0] - seen[0, 1]  # .2 .1 .4 .1: mean .2, s = √.02
    t = d.mean() / (math.sqrt(0.02) * math.sqrt(1 / 4 - 1 / 16))
    for level, dropped in ((0.02, False), (0.03, True)):  # t = 3.266 has P = .0235, 3 degrees
        assert elimination.trails_by_mean(seen, 16, level).tolist() == [[False, dropped]]
    assert t == pytest.approx(3.266, abs=1e-3)


def test_the_max_rule_is_a_prediction_interval_for_all_images_to_come():
    seen = np.array([[[0.0, 0.95, 0.0], [0.1, 0.2, 0.3]]])  # s = .1, mean .2
    reach = 0.2 + 6.205347 * 0.1 * math.sqrt(4 / 3)  # t of 2 degrees at .05 / 4
    assert reach == pytest.approx(0.9165, abs=1e-4)
    assert elimination.trails_by_max(seen, 7, 0.05).tolist() == [[False, True]]
    seen[0, 0, 1] = 0.9
    assert elimination.trails_by_max(seen, 7, 0.05).tolist() == [[False, False]]


def test_a_range_alone_would_not_stop_cosines():
    level, n, width = 0.05 / (3 * 3), 12, 4
    apart = width * math.sqrt(-math.log(level) * (1 - (n - 1) / GAMMA) / (2 * n))
    assert apart == pytest.approx(1.04, abs=0.005)


# The guarantee.


@settings(deadline=None, max_examples=15)
@given(
    st.integers(2, 6),
    st.integers(0, 2**32 - 1),
    st.floats(0, 3),
    st.sampled_from(["mean", "max"]),
    st.sampled_from([0.02, 0.1, 0.3]),
)
def test_normal_arms_of_any_covariance_err_at_most_delta(models, seed, apart, aggregate, delta):
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((models, models))
    means = apart * rng.standard_normal(models)
    draws = multivariate_normal(means, mix @ mix.T, allow_singular=True)
    cube = np.moveaxis(draws.rvs((1000, GAMMA), random_state=rng), 2, 1)
    assert errors(cube, aggregate, delta) <= allowed(1000, delta)


def test_the_pivot_of_the_mean_rule_is_exact():
    cube = np.random.default_rng(0).standard_normal((20_000, 2, 8))
    cube -= cube.mean(axis=2, keepdims=True)  # both win by a hair's breadth: the worst case
    gone = elimination.trails_by_mean(cube[:, :, :4], 8, 0.1)
    assert gone.any(axis=1).mean() == pytest.approx(0.2, abs=0.012)  # a tenth in each direction


@pytest.mark.parametrize("aggregate", ["mean", "max", "softmax"])
def test_a_calibrated_bound_keeps_the_winner_whatever_the_law(aggregate):
    rng = np.random.default_rng(1)
    cube = -rng.gamma(1, 0.05, (20_000, 3, GAMMA)) - np.array([0.0, 0.05, 0.05])[:, None]
    whole = ranking.AGGREGATIONS[aggregate]
    wrong = 0
    for part in np.split(cube, 100):  # as many calibrations, each of 99 pictures
        bound = conformal.quantile(elimination.needed(part[:99], COUNTS, whole), 0.9)
        drawn, _, _ = race(part[99:], aggregate, bound=bound)
        wrong += errors(part[99:], aggregate, 0.5, bound)
        assert np.isfinite(drawn).mean() < 1
    assert wrong <= 101 * 100 * 0.1 * 1.1


def test_the_needed_bound_of_a_single_look_is_the_least_that_keeps_the_winner():
    cube = arms([0.5, 0.495], n=200, seed=3)
    need = elimination.needed(cube, [4, 16], ranking.mean)
    winner = first(ranking.mean(cube))
    assert 20 < (need > 0).sum() < 180
    for share, kept in ((1.0, True), (1 - 1e-9, False)):
        for image in np.flatnonzero(need > 0):
            gone = elimination.trails_by_bound(cube[[image], :, :4], 16, share * need[image])
            assert gone[0, winner[image]] == (not kept)


# The laws.


@pytest.mark.parametrize("aggregate", ["mean", "max"])
def test_a_dropped_model_never_ends_before_the_one_that_beat_it(aggregate):
    cube = arms([0.9, 0.6, 0.5, 0.9], n=1)
    cube[0, :, STEP:] -= 0.8  # the leaders fall below what was dropped
    drawn, scores, _ = race(cube, aggregate)
    dropped = np.isnan(drawn[0, :, -1])
    assert dropped.tolist() == [False, True, True, False]
    assert scores[0][dropped].max() < scores[0][~dropped].max()


def test_a_dropped_model_keeps_its_score_where_the_best_did_not_fall():
    cube = arms([0.9, 0.2, 0.88], n=1)
    _, scores, _ = race(cube, "max")
    assert scores[0, 1] == cube[0, 1, :STEP].max()
    assert scores[0, 0] == cube[0, 0].max()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["mean", "max"]))
def test_images_and_models_may_come_in_any_order_and_company(seed, aggregate):
    rng = np.random.default_rng(seed)
    cube = rng.normal(rng.normal(0, 2, (6, 4, 1)), 1, (6, 4, GAMMA))
    cube[rng.random(cube.shape) < 0.1] = np.nan
    drawn, scores, _ = race(cube, aggregate)
    images, models = rng.permutation(6), rng.permutation(4)
    turned = race(cube[images][:, models], aggregate)
    np.testing.assert_array_equal(turned[0], drawn[images][:, models])
    np.testing.assert_array_equal(turned[1], scores[images][:, models])
    np.testing.assert_array_equal(race(cube[[2]], aggregate)[1], scores[[2]])
    left = np.isfinite(drawn).sum(axis=2).max(axis=1)
    assert (left >= 1).all()


def test_a_model_that_failed_so_far_is_not_dropped():
    cube = arms([0.9, 0.5, 0.5, 0.1], n=1)
    cube[0, 0, : 2 * STEP] = np.nan  # comes late, and wins
    drawn, scores, asked = race(cube)
    assert np.isfinite(drawn).sum(axis=2).tolist() == [[STEP, 3 * STEP, 3 * STEP, STEP]]
    assert first(scores) == [0]
    assert len(asked) == 3


def test_a_model_that_failed_so_far_keeps_nobody_going():
    cube = arms([0.9, 0.5, 0.1], n=1)
    cube[0, 0, : 2 * STEP] = np.nan
    _, scores, asked = race(cube)
    assert len(asked) == 1
    assert first(scores) == [1]
    assert np.isnan(scores[0, 0])


def test_nothing_to_compare_is_asked_for_until_the_end():
    drawn, scores, asked = race(np.full((1, 3, GAMMA), np.nan))
    assert len(asked) == len(COUNTS)
    assert np.isnan(scores).all()
    assert elimination.needed(drawn, COUNTS, ranking.mean).tolist() == [0.0]


def test_a_winner_that_came_late_needs_an_infinite_bound():
    cube = arms([0.9, 0.5], n=1)
    cube[0, 0, :STEP] = np.nan
    assert elimination.needed(cube, COUNTS, ranking.mean).tolist() == [math.inf]


def test_softmax_needs_a_bound():
    sentence = (
        "models are dropped by their mean or max without calibration; 'softmax' needs a bound"
    )
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        elimination.rule("softmax", GAMMA, STEP, 4, 0.05)


def test_rarely_is_more_drawn_than_the_answer_needs():
    cube = norm.rvs(np.array([0, -3, -3, -3.0])[:, None], size=(2000, 4, GAMMA), random_state=0)
    drawn, _, _ = race(cube)
    assert np.isfinite(drawn).mean() < 0.5
