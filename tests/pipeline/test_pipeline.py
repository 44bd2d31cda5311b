from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support import toys
from tests.support.models import tiny
from workbench import frames, images, pipeline
from workbench.attacks import own_rng, without_intensity
from workbench.attacks.jpeg import JPEG
from workbench.attributors.regeneration import Regeneration
from workbench.encoders.open_clip import OpenClip
from workbench.generators.diffusers import Diffusers
from workbench.inverters.blip import Blip
from workbench.inverters.natural import Natural
from workbench.keys import candidate_seed, query_seed
from workbench.similarities.cosine import Cosine
from workbench.similarities.mse import NegativeMSE
from workbench.store.store import Store
from workbench.weights import loading


def queries(store: Store, texts=("one", "two"), prompt=True) -> pd.DataFrame:
    """Put a picture of every toy model and text into the store; answer the images frame."""
    rows = []
    for name, toy in toys.zoo(refuses="nothing").items():
        for picture, text in zip(toy(list(texts), [7] * len(texts)), texts, strict=True):
            rows.append(
                {
                    "image_id": store.put_picture(picture),
                    "source": name,
                    "prompt": text if prompt else None,
                }
            )
    return frames.build("images", rows)


def test_the_stages_lead_from_picture_to_similarities(store):
    table = queries(store)
    prompts = pipeline.invert(table, Natural(), store)
    candidates = pipeline.generate(prompts, toys.zoo(), 3, 0, store)
    assert len(candidates) == 2 * 4 * 3  # distinct prompts, not pictures
    values = pipeline.similarity(table, prompts, candidates, Cosine(toys.Mean()), store, 16)
    assert len(values) == 8 * 4 * 3
    mean = values.groupby(["image_id", "generator"])["value"].mean().unstack()
    assert list(mean.loc[table["image_id"]].idxmax(axis=1)) == list(table["source"])


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


def test_a_failed_image_and_a_failed_candidate_stay_as_rows(store):
    table = queries(store, texts=("one", "forbidden"))
    lost = frames.build("images", [{"image_id": "file:0", "failure": "it is damaged"}])
    table = pd.concat([table, lost], ignore_index=True)
    prompts = pipeline.invert(table, Natural(), store)
    assert prompts.set_index("image_id").loc["file:0", "failure"] == "it is damaged"
    candidates = pipeline.generate(prompts, toys.zoo(), 2, 0, store)
    failed = candidates[candidates["failure"].notna()]
    assert set(failed["failure"]) == {"this toy refuses the prompt"}
    assert len(failed) == 8
    values = pipeline.similarity(table, prompts, candidates, NegativeMSE(), store, 16)
    assert int(values["value"].isna().sum()) == int((table["prompt"] == "forbidden").sum()) * 8
    assert "file:0" not in set(values["image_id"])


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


def test_all_layers_come_from_one_pass_and_serve_single_layers(store):
    log: list[list[str]] = []
    ids = list(queries(store)["image_id"])
    found = pipeline.encode_layers(ids, toys.Mean(log=log), [None, 1, 2], store, 16)
    assert [len(call) for call in log] == [8]
    alone = pipeline.encode(ids, toys.Mean(2, log), store, 16)
    assert len(log) == 1
    np.testing.assert_array_equal(alone.matrix, found[2].matrix)
    assert alone.encoder == "Mean(layer=2)"


def test_a_picture_at_its_path_is_taken_in(store, tmp_path):
    picture = toys.zoo()["red"](["one"], [1])[0]
    picture.save(tmp_path / "x.png")
    table = images.frame(images.index([tmp_path / "x.png"]))
    assert pipeline.invert(table, toys.Teller(), store)["prompt"].notna().all()


def test_progress_counts_to_the_end(store):
    seen: list[tuple[str, int, int]] = []
    table = queries(store)
    tell = lambda *step: seen.append(step)  # noqa: E731
    prompts = pipeline.invert(table, toys.Teller(), store, tell)
    candidates = pipeline.generate(prompts, toys.zoo(), 2, 0, store, tell)
    pipeline.similarity(table, prompts, candidates, Cosine(toys.Mean()), store, 16, tell)
    last = {stage: (done, total) for stage, done, total in seen}
    assert list(last) == ["invert", "generate", "encode", "similarity"]
    assert all(done == total for done, total in last.values())
    made = [done for stage, done, _ in seen if stage == "generate"]
    assert made == sorted(made)


def test_gamma_is_at_least_one(store):
    with pytest.raises(ValueError, match=r"^gamma, the candidate images per model, is at least 1"):
        pipeline.generate(frames.empty("prompts"), toys.zoo(), 0, 0, store)


def test_no_images_give_empty_frames(store):
    table = frames.empty("images")
    prompts = pipeline.invert(table, toys.Teller(), store)
    candidates = pipeline.generate(prompts, toys.zoo(), 2, 0, store)
    values = pipeline.similarity(table, prompts, candidates, Cosine(toys.Mean()), store, 16)
    assert len(prompts) == len(candidates) == len(values) == 0


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
