from __future__ import annotations

import numpy as np
import pytest

from tests.attributors.conftest import accuracy
from tests.support import toys
from workbench import pipeline, ranking
from workbench.attributors.layers import RIDGE, Layers, mix
from workbench.similarities.cosine import Cosine


def cube(pictures=40, models=3, seed=0, strengths=(2.0, 0.0, 1.0)):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, models, pictures)
    scores = rng.standard_normal((pictures, models, len(strengths)))
    scores[np.arange(pictures), truth] += np.array(strengths)
    return scores, truth


def loss(beta, scores, truth, deviations):
    standard = (scores - scores.mean(axis=1, keepdims=True)) / deviations
    odds = np.exp(standard @ beta)
    shares = odds[np.arange(len(truth)), truth] / odds.sum(axis=1)
    return -np.log(shares).sum() + RIDGE / 2 * beta @ beta


def test_weights_are_convex_and_follow_what_a_layer_tells():
    weights, deviations = mix(*cube())
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    assert weights[0] > weights[2] > weights[1]
    assert (deviations > 0).all()


def test_no_other_mix_of_a_grid_is_likelier_at_any_scale():
    scores, truth = cube(25)
    weights, deviations = mix(scores, truth)
    scales = np.linspace(0.05, 8, 160)
    least = min(loss(weights * scale, scores, truth, deviations) for scale in scales)
    grid = [
        np.array([a, b, 10 - a - b]) / 10 * scale
        for a in range(11)
        for b in range(11 - a)
        for scale in scales
    ]
    assert least <= min(loss(each, scores, truth, deviations) for each in grid) + 0.01


def test_the_scale_of_a_layer_and_the_order_of_models_do_not_matter():
    scores, truth = cube()
    weights, deviations = mix(scores, truth)
    again, wider = mix(scores[:, ::-1] * [1.0, 1.0, 50.0] + 7, 2 - truth)
    assert np.allclose(again, weights, atol=1e-4)
    assert np.allclose(wider, deviations * [1, 1, 50])


def test_a_layer_that_misleads_has_no_weight_and_where_all_do_all_weigh_alike():
    assert mix(*cube(strengths=(2.0, -2.0, 0.0)))[0][1] == 0
    assert mix(*cube(strengths=(-2.0, -2.0)))[0].tolist() == [0.5, 0.5]


def test_pictures_that_could_not_be_compared_are_left_out():
    scores, truth = cube()
    scores[3, 1, 2] = np.nan
    kept = np.arange(40) != 3
    assert np.allclose(mix(scores, truth)[0], mix(scores[kept], truth[kept])[0])
    with pytest.raises(ValueError, match=r"^no picture could be compared with candidates of every"):
        mix(scores[[3]], truth[[3]])


def test_the_scores_of_a_fitted_one_are_those_of_its_mix(images, training, store):
    method = Layers(toys.Teller(), toys.Mean(), gamma=2, size=16)
    fitted = method.fit(training, toys.zoo(), store=store)
    stages = fitted(images, toys.zoo(), store=store)
    assert accuracy(stages.scores, images) >= 0.75
    found = fitted.fitted
    assert found["layers"].tolist() == [1, 2, 0]
    expected = 0
    for layer, weight, deviation in zip(
        (1, 2, None), found["weights"], found["deviations"], strict=True
    ):
        values = pipeline.similarity(
            images, stages.prompts, stages.candidates, Cosine(toys.Mean(layer)), store, 16
        )
        scores = ranking.score(values, "", "mean", images["image_id"], list(toys.zoo()))
        expected = expected + weight / deviation * scores["score"]
    assert np.allclose(stages.scores["score"], expected, atol=1e-6)


def test_an_encoder_without_layers_is_refused(training, store):
    class Flat:
        def __repr__(self):
            return "Flat()"

    sentence = r"^a mix of layers needs an encoder with layers; Flat\(\) has none$"
    with pytest.raises(ValueError, match=sentence):
        Layers(toys.Teller(), Flat(), size=16).fit(training, toys.zoo(), store=store)
