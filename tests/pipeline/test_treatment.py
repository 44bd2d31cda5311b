"""Candidate images go the way that the test picture went."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.evidence.test_treatment import scene
from tests.support import toys
from workbench import frames, images, pipeline
from workbench.attacks.jpeg import JPEG
from workbench.attacks.resize import Resize
from workbench.attributors.adaptive import Adaptive
from workbench.attributors.layers import Layers
from workbench.attributors.reference_bank import ReferenceBank
from workbench.attributors.regeneration import Regeneration
from workbench.evidence.treatment import Treatment
from workbench.inverters.natural import Natural
from workbench.similarities.cosine import Cosine
from workbench.similarities.psnr import PSNR

SIDE = 128


class Painter:
    """Paint detailed scenes; the seed moves them a little."""

    seedable = True

    def __init__(self, shade: int) -> None:
        self.shade = shade

    def __repr__(self) -> str:
        return f"Painter({self.shade})"

    def __call__(self, prompts, seeds):
        return [self._paint(*pair) for pair in zip(prompts, seeds, strict=True)]

    def _paint(self, prompt, seed):
        value = np.asarray(scene(len(prompt) + self.shade, SIDE), int)
        noise = np.random.default_rng(seed).integers(-3, 4, value.shape)
        return Image.fromarray((value + noise).clip(0, 255).astype(np.uint8))


ZOO = {"one": Painter(0), "two": Painter(50)}


@pytest.fixture
def queries(store):
    return pipeline.make_queries(["a", "a longer one"], ZOO, store)[0]


def regeneration(**fields):
    return Regeneration(Natural(), PSNR(), gamma=2, size=SIDE, **fields)


def test_each_picture_has_its_treatment_and_a_jpeg_file_tells_its_own(store, queries, tmp_path):
    picture = store.picture(queries["image_id"][0])
    picture.save(tmp_path / "it.jpg", quality=83)
    table = images.frame(images.index([tmp_path / "it.jpg"], keep=store.put_picture))
    (found,) = pipeline.treatments(table, store).values()
    assert found == Treatment(SIDE, quality=83)
    lost = frames.build("images", [{"image_id": "path:0", "failure": "there is no such file"}])
    assert pipeline.treatments(lost, store) == {}
    plain = pipeline.treatments(queries, store)
    assert list(plain) == list(queries["image_id"])
    assert all(each.plain for each in plain.values())


@pytest.mark.parametrize(
    ("attack", "expected"),
    [(JPEG(30), Treatment(SIDE, quality=70)), (Resize(50), Treatment(SIDE, SIDE // 2))],
)
def test_candidates_are_closer_again_when_they_are_treated_alike(store, queries, attack, expected):
    attacked = pipeline.attack(queries, attack, store)
    assert set(pipeline.treatments(attacked, store).values()) == {expected}
    clean, alike = (
        method(attacked, ZOO, store=store) for method in (regeneration(), regeneration(alike=True))
    )
    assert set(alike.treatments.values()) == {expected}
    own = attacked.rename(columns={"source": "generator"})[["image_id", "generator"]]
    near = [each.similarities.merge(own)["value"] for each in (clean, alike)]
    assert (near[1] > near[0]).all()
    assert clean.treatments == {}
    assert clean.candidates.equals(alike.candidates)


def test_what_was_not_treated_is_compared_as_before(store, queries):
    plain = regeneration()(queries, ZOO, store=store).similarities
    alike = regeneration(alike=True)(queries, ZOO, store=store)
    assert plain.equals(alike.similarities)
    assert repr(regeneration(alike=False)) == repr(regeneration())


def test_treated_pictures_are_kept_and_made_once(store, queries):
    pairs = queries[["image_id"]].assign(candidate_id=[*queries["image_id"][:3], None])
    done = dict.fromkeys(queries["image_id"], Treatment(SIDE, quality=50))
    ticks = []
    tell = lambda *step: ticks.append(step)  # noqa: E731
    made = pipeline.treated(pairs, done, store, tell)
    expected = [done[name](store.picture(name)) for name in queries["image_id"][:3]]
    assert made == [*map(images.digest, expected), None]
    assert ticks[-1] == ("treat alike", 3, 3)
    before = store.info()
    assert pipeline.treated(pairs, done, store) == made
    assert store.info() == before
    assert pipeline.treated(pairs, {}, store) == [*queries["image_id"][:3], None]


def test_of_a_picture_that_is_not_square_the_inverter_sees_what_is_compared(store):
    wide = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 30, 3), dtype=np.uint8))
    table = frames.build("images", [{"image_id": store.put_picture(wide), "source": "red"}])
    log: list[list[str]] = []
    whole = pipeline.invert(table, toys.Teller(log), store)
    square = pipeline.invert(table, toys.Teller(log), store, views=pipeline.views(table, {}, store))
    crop = images.fit(wide, 16)
    assert log == [[f"invert {images.digest(each)}"] for each in (wide, crop)]
    assert list(whole["image_id"]) == list(square["image_id"]) == list(table["image_id"])
    upright = frames.build("images", [{"image_id": store.put_picture(crop)}])
    pipeline.invert(upright, toys.Teller(log), store)
    assert len(log) == 2  # a square is its own square


def test_a_bank_is_treated_alike_too(store, queries):
    shared = {"gamma": 2, "size": SIDE, "prompts": ("a", "b c", "d e f"), "matched": False}
    attacked = pipeline.attack(queries, JPEG(60), store)
    clean, alike = (
        ReferenceBank(Natural(), Cosine(toys.Mean()), alike=alike, **shared)(
            attacked, ZOO, store=store
        )
        for alike in (False, True)
    )
    assert not clean.similarities["value"].equals(alike.similarities["value"])
    assert {each.quality for each in alike.treatments.values()} == {40}


def test_adaptive_treats_alike_as_regeneration_does(store, queries):
    attacked = pipeline.attack(queries, JPEG(60), store)
    whole = regeneration(alike=True)(attacked, ZOO, store=store)
    rounds = Adaptive(Natural(), PSNR(), gamma=2, size=SIDE, alike=True)
    found = rounds(attacked, ZOO, store=store)
    assert found.treatments == whole.treatments != {}
    keys = ["image_id", "generator", "index"]
    values = [each.similarities.sort_values(keys)["value"] for each in (found, whole)]
    assert np.array_equal(*values)
    assert repr(Adaptive(Natural(), PSNR(), alike=False)) == repr(Adaptive(Natural(), PSNR()))


def test_a_mix_of_layers_compares_treated_candidates(store, queries):
    attacked = pipeline.attack(queries, JPEG(60), store)
    found = []
    for alike in (False, True):
        method = Layers(Natural(), toys.Mean(), gamma=2, size=SIDE, alike=alike)
        fitted = method.fit(queries, ZOO, store=store)
        found.append(fitted(attacked, ZOO, store=store))
    clean, alike = found
    assert {each.quality for each in alike.treatments.values()} == {40}
    assert clean.treatments == {}
    assert clean.candidates.equals(alike.candidates)
    assert not clean.similarities["value"].equals(alike.similarities["value"])
