from __future__ import annotations

import json
import math
from dataclasses import replace

import pandas as pd
import pytest

from tests.support import toys
from workbench import frames, pipeline
from workbench.attacks.jpeg import JPEG
from workbench.attributors.regeneration import Regeneration
from workbench.catalogue import presets
from workbench.catalogue.presets import Preset
from workbench.catalogue.setting import settle
from workbench.evaluation import benchmark, calibration
from workbench.inverters.empty import Empty
from workbench.inverters.natural import Natural
from workbench.similarities.cosine import Cosine
from workbench.similarities.mse import NegativeMSE
from workbench.store.store import Store


@pytest.fixture
def store(shared_store):
    return shared_store  # what one test made, the next finds


@pytest.fixture
def preset(tmp_path):
    path = tmp_path / "prompts.csv"
    lines = [f"scene {i},{split}" for i, split in enumerate(["calibration", "evaluation"] * 20)]
    path.write_text("\n".join(["prompt,split", *lines]) + "\n")
    return Preset("toy", "pocket", "natural", "ssim", size=16, gamma=2, prompts=str(path))


def evaluate(preset, store, n=5, **options):
    given = {"zoo": toys.zoo(), "inverter": toys.Teller(), "similarity": Cosine(toys.Mean())}
    given["controls"] = "all"
    return benchmark.evaluate_preset(preset, n, store=store, **(given | options))


def test_a_hybrid_is_fitted_before_it_is_evaluated(preset, store):
    found = evaluate(preset, store, similarity="Hybrid((NegativeMSE(), PSNR()))")
    kinds = {"regeneration", "natural", "arbitrary_bank"}
    assert set(found.attributors) == {*kinds, "colour_alone"}
    for kind in kinds:
        assert "Hybrid((NegativeMSE(), PSNR()), means=(" in found.attributors[kind]
    assert found.summary["settings"]["threshold"] is None


def test_the_summary_has_everything_the_command_prints(preset, store):
    found = evaluate(preset, store)
    summary = json.loads(json.dumps(found.summary, allow_nan=False))
    assert set(summary) == {
        "settings", "accuracy", "warnings", "coverage", "accuracy_accepted", "per_model", "top2",
        "mrr", "cllr", "confusion", "controls",
    }  # fmt: skip
    assert summary["accuracy"]["n"] == 20
    assert set(summary["accuracy"]) == {"value", "low", "high", "n"}
    assert summary["confusion"]["labels"] == ["red", "green", "blue", "grey"]
    assert sum(map(sum, summary["confusion"]["counts"])) == 20
    assert set(summary["controls"]) == {
        "natural", "arbitrary_bank", "matched_bank", "colour_alone", "size_alone", "chance",
    }  # fmt: skip
    assert summary["controls"]["size_alone"] == {"value": 0.25}, "toys draw one size"
    assert summary["controls"]["chance"] == {"value": 0.25}
    assert summary["settings"]["gamma"] == 2
    assert summary["settings"]["threshold"] is None


def test_distinct_tints_are_told_apart_with_the_natural_prompt(preset, store):
    found = evaluate(preset, store, inverter="natural", similarity=NegativeMSE())
    assert found.summary["accuracy"]["value"] == 1.0
    assert found.summary["controls"]["natural"]["value"] == 1.0
    assert found.summary["controls"]["matched_bank"] is None  # no text tower
    assert found.sentence == ""


@pytest.mark.parametrize(
    ("controls", "run"),
    [
        ("none", {"regeneration", "colour_alone"}),
        ("natural", {"regeneration", "colour_alone", "natural"}),
    ],
)
def test_only_the_controls_asked_for_are_run(preset, store, controls, run):
    found = evaluate(preset, store, n=2, controls=controls)
    assert set(found.attributors) == run
    assert found.summary["controls"]["arbitrary_bank"] is None
    with pytest.raises(ValueError, match=r"^no controls named 'some'; there are: none"):
        evaluate(preset, store, controls="some")


def test_a_confidence_decides_and_its_ratios_have_a_cost(preset, store):
    learned = calibration.threshold(settle(preset, zoo=toys.zoo()), 5, store=store)
    setting = replace(settle(preset, zoo=toys.zoo()), confidence=learned.confidence)
    found = benchmark.evaluate_preset(setting, 5, store=store)
    limits = set(learned.confidence.thresholds.values())
    assert found.summary["coverage"] == (0.0 if limits == {math.inf} else 1.0)
    assert found.summary["cllr"]["n"] == 20
    assert 0 <= found.summary["cllr"]["minimum"] <= found.summary["cllr"]["cllr"] < 0.5
    assert len(found.frames["probabilities"]) == 80


