"""What is in the store is not made again; what may pass is not remembered."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pandas as pd
import pytest

from tests.pipeline.conftest import queries
from tests.support import toys
from tests.support.models import tiny
from workbench import pipeline
from workbench.attributors.regeneration import Regeneration
from workbench.encoders.open_clip import OpenClip
from workbench.generators.diffusers import Diffusers
from workbench.inverters.blip import Blip
from workbench.inverters.natural import Natural
from workbench.similarities.cosine import Cosine
from workbench.store.store import Store
from workbench.weights import loading


def test_what_is_in_the_store_is_not_made_again(store):
    log: list[list[str]] = []
    table = queries(store)
    calls = []
    for _ in range(2):
        prompts = pipeline.invert(table, toys.Teller(log), store)
        candidates = pipeline.generate(prompts, toys.zoo(log), 4, 0, store)
        pipeline.similarity(table, prompts, candidates, Cosine(toys.Mean(log=log)), store, 16)
        calls.append(len(log))
    assert calls[0] == calls[1]
    made = [line for call in log for line in call]
    pipeline.generate(prompts, toys.zoo(log), 5, 0, store)
    new = [line for call in log[calls[0] :] for line in call]
    assert len(new) == prompts["prompt"].nunique() * 4  # γ = 5 extends γ = 4
    assert not set(new) & set(made)


def test_what_may_pass_is_told_but_not_remembered(store):
    log: list[list[str]] = []

    class Hungry(toys.Toy):
        def __call__(self, prompts, seeds):
            if len(log) < 1:
                log.append(["full"])
                raise MemoryError("out of memory")
            return super().__call__(prompts, seeds)

    prompts = pipeline.invert(queries(store), Natural("one"), store)
    first = pipeline.generate(prompts, {"a": Hungry((1, 0, 0))}, 2, 0, store)
    assert list(first["failure"]) == ["out of memory"] * 2
    second = pipeline.generate(prompts, {"a": Hungry((1, 0, 0))}, 2, 0, store)
    assert second["failure"].isna().all()


@pytest.mark.slow
def test_real_models_are_not_loaded_where_all_is_in_the_store(store, monkeypatch):
    zoo = {name: Diffusers(tiny.checkpoint(name)) for name in ("tiny-sd", "tiny-ld")}
    encoder = OpenClip(tiny.checkpoint("tiny-clip"), layer=1)
    method = Regeneration(Blip(tiny.checkpoint("tiny-blip")), Cosine(encoder), gamma=2, size=32)
    table = queries(store, ("one",)).iloc[:1]
    first = method(table, zoo, store=store)

    def weights(checkpoint, loader):
        raise AssertionError(f"{checkpoint} was loaded")

    monkeypatch.setattr(loading, "load_weights", weights)
    again = method(table, zoo, store=store)
    for name in ("prompts", "candidates", "similarities", "scores"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(again, name))
    assert first.scores["score"].notna().all()


def _make(path: Path, log: Path, wait: float) -> None:
    store = Store(path)
    prompts = pipeline.invert(queries(store), Natural(), store)
    pipeline.generate(prompts, toys.zoo(log, wait=wait), 4, 0, store)


def test_two_processes_on_one_store_make_nothing_twice(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_make, args=(tmp_path / "store", tmp_path / "log", 0.02))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    made = (tmp_path / "log").read_text().splitlines()
    assert len(made) == len(set(made)) == 2 * 4 * 4
