from __future__ import annotations

import hashlib

import pandas as pd

from tests.attributors.conftest import accuracy
from tests.support import toys
from workbench import frames
from workbench.attributors.chance import Chance

MANY = frames.build(
    "images", [{"image_id": f"image {i}", "source": ["red", "blue"][i % 2]} for i in range(2000)]
)


def test_a_score_is_the_digest_of_seed_image_and_model(store):
    scores = Chance()(MANY[:1], toys.zoo(), store=store, seed=7).scores
    text = '["chance",7,"image 0","blue"]'
    expected = int(hashlib.sha256(text.encode()).hexdigest()[:13], 16) / 16**13
    assert scores.loc[scores["generator"] == "blue", "score"].tolist() == [expected]


def test_chance_is_one_in_k(store):
    scores = Chance()(MANY, toys.zoo(), store=store).scores
    assert abs(accuracy(scores, MANY) - 1 / 4) < 4 * (1 / 4 * 3 / 4 / 2000) ** 0.5
    assert scores["score"].between(0, 1, inclusive="left").all()
    assert abs(scores["score"].mean() - 0.5) < 4 * (1 / 12 / 8000) ** 0.5


def test_another_seed_scores_otherwise(store):
    one = Chance()(MANY[:20], toys.zoo(), store=store).scores
    two = Chance()(MANY[:20], toys.zoo(), store=store, seed=1).scores
    assert (one["score"] != two["score"]).all()


def test_one_more_model_leaves_the_scores_of_the_others(store):
    few = {"red": toys.zoo()["red"], "blue": toys.zoo()["blue"]}
    both = (
        Chance()(MANY[:20], few, store=store)
        .scores.merge(
            Chance()(MANY[:20], toys.zoo(), store=store).scores, on=["image_id", "generator"]
        )
        .reset_index()
    )
    pd.testing.assert_series_equal(both["score_x"], both["score_y"], check_names=False)