def test_every_model_gets_the_same_prompts_and_more_extend_fewer(preset, store):
    few = evaluate(preset, store, n=3).frames["images"]
    more = evaluate(preset, store, n=6).frames["images"]
    assert few.groupby("source")["prompt"].agg(sorted).map(tuple).nunique() == 1
    assert set(few["image_id"]) < set(more["image_id"])
    assert set(few["prompt"]) <= set(presets.prompts(preset, "evaluation"))


def test_the_second_time_nothing_is_made_and_all_is_equal(preset, store):
    log: list[list[str]] = []
    zoo, mean = toys.zoo(log), Cosine(toys.Mean(log=log))
    one = evaluate(preset, store, zoo=zoo, similarity=mean, inverter=toys.Teller(log))
    calls = len(log)
    two = evaluate(preset, store, zoo=zoo, similarity=mean, inverter=toys.Teller(log))
    assert len(log) == calls
    for name, frame in one.frames.items():
        pd.testing.assert_frame_equal(frame, two.frames[name])


def test_an_inverter_by_name_takes_its_parts_from_the_preset(preset, store):
    lent = Preset(**{**vars(preset), "inverter": 'Natural(text="scene 1")', "labels": "pocket"})
    found = evaluate(lent, store, n=2, inverter="interrogator")
    name = 'Interrogator(Natural(text="scene 1"), Mean(layer=None), labels="pocket")'
    assert found.summary["settings"]["inverter"] == name
    assert found.frames["prompts"]["prompt"].str.contains("scene 1").all()
    assert found.frames["prompts"]["score"].notna().all()


def test_refused_prompts_are_misses(preset, store):
    zoo = {**toys.zoo(), "blue": toys.Toy((0, 0, 1), refuses="scene")}
    found = evaluate(preset, store, zoo=zoo, inverter="natural", similarity=NegativeMSE())
    assert found.summary["per_model"]["blue"]["value"] == 0.0
    accuracy = found.summary["accuracy"]
    assert (accuracy["value"], accuracy["n"]) == (0.75, 20)
    assert accuracy["low"] < 0.75 < accuracy["high"]  # five prompts that agree are still five
    lost = found.frames["outcomes"].query("truth == 'blue'")
    assert set(lost["failure"]) == {"this toy refuses the prompt"}
    assert found.sentence.startswith("Failures: 25%")


def test_an_override_drops_the_threshold_and_the_same_value_does_not(preset, store):
    calibrated = Preset(**{**vars(preset), "threshold": 0.01, "threshold_from": "a test"})
    found = evaluate(calibrated, store, n=2, gamma=3)
    assert found.summary["settings"]["threshold"] is None
    assert calibrated.override(gamma=2).threshold == 0.01


def test_frames_are_saved_as_parquet(preset, store, tmp_path):
    found = evaluate(preset, store, n=2)
    folder = found.save(tmp_path / "deep" / "out")
    for name, frame in found.frames.items():
        pd.testing.assert_frame_equal(pd.read_parquet(folder / f"{name}.parquet"), frame)
    assert json.loads((folder / "summary.json").read_text()) == found.summary


def test_progress_names_who_is_working(preset, store):
    seen: dict[str, tuple[int, int]] = {}
    evaluate(preset, store, n=2, progress=lambda s, d, t: seen.update({s: (d, t)}))
    assert {"pictures: generate", "regeneration: invert", "natural: generate"} <= set(seen)
    assert all(done == total for done, total in seen.values())


def test_any_attributors_run_in_one_loop(preset, store):
    images = evaluate(preset, store, n=3).frames["images"]
    methods = {"cosine": Regeneration(Natural(), Cosine(toys.Mean()), gamma=2, size=16)}
    methods["mse"] = Regeneration(Natural(), NegativeMSE(), gamma=2, size=16)
    found = benchmark.evaluate(methods, images, toys.zoo(), store=store)
    table = found["evaluations"].query("metric == 'accuracy' and slice == 'all'")
    assert list(table["attributor"]) == [repr(each) for each in methods.values()]
    assert (table["n"] == 12).all()
    again = benchmark.evaluate(list(methods.values()), images, toys.zoo(), store=store)
    pd.testing.assert_frame_equal(again["evaluations"], found["evaluations"])


