"""What a run will draw, against what it then drew."""

from __future__ import annotations

import dataclasses

import pytest

from tests.support import toys
from workbench import pipeline
from workbench.attributors.regeneration import Regeneration
from workbench.catalogue import registry
from workbench.catalogue.presets import Preset
from workbench.catalogue.setting import Setting
from workbench.evaluation import benchmark, reckoning
from workbench.inverters.natural import Natural
from workbench.similarities.cosine import Cosine
from workbench.store.store import Store

TEXTS = ["one", "two", "three"]
MODELS = len(toys.TINTS)
GAMMA = 2


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def _setting(log=None, inverter=None):
    row = Preset("toys", tuple(toys.TINTS), "teller", "mean", gamma=GAMMA, size=16)
    zoo = toys.zoo(log)
    return Setting(row, None, zoo, inverter or toys.Teller(), Cosine(toys.Mean()))


def _evaluate(setting, store, natural=True):
    """Draw test images and candidates as an evaluation does; return how many pictures."""
    log = next(iter(setting.zoo.values())).log
    before = sum(map(len, log))
    images, truth = pipeline.make_queries(TEXTS, setting.zoo, store)
    inverters = [setting.inverter, Natural()] if natural else [setting.inverter]
    methods = [Regeneration(x, setting.similarity, gamma=GAMMA, size=16) for x in inverters]
    benchmark.evaluate(methods, images, setting.zoo, truth=truth, store=store)
    return sum(map(len, log)) - before


@pytest.mark.parametrize("natural", [True, False])
def test_an_empty_store_is_reckoned_at_most_and_a_full_one_exactly(store, natural):
    """At most: N·K test images, each with its own caption, γ·K pictures of each; none after."""
    setting = _setting(log=[])
    before = reckoning.evaluation(setting, TEXTS, natural=natural, store=store)
    queries = len(TEXTS) * MODELS
    known = len(TEXTS) if natural else 0
    assert before.pictures == queries + (queries + known) * GAMMA * MODELS
    assert (before.stored, before.captions) == (0, queries)
    made = _evaluate(setting, store, natural)
    assert 0 < made <= before.pictures
    after = reckoning.evaluation(setting, TEXTS, natural=natural, store=store)
    assert (after.pictures, after.stored, after.captions) == (0, made, 0)
    assert after.line == f"Nothing is to be drawn: the store has all {made} pictures."
    assert _evaluate(setting, store, natural) == 0


def test_of_a_store_that_was_filled_by_half_the_rest_is_reckoned_exactly(store):
    """Captions are known then: what a larger γ and another model add is no estimate."""
    setting = _setting(log=[])
    _evaluate(setting, store)
    more = toys.Toy((1, 1, 0), log=setting.zoo["red"].log)
    larger = dataclasses.replace(setting, zoo={**setting.zoo, "yellow": more})
    told = reckoning.evaluation(larger, TEXTS, store=store)
    shares = {share.generator: share for share in told.shares}
    assert shares["red"].stored == shares["blue"].stored > 0
    assert told.captions == len(TEXTS)  # of the test images of the new model alone
    assert shares["yellow"].pictures == len(TEXTS) + shares["red"].stored - len(TEXTS) + (
        len(TEXTS) * GAMMA
    )  # as many candidates as the others have, and those of its own test images
    assert _evaluate(larger, store) <= told.pictures


def test_captions_that_repeat_are_expected_to_repeat(store):
    """Teller knows eight words: of many pictures few captions are new."""
    setting = _setting(log=[])
    _evaluate(setting, store)
    distinct, whole = store.captions(repr(setting.inverter))
    assert distinct < whole == len(TEXTS) * MODELS
    told = reckoning.evaluation(setting, [*TEXTS, "four"], natural=False, store=store)
    assert told.sharing == pytest.approx(distinct / whole)
    fresh = 1 * MODELS  # test images, each perhaps with a new caption
    assert told.pictures == fresh + fresh * GAMMA * MODELS
    expected = sum(share.expected for share in told.shares)
    assert expected == pytest.approx(fresh + fresh * told.sharing * GAMMA * MODELS)


def test_the_time_of_a_picture_is_the_median_of_those_made_here(store):
    setting = _setting(log=[])
    slow = {name: dataclasses.replace(x, wait=0.02) for name, x in setting.zoo.items()}
    setting = dataclasses.replace(setting, zoo=slow)
    _evaluate(setting, store)
    told = reckoning.evaluation(setting, [*TEXTS, "four"], store=store)
    for share in told.shares:
        assert share.timed > 0
        assert 0.004 < share.seconds < 0.2  # .02 s a call of up to four
    assert told.seconds == pytest.approx(sum(s.expected * s.seconds for s in told.shares))
    assert told.untimed == []
    assert f"about {reckoning.duration(told.seconds)} of drawing" in told.line


def test_the_known_prompt_is_one_caption_for_all_pictures(store):
    setting = _setting(inverter=Natural(text="one"))
    told = reckoning.evaluation(setting, TEXTS, natural=False, store=store)
    assert told.pictures == len(TEXTS) * MODELS + GAMMA * MODELS


def test_a_model_without_weights_is_reckoned_by_its_row(store, monkeypatch):
    """Of real checkpoints that nobody fetched: 1,000 pictures, four candidates each."""
    told = reckoning.attribution("modern", 1000, store=store)
    assert {share.pictures for share in told.shares} == {4000}
    assert [share.generator for share in told.shares] == registry.zoos()["modern"]
    assert told.untimed == [share.generator for share in told.shares]
    assert told.bytes == 4000 * 3 * (6 * 1024**2 + 1328**2)  # Qwen-Image's side
    assert told.line.startswith("Will make up to 28,000 pictures, in a time not known of sdxl, ")
    rows = reckoning.rows_of("generator")
    rows["sdxl"] = dataclasses.replace(rows["sdxl"], seconds=3.0)
    monkeypatch.setattr(reckoning, "rows_of", lambda role: rows)
    told = reckoning.attribution("modern", 1000, store=store)
    assert (told.shares[0].seconds, told.shares[0].timed) == (3.0, 0)
    assert told.seconds == 12_000


def test_hosted_models_cost_what_their_rows_say(store):
    rows = reckoning.rows_of("generator")
    hosted = next(name for name, row in rows.items() if row.hosted)
    own = dataclasses.replace(rows[hosted], options=dict(rows[hosted].options) | {"price": 0.04})
    models = {"painter": registry.plugin_class("hosted", "generator")(own), **toys.zoo()}
    row = Preset("mixed", tuple(models), "teller", "mean", gamma=GAMMA, size=16)
    setting = Setting(row, None, models, Natural(), Cosine(toys.Mean()))
    told = reckoning.evaluation(setting, TEXTS, store=store)
    assert told.dollars == pytest.approx(0.04 * (len(TEXTS) + len(TEXTS) * GAMMA))
    assert "at most $0.36" in told.line


def test_no_picture_makes_no_sense(store):
    with pytest.raises(ValueError, match=r"^at least one picture is to be attributed; seen 0$"):
        reckoning.attribution("modern", 0, store=store)
