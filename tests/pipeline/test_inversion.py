"""Prompts of pictures: a picture that has none is a failure of its own."""

from __future__ import annotations

from tests.pipeline.conftest import queries
from tests.support import toys
from workbench import images, pipeline
from workbench.inverters.natural import Natural


def test_natural_without_a_known_prompt_is_a_failure_of_that_picture(store):
    table = queries(store, prompt=False)
    table.loc[0, "prompt"] = "one"
    prompts = pipeline.invert(table, Natural(), store)
    assert prompts["failure"].isna().sum() == 1
    assert prompts["failure"][1] == "the known prompt of this picture is missing"
    assert set(pipeline.invert(table, Natural("two"), store)["prompt"]) == {"two"}


def test_an_inverter_that_fails_on_one_picture_harms_no_other(store):
    table = queries(store)
    bad = table["image_id"][3]

    class Picky(toys.Teller):
        def __call__(self, pictures):
            if bad in [images.digest(picture) for picture in pictures]:
                raise ValueError("this picture is odd")
            return super().__call__(pictures)

    prompts = pipeline.invert(table, Picky(), store).set_index("image_id")
    assert prompts.loc[bad, "failure"] == "this picture is odd"
    assert prompts["failure"].isna().sum() == 7


def test_a_picture_at_its_path_is_taken_in(store, tmp_path):
    picture = toys.zoo()["red"](["one"], [1])[0]
    picture.save(tmp_path / "x.png")
    table = images.frame(images.index([tmp_path / "x.png"]))
    assert pipeline.invert(table, toys.Teller(), store)["prompt"].notna().all()
