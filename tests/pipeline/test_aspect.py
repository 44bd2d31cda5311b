"""A picture that is not square: what is inverted, drawn and compared has one aspect."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image

from tests.support import toys
from workbench import frames, images, pipeline
from workbench.attributors.adaptive import Adaptive
from workbench.attributors.regeneration import Regeneration
from workbench.pipeline.aspect import BUCKETS, bucket_of, cut, in_bucket, nearest
from workbench.similarities.cosine import Cosine


@dataclass(frozen=True)
class Shaped(toys.Toy):
    """A toy that draws in buckets."""

    bucket: tuple[int, int] = (8, 8)

    def shaped(self, bucket):
        return replace(self, bucket=bucket)

    def _paint(self, prompt, seed):
        sides = tuple(toys.SIDE * part // 8 for part in self.bucket)
        return super()._paint(prompt, seed).resize(sides)


@dataclass(frozen=True)
class Seen(toys.Teller):
    """Tell the sides of a picture."""

    def __call__(self, pictures):
        return [replace(toys.Teller()([each])[0], text=f"{each.size}") for each in pictures]


ZOO = {name: Shaped(tint) for name, tint in toys.TINTS.items()}
SQUARES = {name: toys.Toy(tint) for name, tint in toys.TINTS.items()}


@pytest.fixture
def table(store):
    """List a square picture, one of 5 to 3, one that is nearly square, and a failed one."""
    rng = np.random.default_rng(0)
    sides = ((16, 16, 3), (30, 52, 3), (30, 31, 3))
    pictures = [Image.fromarray(rng.integers(0, 256, each, dtype=np.uint8)) for each in sides]
    rows = [{"image_id": store.put_picture(each)} for each in pictures]
    return frames.build("images", [*rows, {"image_id": "path:x", "failure": "gone"}])


def test_the_nearest_bucket_of_its_own_sides_is_itself_and_mirrors():
    for width, height in BUCKETS:
        assert nearest((width * 40, height * 40)) == (width, height)
        assert nearest((height * 40, width * 40)) == (height, width)


def test_a_cut_is_the_largest_centred_part_and_of_a_square_the_one_that_is_fitted():
    picture = Image.fromarray(np.arange(30 * 52 * 3, dtype=np.uint8).reshape(30, 52, 3))
    assert cut(picture, (10, 6)).size == (50, 30)
    assert cut(picture, (10, 6)).tobytes() == picture.crop((1, 0, 51, 30)).tobytes()
    assert images.digest(cut(picture, (8, 8))) == images.digest(images.fit(picture, 30))
    assert cut(Image.new("RGB", (900, 1)), (6, 10)).size == (1, 1)


def test_the_inverter_and_the_models_see_the_bucket_where_all_draw_it(store, table):
    ids = list(table["image_id"])
    views = pipeline.views(table, ZOO, store)
    assert {name: view.sides for name, view in views.items()} == {
        ids[1]: (10, 6), ids[2]: (8, 8),
    }  # fmt: skip
    prompts = pipeline.invert(table, Seen(), store, views=views)
    assert list(prompts["prompt"][:3]) == ["(16, 16)", "(50, 30)", "(30, 30)"]
    drawn = pipeline.generate(prompts, ZOO, 2, 0, store)
    sides = {row.prompt_id: store.picture(row.candidate_id).size for row in drawn.itertuples()}
    assert [sides[name] for name in prompts["prompt_id"][:3]] == [(16, 16), (20, 12), (16, 16)]
    assert len(drawn) == 3 * 2 * len(ZOO)
    one = {**ZOO, "red": SQUARES["red"]}
    assert {view.sides for view in pipeline.views(table, one, store).values()} == {(8, 8)}
    with pytest.raises(ValueError, match=r"^not every model draws 10 by 6: red, "):
        pipeline.generate(prompts, one, 2, 0, store)


def test_a_prompt_of_two_buckets_has_candidates_in_both(store):
    ids = [in_bucket("a", sides) for sides in ((8, 8), (10, 6), (6, 10))]
    assert [bucket_of(name) for name in ids] == [(8, 8), (10, 6), (6, 10)]
    plain = pipeline.generate(prompts_of(["one"], [(8, 8)]), ZOO, 2, 0, store)
    both = pipeline.generate(prompts_of(["one", "one"], [(10, 6), (8, 8)]), ZOO, 2, 0, store)
    assert len(both) == 2 * len(plain)
    same = both[both["prompt_id"].isin(plain["prompt_id"])].reset_index(drop=True)
    assert same[["candidate_id", "seed"]].equals(plain[["candidate_id", "seed"]])
    other = both[~both["prompt_id"].isin(plain["prompt_id"])]
    assert list(other["seed"]) == list(plain["seed"])
    assert {store.picture(name).size for name in other["candidate_id"]} == {(20, 12)}


def prompts_of(texts, sides):
    import pandas as pd

    from workbench.keys import prompt_id

    ids = [in_bucket(prompt_id(text), each) for text, each in zip(texts, sides, strict=True)]
    return pd.DataFrame({"prompt_id": ids, "prompt": texts})


def test_a_treatment_is_of_the_part_that_is_compared(store):
    scene = Image.fromarray(np.random.default_rng(1).integers(0, 256, (30, 45, 3), dtype=np.uint8))
    table = frames.build("images", [{"image_id": store.put_picture(scene)}])
    (name,) = table["image_id"]
    views = pipeline.views(table, ZOO, store)
    assert store.picture(views[name].picture).size == (45, 27)
    assert pipeline.treatments(table, store)[name].side == 30
    assert pipeline.treatments(table, store, views=views)[name].side == 27


def test_what_is_compared_is_the_cut_picture_and_adaptive_agrees(store, table):
    log: list[list[str]] = []
    fields = {"aggregate": "max", "gamma": 2, "size": 12, "alike": True}
    similarity = Cosine(toys.Mean(log=log))
    whole = Regeneration(toys.Teller(), similarity, **fields)(table, ZOO, store=store)
    name = table["image_id"][1]
    part = whole.similarities[whole.similarities["image_id"] == name]
    row = part.merge(whole.candidates, on=["prompt_id", "generator", "index"]).iloc[0]
    shown = [cut(store.picture(name), (10, 6)), store.picture(row["candidate_id"])]
    one, two = ([images.fit(each, 12)] for each in shown)
    assert row["value"] == pytest.approx(similarity(one, two)[0, 0])
    again = Adaptive(toys.Teller(), similarity, step=2, **fields)(table, ZOO, store=store)
    assert set(again.candidates["candidate_id"]) == set(whole.candidates["candidate_id"])