def attacked(preset, store, *attacks, log=None, **options):
    images = evaluate(preset, store, n=3).frames["images"]
    methods = {"mse": Regeneration(Natural(), NegativeMSE(), gamma=2, size=16)}
    return benchmark.evaluate(
        methods, images, toys.zoo(log), attacks=attacks, store=store, **options
    )


def accuracies(found) -> dict[tuple[str, float], float]:
    table = found["evaluations"].query("metric == 'accuracy' and slice == 'all'")
    assert set(table["n"]) == {12}
    return {(row.attack, row.intensity): row.value for row in table.itertuples()}


def test_evaluations_tell_the_attack_and_its_intensity(preset, store):
    attacks = [toys.Stain(25), toys.Stain(100), JPEG(intensity=50)]
    found = attacked(preset, store, *attacks)
    values = accuracies(found)
    assert list(values) == [("none", 0), ("Stain()", 25), ("Stain()", 100), ("JPEG()", 50)]
    assert values["none", 0] == 1.0
    assert values["Stain()", 100] < values["Stain()", 25]
    counts = found["outcomes"].groupby(["attack", "intensity"]).size()
    assert set(counts) == {12}
    assert len(found["images"]) > 36
    assert set(found["images"]["attack"]) == {"none", "Stain()", "JPEG()"}


def test_without_attacks_nothing_changes(preset, store):
    calm, found = attacked(preset, store), attacked(preset, store, toys.Stain(50))
    assert set(calm["evaluations"]["attack"]) == set(calm["outcomes"]["attack"]) == {"none"}
    for name in ("evaluations", "outcomes"):
        same = found[name].query("attack == 'none'").reset_index(drop=True)
        pd.testing.assert_frame_equal(same, calm[name])


def test_candidates_are_reused_where_the_prompt_is_the_same(preset, store):
    log: list[list[str]] = []
    calm = attacked(preset, store, log=log)
    assert log == []  # made by the evaluation before, or by another test
    found = attacked(preset, store, toys.Stain(40), JPEG(intensity=30), log=log)
    assert log == []
    pd.testing.assert_frame_equal(found["candidates"], calm["candidates"])


def test_pictures_that_become_equal_stay_as_many_as_they_were(preset, store):
    """All black is one image: it is attributed to one of four models, which is right in 1 / 4."""
    found = attacked(preset, store, toys.Black())
    assert accuracies(found) == {("none", 0): 1.0, ("Black()", 50): 0.25}
    assert len(found["images"]) == 13
    dark = found["outcomes"].query("attack == 'Black()'")
    assert len(dark) == 12
    assert dark["image_id"].nunique() == 1


def test_an_attack_at_intensity_0_changes_no_outcome(preset, store):
    found = attacked(preset, store, toys.Stain(0))
    assert accuracies(found) == {("none", 0): 1.0, ("Stain()", 0): 1.0}
    assert len(found["images"]) == 12


def test_an_attack_that_fails_is_a_miss_with_its_reason(preset, store):
    images = evaluate(preset, store, n=3).frames["images"]
    bad = tuple(images["image_id"].iloc[:3])
    found = attacked(preset, store, toys.Stain(10, refuses=bad))
    name = f"Stain(refuses={bad!r})"
    assert accuracies(found)[name, 10] <= 9 / 12
    lost = found["outcomes"][found["outcomes"]["failure"].notna()]
    assert list(lost["failure"]) == ["this toy refuses the picture"] * 3
    assert set(lost["attack"]) == {name}


def test_the_same_attack_twice_counts_once_and_nothing_is_made_again(preset, store):
    log: list[list[str]] = []
    attack = toys.Stain(33, log=log)
    seen: dict[str, tuple[int, int]] = {}
    one = attacked(preset, store, attack, attack, progress=lambda s, d, t: seen.update({s: (d, t)}))
    assert len(log) == 12
    assert seen[f"{attack!r}: attack"] == (12, 12)
    two = attacked(preset, store, attack)
    assert len(log) == 12
    for name, frame in one.items():
        pd.testing.assert_frame_equal(frame, two[name])


