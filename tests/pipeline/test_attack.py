"""Attacked pictures: numbers of their own, made once, failures of their own."""

from __future__ import annotations

import pandas as pd

from tests.pipeline.conftest import queries
from tests.support import toys
from workbench import frames, images, pipeline
from workbench.attacks import own_rng, without_intensity
from workbench.attacks.jpeg import JPEG
from workbench.store.store import Store


def test_an_attacked_picture_is_the_attack_with_the_pictures_own_numbers(store):
    table = queries(store).assign(split="evaluation")
    attack = toys.Stain(intensity=25)
    made = pipeline.attack(table, attack, store, seed=3)
    pd.testing.assert_frame_equal(made, frames.check(made, "images"))
    assert list(made["parent_id"]) == list(table["image_id"])
    for kept in ("source", "prompt", "split"):
        assert list(made[kept]) == list(table[kept])
    assert set(made["attack"]) == {"Stain()"}
    assert set(made["intensity"]) == {25.0}
    assert made["path"].isna().all()
    greys = set()
    for row in made.itertuples():
        expected = attack(store.picture(row.parent_id), own_rng(attack, row.parent_id, 3))
        assert row.image_id == images.digest(expected)
        greys.add(store.picture(row.image_id).getpixel((0, 0)))
    assert len(greys) > 4, "every picture draws for itself"


def test_attacked_pictures_depend_on_neither_company_nor_order_and_are_made_once(store, tmp_path):
    log: list[list[str]] = []
    table = queries(store)
    whole = pipeline.attack(table, toys.Stain(log=log), store)
    assert len(log) == 8
    again = pipeline.attack(table, toys.Stain(log=log), store)
    pd.testing.assert_frame_equal(whole, again)
    assert len(log) == 8
    other = Store(tmp_path / "other")
    for name in table["image_id"]:
        other.put_picture(store.picture(name))
    alone = pipeline.attack(table.iloc[[5, 2]], toys.Stain(), other)
    assert list(alone["image_id"]) == [whole["image_id"][5], whole["image_id"][2]]
    assert set(pipeline.attack(table, toys.Stain(log=log), store, seed=1)["image_id"]).isdisjoint(
        whole["image_id"]
    )


def test_along_the_intensities_a_picture_keeps_its_own_numbers(store):
    table = queries(store)
    weak, strong = (pipeline.attack(table, toys.Stain(x), store) for x in (25, 75))
    for one, two in zip(weak["image_id"], strong["image_id"], strict=True):
        assert store.picture(one).getpixel((0, 0)) == store.picture(two).getpixel((9, 9))


def test_at_intensity_0_the_rows_are_the_images_own(store):
    log: list[list[str]] = []
    table = queries(store).assign(parent_id="older")
    calm = pipeline.attack(table, toys.Stain(0, log=log), store)
    assert log == []
    assert set(calm["attack"]) == {"Stain()"}
    same = ["image_id", "path", "source", "prompt", "split", "parent_id", "failure"]
    pd.testing.assert_frame_equal(calm[same], table[same])


def test_equal_pixels_after_an_attack_are_one_row_and_every_parent_knows_its_own(store):
    table = queries(store)
    made = pipeline.attack(table, toys.Black(), store)
    assert len(made) == 1
    assert made["parent_id"][0] == table["image_id"][0]
    each = pipeline.attacked(table, toys.Black(), store)
    assert list(each["parent_id"]) == list(table["image_id"])
    assert set(each["image_id"]) == {made["image_id"][0]}


def test_what_cannot_be_attacked_is_a_failure_of_that_picture(store):
    table = queries(store)
    lost = frames.build("images", [{"image_id": "file:0", "failure": "it is damaged"}])
    bad = table["image_id"][3]
    log: list[list[str]] = []
    attack = toys.Stain(refuses=(bad,), log=log)
    made = pipeline.attack(pd.concat([table, lost], ignore_index=True), attack, store)
    assert list(made["failure"].dropna()) == ["this toy refuses the picture", "it is damaged"]
    assert made["image_id"][3].startswith("attack:")
    assert made["parent_id"][3] == bad
    last = made.iloc[-1]
    assert (last["image_id"], last["attack"]) == ("file:0", without_intensity(attack))
    assert len(log) == 8
    prompts = pipeline.invert(made, toys.Teller(), store)
    assert prompts["failure"].notna().sum() == 2
    pipeline.attack(table, attack, store)
    assert len(log) == 8, "a failure that would come again is remembered"


def test_an_attack_that_ran_out_of_memory_is_tried_again(store):
    log: list[list[str]] = []

    class Hungry(toys.Stain):
        def __call__(self, image, rng):
            if not log:
                log.append(["full"])
                raise MemoryError("out of memory")
            return super().__call__(image, rng)

    table = queries(store)
    assert list(pipeline.attack(table, Hungry(), store)["failure"].dropna()) == ["out of memory"]
    assert pipeline.attack(table, Hungry(), store)["failure"].isna().all()


def test_a_plug_in_of_the_workbench_attacks_a_picture_at_its_path(store, tmp_path):
    toys.zoo()["red"](["one"], [1])[0].save(tmp_path / "x.png")
    table = images.frame(images.index([tmp_path / "x.png"]))
    seen: list[tuple[str, int, int]] = []
    made = pipeline.attack(table, JPEG(intensity=40), store, 0, lambda *step: seen.append(step))
    assert (made["attack"][0], made["intensity"][0]) == ("JPEG()", 40.0)
    assert store.picture(made["image_id"][0]).size == (toys.SIDE, toys.SIDE)
    assert seen[-1] == ("attack", 1, 1)
    assert len(pipeline.attack(frames.empty("images"), JPEG(), store)) == 0
