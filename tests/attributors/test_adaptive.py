"""Regeneration in rounds: the beginning of what Regeneration draws, and its answer."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from tests.support import toys
from workbench import frames, pipeline, ranking
from workbench.attributors.adaptive import Adaptive
from workbench.attributors.regeneration import Regeneration
from workbench.inverters.natural import Natural
from workbench.ranking import elimination
from workbench.similarities.mse import NegativeMSE

GAMMA, STEP = 9, 3
KEY = ["image_id", "generator"]


@pytest.fixture
def store(shared_store):
    return shared_store  # what one test made, the next finds


def methods(step=STEP, delta=0.05, bound=None, **fields):
    """Make the adaptive attributor, and Regeneration of the same candidates."""
    shared = {"gamma": GAMMA, "size": 16} | fields
    return (
        Adaptive(Natural(), NegativeMSE(), step=step, delta=delta, bound=bound, **shared),
        Regeneration(Natural(), NegativeMSE(), **shared),
    )


def twins(log=None) -> dict[str, toys.Toy]:
    """Gather two models that are hard to tell apart and one that is not."""
    return {
        "one": toys.Toy((1, 0, 0), noise=0.3, log=log),
        "two": toys.Toy((0.99, 0, 0), noise=0.3, log=log),
        "far": toys.Toy((0, 1, 0), noise=0.3, log=log),
    }


def queries(zoo, store, texts=("a", "b", "c", "d")):
    return pipeline.make_queries(list(texts), zoo, store)[0]


def drawn(stages, images) -> pd.Series:
    """Count the similarities of each image and model."""
    return (
        stages.similarities.groupby(KEY)
        .size()
        .reindex(
            pd.MultiIndex.from_product([images["image_id"], stages.scores["generator"].unique()])
        )
    )


@pytest.mark.parametrize("aggregate", ["mean", "max"])
def test_distinct_models_take_one_round(aggregate, store):
    zoo = toys.zoo()
    images = queries(zoo, store)
    adaptive, plain = methods(aggregate=aggregate, delta=0.5)
    few, whole = (method(images, zoo, store=store) for method in (adaptive, plain))
    assert set(drawn(few, images)) == {STEP}
    assert len(few.candidates) == 4 * 4 * STEP
    assert best(few) == best(whole)


def best(stages) -> dict[str, str]:
    ranked = ranking.rank(stages.scores)
    ranked = ranked[ranked["rank"] == 1]
    return dict(zip(ranked["image_id"], ranked["generator"], strict=True))


def test_models_that_cannot_be_told_apart_take_every_round(store):
    zoo = {"one": toys.Toy((1, 0, 0)), "two": toys.Toy((1, 0, 0))}
    images = queries(zoo, store)
    adaptive, plain = methods()
    few, whole = (method(images, zoo, store=store) for method in (adaptive, plain))
    assert set(drawn(few, images)) == {GAMMA}
    same(few, whole)


def same(few, whole) -> None:
    """Hold two stages to the same rows, whatever their order and the attributor's name."""
    for name in ("prompts", "candidates", "similarities", "scores"):
        one, two = (
            getattr(each, name).drop(columns=["attributor", "seconds"], errors="ignore")
            for each in (few, whole)
        )
        key = list(frames.SCHEMAS[name].key)
        key = [column for column in key if column in one]
        pd.testing.assert_frame_equal(
            one.sort_values(key, ignore_index=True), two.sort_values(key, ignore_index=True)
        )


@pytest.mark.parametrize(
    "fields",
    [{"step": GAMMA}, {"gamma": 2}, {"bound": 1e9}, {"bound": 1e9, "aggregate": "softmax"}],
)
def test_it_is_regeneration_where_nothing_can_be_dropped(fields, store):
    zoo = twins()
    images = queries(zoo, store)
    adaptive, plain = methods(**fields)
    same(adaptive(images, zoo, store=store), plain(images, zoo, store=store))


def test_it_draws_the_beginning_of_what_regeneration_draws(store):
    zoo = twins()
    images = queries(zoo, store)
    adaptive, plain = methods()
    few, whole = (method(images, zoo, store=store) for method in (adaptive, plain))
    key = ["prompt_id", "generator", "index", "seed", "candidate_id"]
    assert len(few.candidates.merge(whole.candidates, on=key)) == len(few.candidates)
    assert len(few.similarities.merge(whole.similarities)) == len(few.similarities)
    count = drawn(few, images)
    assert set(count) <= set(elimination.counts(GAMMA, STEP))
    assert len(few.similarities) < len(images) * len(zoo) * GAMMA
    assert (count.unstack()["far"] < count.unstack()["one"]).any()
    made = few.candidates.groupby(["prompt_id", "generator"])["index"].agg(["min", "max", "size"])
    assert (made["min"] == 0).all()
    assert (made["max"] + 1 == made["size"]).all()  # indices without a gap


