"""Pictures of the toys: eight to attribute and twenty-four to learn from."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.support import toys
from workbench import pipeline


@pytest.fixture
def store(shared_store):
    return shared_store  # what one test made, the next finds


@pytest.fixture
def images(store) -> pd.DataFrame:
    return pipeline.make_queries(["one", "two"], toys.zoo(), store)[0]


@pytest.fixture
def training(store) -> pd.DataFrame:
    texts = ["three", "four", "five", "six", "seven", "eight"]
    return pipeline.make_queries(texts, toys.zoo(), store)[0]


def accuracy(scores: pd.DataFrame, images: pd.DataFrame) -> float:
    """Tell the share of images whose source has the highest score."""
    best = scores.loc[scores.groupby("image_id")["score"].idxmax()]
    both = best.merge(images, on="image_id")
    assert len(both) == len(images)
    return float((both["generator"] == both["source"]).mean())
