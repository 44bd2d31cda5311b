from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.attributors.conftest import accuracy
from tests.support import toys
from workbench import pipeline
from workbench.attributors.probe import Probe


def vectors(images, store):
    return pipeline.encode(images["image_id"], toys.Mean(), store, 16).matrix.astype(np.float64)


def matrix(scores, images):
    wide = scores.pivot(index="image_id", columns="generator", values="score")
    return wide.loc[images["image_id"]].to_numpy()


def test_scores_are_log_probabilities_and_find_the_easy_models(images, training, store):
    method = Probe(toys.Mean(), size=16).fit(training, toys.zoo(), store=store)
    scores = method(images, toys.zoo(), store=store).scores
    assert np.allclose(np.exp(matrix(scores, images)).sum(axis=1), 1)
    assert accuracy(scores, images) == 1


@pytest.mark.parametrize("strength", [0.1, 10.0])
def test_torch_minimises_the_same_loss_to_the_same_probabilities(strength, images, training, store):
    method = Probe(toys.Mean(), strength=strength, size=16)
    scores = method.fit(training, toys.zoo(), store=store)(images, toys.zoo(), store=store).scores
    learned, tests = vectors(training, store), vectors(images, store)
    mean, deviation = learned.mean(axis=0), learned.std(axis=0)
    inputs = torch.tensor((learned - mean) / deviation)
    truth = torch.tensor([sorted(toys.zoo()).index(name) for name in training["source"]])
    weights = torch.zeros(4, inputs.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    descent = torch.optim.LBFGS(
        [weights, bias], max_iter=500, tolerance_grad=1e-10, line_search_fn="strong_wolfe"
    )

    def loss():
        descent.zero_grad()
        logits = inputs @ weights.T + bias
        fit = torch.nn.functional.cross_entropy(logits, truth, reduction="sum")
        value = fit + (weights**2).sum() / (2 * strength)
        value.backward()
        return value

    descent.step(loss)
    logits = torch.tensor((tests - mean) / deviation) @ weights.T + bias
    expected = torch.log_softmax(logits, dim=1).detach().numpy()
    assert np.allclose(matrix(scores, images), expected, atol=1e-4)


def test_two_models_agree_with_scikit_learn(images, training, store):
    zoo = {name: toys.zoo()[name] for name in ("red", "blue")}
    images, training = (table[table["source"].isin(zoo)] for table in (images, training))
    scores = Probe(toys.Mean(), size=16).fit(training, zoo, store=store)(images, zoo, store=store)
    theirs = make_pipeline(StandardScaler(), LogisticRegression())
    theirs.fit(vectors(training, store), training["source"])
    expected = theirs.predict_log_proba(vectors(images, store))
    assert np.allclose(matrix(scores.scores, images), expected, atol=1e-3)


def test_the_strength_is_above_zero():
    with pytest.raises(ValueError, match=r"^the strength of a probe is above 0; seen 0$"):
        Probe(toys.Mean(), strength=0)
