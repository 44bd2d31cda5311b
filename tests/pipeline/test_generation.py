"""Candidate images: full batches, seeds of their own, gamma."""

from __future__ import annotations

import pytest

from tests.pipeline.conftest import queries
from tests.support import toys
from workbench import frames, pipeline
from workbench.inverters.natural import Natural
from workbench.keys import candidate_seed, query_seed
from workbench.store.store import Store


def test_calls_are_full_batches_grouped_over_prompts(store):
    log: list[list[str]] = []
    table = queries(store, texts=("one", "two", "three"))
    prompts = pipeline.invert(table, Natural(), store)
    pipeline.generate(prompts, {"red": toys.zoo(log)["red"]}, 2, 0, store)
    assert [len(call) for call in log] == [4, 2]


def test_candidates_depend_on_neither_company_nor_order(store, tmp_path):
    table = queries(store)
    prompts = pipeline.invert(table, Natural(), store)
    whole = pipeline.generate(prompts, toys.zoo(), 2, 0, store)
    other = Store(tmp_path / "other")
    alone = pipeline.generate(prompts.iloc[[1]], toys.zoo(), 2, 0, other)
    key = ["prompt_id", "generator", "index", "candidate_id", "seed"]
    merged = alone[key].merge(whole[key])
    assert len(merged) == len(alone) == 8


def test_queries_and_candidates_never_share_a_seed(store):
    prompts = pipeline.invert(queries(store), Natural(), store)
    one = pipeline.generate(prompts, toys.zoo(), 2, 0, store)
    two = pipeline.generate(prompts, toys.zoo(), 2, 0, store, draw=query_seed)
    assert not set(one["seed"]) & set(two["seed"])
    assert list(one["seed"].iloc[:2]) == [candidate_seed(0, "one", i) for i in (0, 1)]


def test_a_plug_in_that_answers_too_few_is_told_so(store):
    class Lazy(toys.Toy):
        def __call__(self, prompts, seeds):
            return super().__call__(prompts, seeds)[1:]

    prompts = pipeline.invert(queries(store), Natural("one"), store)
    with pytest.raises(ValueError, match=r"gave 1 answers to 2 inputs$"):
        pipeline.generate(prompts, {"a": Lazy((1, 0, 0))}, 2, 0, store)


def test_a_generator_without_source_is_used_but_not_cached(store):
    space: dict = {"toys": toys, "__name__": "nowhere"}
    exec("class Mine(toys.Toy):\n def __call__(self, p, s): return super().__call__(p, s)", space)
    log: list[list[str]] = []
    prompts = pipeline.invert(queries(store), Natural("one"), store)
    for _ in range(2):
        made = pipeline.generate(prompts, {"a": space["Mine"]((1, 0, 0), log=log)}, 2, 0, store)
    assert len(log) == 2
    store.picture(made["candidate_id"][0])


def test_one_that_cannot_be_seeded_is_handed_the_index(store):
    seen: list[int] = []

    class Hosted(toys.Toy):
        seedable = False

        def __call__(self, prompts, seeds):
            seen.extend(seeds)
            return super().__call__(prompts, seeds)

    prompts = pipeline.invert(queries(store), Natural("one"), store)
    pipeline.generate(prompts, {"a": Hosted((1, 0, 0))}, 3, 0, store)
    pipeline.generate(prompts, {"a": Hosted((1, 0, 0))}, 3, 1, store)  # the run seed says nothing
    assert seen == [0, 1, 2]


def test_gamma_is_at_least_one(store):
    with pytest.raises(ValueError, match=r"^gamma, the candidate images per model, is at least 1"):
        pipeline.generate(frames.empty("prompts"), toys.zoo(), 0, 0, store)