def test_a_query_that_could_not_be_made_is_a_miss_under_every_attack(preset, store):
    zoo = {**toys.zoo(), "blue": toys.Toy((0, 0, 1), refuses="scene")}
    images, truth = pipeline.make_queries(presets.prompts(preset, "evaluation")[:3], zoo, store)
    methods = {"mse": Regeneration(Natural(), NegativeMSE(), gamma=2, size=16)}
    found = benchmark.evaluate(
        methods, images, zoo, truth=truth, attacks=[toys.Stain(10)], store=store
    )
    lost = found["outcomes"][found["outcomes"]["failure"].notna()]
    assert list(lost.groupby("attack").size()) == [3, 3]
    assert set(lost["failure"]) == {"this toy refuses the prompt"}
    assert set(accuracies(found)) == {("none", 0), ("Stain()", 10)}


def test_n_is_bounded_by_the_prompts(preset, store):
    with pytest.raises(ValueError, match=r"^n must be between 1 and the 20 prompts there are"):
        evaluate(preset, store, n=21)


def cross(preset, store, gamma=2, log=None, n=3, **options):
    texts = presets.prompts(preset, "evaluation")[:n]
    images, truth = pipeline.make_queries(texts, toys.zoo(), store)
    given = {
        "inverters": [Natural(), toys.Teller(log)],
        "similarities": [Cosine(toys.Mean(log=log)), Cosine(toys.Mean(2, log)), NegativeMSE()],
    }
    given |= options
    return benchmark.crossed(
        images, truth, toys.zoo(log), gamma=gamma, store=store, size=16, **given
    )


def test_crossing_has_every_inverter_and_every_similarity(preset, store):
    found = cross(preset, store)
    assert list(found) == ["images", "truth", "prompts", "candidates", "similarities"]
    assert list(found["prompts"]["inverter"].unique()) == ["Natural()", "Teller()"]
    assert len(found["prompts"]) == 2 * 12
    names = ["Cosine(Mean(layer=None))", "Cosine(Mean(layer=2))", "NegativeMSE()"]
    assert list(found["similarities"]["similarity"].unique()) == names
    assert set(found["similarities"].groupby(["image_id", "similarity"]).size()) <= {8, 16}
    assert (found["candidates"]["seconds"] > 0).all()
    for name in ("images", "prompts", "candidates", "similarities"):
        pd.testing.assert_frame_equal(found[name], frames.check(found[name], name))


def test_a_part_of_a_crossing_is_what_an_attributor_of_it_answers(preset, store):
    found = cross(preset, store, gamma=3)
    for inverter, similarity in [(Natural(), NegativeMSE()), (toys.Teller(), Cosine(toys.Mean(2)))]:
        method = Regeneration(inverter, similarity, gamma=3, size=16)
        alone = method(found["images"], toys.zoo(), store=store).similarities
        prompts = found["prompts"].query("inverter == @inverter.__repr__()")
        part = found["similarities"].query("similarity == @similarity.__repr__()")
        part = part.merge(prompts[["image_id", "prompt_id"]])
        key = ["image_id", "generator", "index"]
        pd.testing.assert_frame_equal(
            part.sort_values(key, ignore_index=True), alone.sort_values(key, ignore_index=True)
        )


def test_layers_of_one_encoder_share_a_pass(preset, tmp_path):
    log: list[list[str]] = []
    cross(preset, Store(tmp_path / "store"), log=log)
    encoded = [line for lines in log for line in lines if line.startswith("encode")]
    assert len(encoded) == len(set(encoded)) > 0


def test_two_inverters_that_find_the_same_prompt_share_its_candidates(preset, store):
    found = cross(preset, store, inverters=[Natural(text=""), Empty(), Empty()])
    assert len(found["prompts"]) == 2 * 12
    assert len(found["candidates"]) == 4 * 2
    assert len(found["similarities"]) == 3 * 12 * 4 * 2


def test_crossing_tells_its_progress_and_what_is_missing(preset, store):
    seen: dict[str, tuple[int, int]] = {}
    cross(preset, store, progress=lambda s, d, t: seen.update({s: (d, t)}))
    assert {"Teller(): invert", "generate", "encode", "NegativeMSE(): similarity"} <= set(seen)
    assert all(done == total for done, total in seen.values())
    sentence = "crossing needs at least one inverter and one similarity; seen 2 and 0"
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        cross(preset, store, similarities=[])
