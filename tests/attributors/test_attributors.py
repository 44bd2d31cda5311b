from __future__ import annotations

import re
from importlib import invalidate_caches

import pandas as pd
import pytest

from tests import toys
from tests.contracts import plugins
from workbench import attributors, catalogue, evaluation, frames, ranking
from workbench.attributors.adaptive import Adaptive
from workbench.attributors.reference_bank import ReferenceBank
from workbench.attributors.regeneration import Regeneration
from workbench.inverters.natural import Natural
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


def without_example() -> list[str]:
    """List the attributors that no method above stands for, those dropped in as a file too."""
    kinds = {type(method) for method in METHODS.values()}
    stems = plugins.stems("attributors")
    found = [kind for stem in stems for kind in plugins.classes("attributors", stem)]
    return [kind.__name__ for kind in found if kind not in kinds]


def test_every_attributor_is_held_to_the_laws_below():
    assert without_example() == []


def test_an_attributor_dropped_in_as_a_file_is_caught(tmp_path, monkeypatch):
    (tmp_path / "dropped_attributor.py").write_text(
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Dropped:\n    pass\n"
    )
    monkeypatch.setattr(attributors, "__path__", [*attributors.__path__, str(tmp_path)])
    invalidate_caches()
    assert without_example() == ["Dropped"]


@pytest.fixture
def store(shared_store):
    return shared_store  # what one test made, the next finds


@pytest.fixture
def images(store):
    return evaluation.queries(["one", "two"], toys.zoo(), store)[0]


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_attributor_scores_every_image_and_model(method, images, store):
    lost = frames.build("images", [{"image_id": "path:0", "failure": "there is no such file"}])
    table = pd.concat([images, lost], ignore_index=True)
    stages = method(table, toys.zoo(), store=store)
    for name in ("prompts", "candidates", "similarities", "scores"):
        frames.check(getattr(stages, name), name)
    assert len(stages.scores) == 9 * 4
    assert set(stages.scores["attributor"]) == {repr(method)}
    missing = stages.scores[stages.scores["score"].isna()]
    assert set(missing["image_id"]) == {"path:0"}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_answer_for_an_image_does_not_depend_on_company_or_order(method, images, store):
    whole = method(images, toys.zoo(), store=store).scores
    alone = method(images.iloc[[5]], toys.zoo(), store=store).scores
    expected = whole[whole["image_id"] == images["image_id"][5]].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, expected)
    turned = method(images.iloc[::-1], toys.zoo(), store=store).scores
    key = ["image_id", "generator"]
    pd.testing.assert_frame_equal(
        turned.sort_values(key, ignore_index=True), whole.sort_values(key, ignore_index=True)
    )


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
        known = {frames.prompt_id(text) for text in CAPTIONS}
        assert set(values["prompt_id"]) <= known


def test_a_matched_bank_takes_the_nearest_captions(images, store):
    values = METHODS["matched"](images, toys.zoo(), store=store).similarities
    near = toys.Mean().text(["one"]) @ toys.Mean().text(CAPTIONS[:8]).T
    best = {frames.prompt_id(CAPTIONS[i]) for i in near[0].argsort()[::-1][:2]}
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