def test_an_image_takes_no_similarity_of_what_only_another_one_drew(store):
    zoo = twins()
    images = queries(zoo, store, ["a"])  # three images of one prompt
    adaptive, _ = methods()
    whole = adaptive(images, zoo, store=store)
    assert drawn(whole, images).unstack().nunique().max() > 1
    for row in range(len(images)):
        alone = adaptive(images.iloc[[row]], zoo, store=store)
        image = images["image_id"][row]
        for name in ("scores", "similarities"):
            frame = getattr(whole, name)
            pd.testing.assert_frame_equal(
                getattr(alone, name), frame[frame["image_id"] == image].reset_index(drop=True)
            )


def test_a_round_of_all_images_goes_to_a_model_in_full_batches_and_nothing_is_made_twice(store):
    log: list[list[str]] = []
    zoo = twins(log)
    images = queries(zoo, store, ["e", "f", "g", "h"])
    log.clear()
    adaptive, _ = methods(step=4, gamma=12)
    one = adaptive(images, zoo, store=store)
    made = [line for call in log for line in call]
    assert len(made) == len(set(made)) == len(one.candidates)
    assert {len(call) for call in log[:12]} == {4}  # 3 models × 4 prompts × 4 pictures, by four
    calls = len(log)
    again = adaptive(images, zoo, store=store)
    assert len(log) == calls
    pd.testing.assert_frame_equal(again.scores, one.scores)


def test_what_cannot_be_kept_in_the_store_is_not_made_twice_either(store):
    asked = []

    def nameless(prompts, seeds):  # a closure has no identity
        asked.extend(zip(prompts, seeds, strict=True))
        return toys.Toy((1, 0, 0))(prompts, seeds)

    zoo = {"one": nameless, "two": toys.Toy((1, 0, 0))}
    images = queries({"one": zoo["two"], "two": zoo["two"]}, store, ["z"])
    adaptive, _ = methods()
    stages = adaptive(images, zoo, store=store)
    assert len(asked) == len(set(asked)) == (stages.candidates["generator"] == "one").sum()


def test_progress_counts_the_pictures_of_a_round(store):
    seen: list[tuple[str, int, int]] = []
    zoo = toys.zoo()
    adaptive, _ = methods()
    images = queries(zoo, store)
    adaptive(images, zoo, store=store, progress=lambda *told: seen.append(told))
    told = [(done, total) for stage, done, total in seen if stage == "generate"]
    assert told[-1][0] == told[-1][1]
    assert {total for _, total in told[:4]} == {4 * 4 * STEP}
    assert all(done <= total for done, total in told)


def test_a_refused_prompt_ends_without_scores(store):
    zoo = toys.zoo()
    images = queries(zoo, store, ["fine"]).assign(prompt="forbidden")
    adaptive, _ = methods()
    stages = adaptive(images, zoo, store=store)
    assert stages.scores["score"].isna().all()
    assert stages.candidates["failure"].notna().all()


def test_no_images_no_rows(store):
    adaptive, _ = methods()
    stages = adaptive(frames.empty("images"), toys.zoo(), store=store)
    assert [len(each) for each in (stages.prompts, stages.candidates, stages.scores)] == [0, 0, 0]


@pytest.mark.parametrize("aggregate", ["mean", "max", "softmax"])
def test_a_fitted_bound_gives_the_answers_of_its_calibration_pictures(aggregate, store):
    zoo = twins()
    images = queries(zoo, store, [f"fit {i}" for i in range(12)])
    adaptive, plain = methods(aggregate=aggregate, delta=0.2)
    whole = plain(images, zoo, store=store)
    fitted = adaptive.bounded(whole.similarities, images)
    assert fitted.bound == pytest.approx(float(repr(fitted).partition("bound=")[2][:-1]))
    few = fitted(images, zoo, store=store)
    assert len(few.similarities) < len(whole.similarities)
    one, two = best(few), best(whole)
    wrong = np.mean([one[image] != two[image] for image in one])
    assert wrong <= 0.2  # 12 prompts and one to come


def test_a_fit_takes_enough_prompts(store):
    zoo = twins()
    images = queries(zoo, store, ["a", "b"])
    adaptive, plain = methods()
    whole = plain(images, zoo, store=store)
    sentence = "at delta 0.05 a bound needs more calibration prompts; seen 2"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        adaptive.bounded(whole.similarities, images)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"gamma": 0}, "gamma and step are at least 1; seen gamma 0, step 4"),
        ({"step": 0}, "gamma and step are at least 1; seen gamma 16, step 0"),
        ({"delta": 1.0}, "delta, the chance of an error, lies in (0, 1); seen 1.0"),
        (
            {"aggregate": "knn"},
            "models cannot be dropped by 'knn'; there are: mean, max, softmax",
        ),
    ],
)
def test_fields_that_make_no_sense_are_told(fields, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Adaptive(Natural(), NegativeMSE(), **fields)
