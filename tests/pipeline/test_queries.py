"""Pictures of known source, to be asked about."""

from __future__ import annotations

from tests.support import toys
from workbench import pipeline


def test_equal_pictures_of_two_models_are_one_image_and_two_truths(store):
    zoo = {"a": toys.Toy((1, 0, 0)), "b": toys.Toy((1, 0, 0))}
    images, truth = pipeline.make_queries(["one", "two"], zoo, store)
    assert len(images) == 2
    assert sorted(truth["truth"]) == ["a", "a", "b", "b"]


def test_queries_that_fail_stand_in_the_truth_alone(store):
    images, truth = pipeline.make_queries(["one", "forbidden"], toys.zoo(), store)
    assert len(images) == 4
    lost = truth[truth["failure"].notna()]
    assert len(lost) == 4
    assert lost["image_id"].str.startswith("query:").all()
    assert lost["image_id"].is_unique


def test_models_share_their_noise_unless_it_is_asked_to_be_independent(store):
    zoo = {"a": toys.Toy((1, 0, 0)), "b": toys.Toy((1, 0, 0))}
    images, truth = pipeline.make_queries(["one", "two"], zoo, store, independent=True)
    assert len(images) == 4  # what would be equal pictures of equal models no longer are
    assert sorted(truth["truth"]) == ["a", "a", "b", "b"]
    alone, _ = pipeline.make_queries(["one"], {"b": zoo["b"]}, store, independent=True)
    assert set(alone["image_id"]) <= set(images["image_id"])  # neither company nor order enters
