from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from tests.attributors.conftest import accuracy
from tests.support import toys
from workbench import pipeline
from workbench.attributors.knn import KNN


def vectors(images, store):
    return pipeline.encode(images["image_id"], toys.Mean(), store, 16).matrix


def test_the_nearest_of_its_own_training_pictures_is_the_picture_itself(training, store):
    method = KNN(toys.Mean(), k=1, size=16).fit(training, toys.zoo(), store=store)
    scores = method(training, toys.zoo(), store=store).scores
    assert accuracy(scores, training) == 1
    assert set(scores["score"].round(3)) == {0.0, 1.0}


@pytest.mark.parametrize("k", [1, 3, 5, 24])
def test_votes_agree_with_scikit_learn_and_the_mean_settles_the_rest(k, images, training, store):
    method = KNN(toys.Mean(), k=k, size=16).fit(training, toys.zoo(), store=store)
    scores = method(images, toys.zoo(), store=store).scores
    ours = scores.pivot(index="image_id", columns="generator", values="score")
    learned, tests = vectors(training, store), vectors(images, store)
    theirs = KNeighborsClassifier(k, metric="cosine").fit(learned, training["source"])
    votes = theirs.predict_proba(tests)
    means = np.stack(
        [(tests @ learned[training["source"] == name].T).mean(axis=1) for name in theirs.classes_]
    )
    found = ours.loc[images["image_id"], theirs.classes_].to_numpy()
    assert np.allclose(found, votes + 1e-6 * means.T, atol=1e-9)


def test_fewer_training_pictures_than_k_vote_all(images, training, store):
    few = KNN(toys.Mean(), k=500, size=16).fit(training, toys.zoo(), store=store)
    scores = few(images, toys.zoo(), store=store).scores["score"]
    assert np.allclose(scores, 1 / 4, atol=2e-6)
    assert scores.nunique() > 4


def test_a_part_of_the_models_keeps_its_scores(images, training, store):
    method = KNN(toys.Mean(), size=16).fit(training, toys.zoo(), store=store)
    two = {name: toys.zoo()[name] for name in ("red", "grey")}
    some, whole = (method(images, zoo, store=store).scores for zoo in (two, toys.zoo()))
    assert len(some.merge(whole)) == len(some) == 16


def test_k_is_at_least_one():
    with pytest.raises(ValueError, match=r"^k, the neighbours that vote, is at least 1; seen 0$"):
        KNN(toys.Mean(), k=0)
