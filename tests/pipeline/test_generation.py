"""Candidate images: full batches, seeds of their own, gamma."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.pipeline.conftest import queries
from tests.support import toys
from workbench import frames, images, pipeline
from workbench.generators import BLACKED, Failure
from workbench.inverters.natural import Natural
from workbench.keys import candidate_seed, digest, query_seed, redrawn_seed
from workbench.pipeline.cache import CachedPlugin
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


@dataclass(frozen=True)
class Prudish(toys.Toy):
    """A toy whose checker blacks pictures of some seeds, as that of Stable Diffusion does."""

    share: float = 0.5

    def _paint(self, prompt, seed):
        blacked = int(digest(["prudish", seed])[:4], 16) < self.share * 0x10000
        return Failure(BLACKED) if blacked else super()._paint(prompt, seed)


def test_a_blacked_candidate_is_drawn_again_from_its_own_next_seed(store, tmp_path):
    """γ stays equal: half of all seeds are blacked, and of 16 candidates 16 are there."""
    prompts = pipeline.invert(queries(store), Natural("one"), store)
    log: list[list[str]] = []
    plain, zoo = toys.Toy((1, 0, 0)), {"red": Prudish((1, 0, 0), log=log)}
    made = pipeline.generate(prompts, zoo, 16, 0, store)
    assert made["failure"].isna().all()
    first = [candidate_seed(0, "one", index) for index in range(16)]
    later = made["seed"] != first
    assert 0 < later.sum() < 16
    for row in made.itertuples():
        own = first[row.index]
        sequence = [own, *(redrawn_seed(own, number) for number in range(1, 5))]
        assert row.seed == next(s for s in sequence if not _blacked(s))
        (picture,) = plain(["one"], [row.seed])
        assert images.digest(picture) == row.candidate_id
    assert pipeline.redrawn(prompts, made) == {"red": later.sum()}
    calls = len(log)
    again = pipeline.generate(prompts, zoo, 16, 0, store)
    assert (list(again["candidate_id"]), len(log)) == (list(made["candidate_id"]), calls)
    fewer = pipeline.generate(prompts, zoo, 4, 0, Store(tmp_path / "other"))
    assert list(fewer["candidate_id"]) == list(made["candidate_id"][:4])


def _blacked(seed):
    (answer,) = Prudish((1, 0, 0))(["one"], [seed])
    return isinstance(answer, Failure)


def test_a_picture_blacked_in_an_older_store_is_drawn_again_and_the_others_stay(store):
    """The rows that an earlier version left: failures under the first seed's key."""
    prompts = pipeline.invert(queries(store), Natural("one"), store)
    log: list[list[str]] = []
    toy = Prudish((1, 0, 0), log=log)
    maker = CachedPlugin("generator", toy, store)
    seeds = [candidate_seed(0, "one", index) for index in range(8)]
    jobs = {maker.key(prompt="one", seed=seed): seed for seed in seeds}
    kept = maker.generations(
        jobs, lambda seed: seed, lambda some: toy(["one"] * len(some), some), lambda _: None
    )
    log.clear()
    made = pipeline.generate(prompts, {"red": toy}, 8, 0, store)
    assert made["failure"].isna().all()
    good = [kept[key].picture for key in jobs if kept[key].picture]
    assert set(good) < set(made["candidate_id"])
    drawn = [line for call in log for line in call]
    assert not any(line.endswith(f" {seed}") for line in drawn for seed in seeds)


def test_where_every_seed_is_blacked_the_failure_says_how_many(store):
    prompts = pipeline.invert(queries(store), Natural("one"), store)
    log: list[list[str]] = []
    made = pipeline.generate(prompts, {"red": Prudish((1, 0, 0), log=log, share=1)}, 1, 0, store)
    assert made["failure"][0] == f"{BLACKED}, and those of 4 further seeds"
    assert made["seed"][0] == candidate_seed(0, "one", 0)
    assert sum(map(len, log)) == 5
    assert pipeline.redrawn(prompts, made) == {}
