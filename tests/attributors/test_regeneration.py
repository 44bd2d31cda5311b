"""Regeneration and its controls; the laws of every attributor stand in tests/contracts."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from tests.support import toys
from workbench import catalogue, ranking
from workbench.attributors.adaptive import Adaptive
from workbench.attributors.reference_bank import ReferenceBank
from workbench.attributors.regeneration import Regeneration
from workbench.inverters.natural import Natural
from workbench.keys import prompt_id
from workbench.similarities.cosine import Cosine
from workbench.similarities.mse import NegativeMSE

CAPTIONS = tuple(f"caption {i}" for i in range(12))
METHODS = {
    "regeneration": Regeneration(toys.Teller(), Cosine(toys.Mean()), gamma=2, size=16),
    "adaptive": Adaptive(toys.Teller(), NegativeMSE(), gamma=6, step=3, size=16),
    "matched": ReferenceBank(
        Natural(), Cosine(toys.Mean()), gamma=2, size=16, prompts=CAPTIONS, bank=8
    ),
    "arbitrary": ReferenceBank(
        Natural(), NegativeMSE(), gamma=3, size=16, prompts=CAPTIONS, matched=False
    ),
}


RACING = {"adaptive"}  # when it stops depends on who runs


@pytest.mark.parametrize("name", [name for name in METHODS if name not in RACING])
def test_a_model_added_leaves_the_scores_of_the_others(name, images, store):
    method = METHODS[name]
    few = {name: toy for name, toy in toys.zoo().items() if name != "grey"}
    one = method(images, few, store=store).scores
    two = method(images, toys.zoo(), store=store).scores
    both = one.merge(two, on=["image_id", "generator"])
    assert len(both) == len(one)
    pd.testing.assert_series_equal(both["score_x"], both["score_y"], check_names=False)


def test_more_candidates_extend_fewer(images, store):
    two = Regeneration(Natural(), NegativeMSE(), gamma=2, size=16)
    three = Regeneration(Natural(), NegativeMSE(), gamma=3, size=16)
    few = two(images, toys.zoo(), store=store).similarities
    more = three(images, toys.zoo(), store=store).similarities
    assert len(few.merge(more)) == len(few)


def test_a_bank_shows_every_model_the_same_captions(images, store):
    for name, gamma in (("matched", 2), ("arbitrary", 3)):
        values = METHODS[name](images, toys.zoo(), store=store).similarities
        shown = values.groupby(["image_id", "generator"])["prompt_id"].agg(frozenset)
        assert {len(each) for each in shown} == {gamma}
        assert (shown.groupby("image_id").nunique() == 1).all()
        known = {prompt_id(text) for text in CAPTIONS}
        assert set(values["prompt_id"]) <= known


def test_a_matched_bank_takes_the_nearest_captions(images, store):
    values = METHODS["matched"](images, toys.zoo(), store=store).similarities
    near = toys.Mean().text(["one"]) @ toys.Mean().text(CAPTIONS[:8]).T
    best = {prompt_id(CAPTIONS[i]) for i in near[0].argsort()[::-1][:2]}
    image = images.loc[images["prompt"] == "one", "image_id"].iloc[0]
    assert set(values.loc[values["image_id"] == image, "prompt_id"]) == best


def test_an_arbitrary_bank_draws_by_image_and_seed_and_inverts_nothing(images, store):
    method = METHODS["arbitrary"]
    one = method(images, toys.zoo(), store=store)
    assert one.prompts.empty
    drawn = one.similarities.groupby("image_id")["prompt_id"].agg(frozenset)
    assert drawn.nunique() > 1
    two = method(images, toys.zoo(), store=store, seed=1)
    other = two.similarities.groupby("image_id")["prompt_id"].agg(frozenset)
    assert (drawn != other).any()
    assert set(two.candidates["run_seed"]) == {0}  # the bank itself stays


def test_the_bank_is_no_larger_than_it_says():
    method = METHODS["matched"]
    assert "bank=8" in repr(method)
    assert method._captions() == CAPTIONS[:8]
    with pytest.raises(
        ValueError, match=r"^a bank of 12 captions allows a gamma of 1 to 12; seen 13"
    ):
        ReferenceBank(Natural(), NegativeMSE(), gamma=13, prompts=CAPTIONS)


def test_a_matched_bank_needs_a_text_tower(images, store):
    method = ReferenceBank(Natural(), NegativeMSE(), gamma=2, size=16, prompts=CAPTIONS)
    sentence = (
        "a matched bank needs a similarity over an encoder with a text tower; "
        "NegativeMSE() has none"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        method(images, toys.zoo(), store=store)


def test_other_captions_are_another_attributor():
    one = ReferenceBank(Natural(), NegativeMSE(), prompts=CAPTIONS)
    two = ReferenceBank(Natural(), NegativeMSE(), prompts=CAPTIONS[1:])
    assert repr(one) != repr(two)


def test_the_name_reads_back():
    method = Regeneration(Natural(), NegativeMSE(), aggregate="knn", gamma=8)
    again = catalogue.parse(repr(method), {"Regeneration": Regeneration})
    assert again == method


def test_the_right_model_wins_on_easy_pictures(images, store):
    scores = Regeneration(Natural(), NegativeMSE(), gamma=2, size=16)(
        images, toys.zoo(), store=store
    ).scores
    decided = ranking.decide(ranking.rank(scores)).merge(images, on="image_id")
    assert (decided["predicted"] == decided["source"]).all()
