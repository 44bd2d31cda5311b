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
