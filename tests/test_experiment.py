from __future__ import annotations

import json

import pandas as pd
import pytest

from tests import toys
from workbench import catalogue, experiment
from workbench.attributors.regeneration import Regeneration
from workbench.catalogue import Preset
from workbench.inverters.natural import Natural
from workbench.similarities.cosine import Cosine
from workbench.similarities.mse import NegativeMSE


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
    return experiment.evaluate_preset(preset, n, store=store, **(given | options))


def test_the_summary_has_everything_the_command_prints(preset, store):
    found = evaluate(preset, store)
    summary = json.loads(json.dumps(found.summary, allow_nan=False))
    assert set(summary) == {
        "settings", "accuracy", "coverage", "accuracy_accepted", "per_model", "top2", "mrr",
        "confusion", "controls",
    }  # fmt: skip
    assert summary["accuracy"]["n"] == 20
    assert set(summary["accuracy"]) == {"value", "low", "high", "n"}
    assert summary["confusion"]["labels"] == ["red", "green", "blue", "grey"]
    assert sum(map(sum, summary["confusion"]["counts"])) == 20
    assert set(summary["controls"]) == {"natural", "arbitrary_bank", "matched_bank", "chance"}
    assert summary["controls"]["chance"] == {"value": 0.25}
    assert summary["settings"]["gamma"] == 2
    assert summary["settings"]["threshold"] is None


def test_distinct_tints_are_told_apart_with_the_natural_prompt(preset, store):
    found = evaluate(preset, store, inverter="natural", similarity=NegativeMSE())
    assert found.summary["accuracy"]["value"] == 1.0
    assert found.summary["controls"]["natural"]["value"] == 1.0
    assert found.summary["controls"]["matched_bank"] is None  # no text tower
    assert found.sentence == ""


def test_every_model_gets_the_same_prompts_and_more_extend_fewer(preset, store):
    few = evaluate(preset, store, n=3).frames["images"]
    more = evaluate(preset, store, n=6).frames["images"]
    assert few.groupby("source")["prompt"].agg(sorted).map(tuple).nunique() == 1
    assert set(few["image_id"]) < set(more["image_id"])
    assert set(few["prompt"]) <= set(catalogue.prompts(preset, "evaluation"))


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
    assert found.summary["accuracy"] == pytest.approx(
        {"value": 0.75, "low": 0.75, "high": 0.75, "n": 20}
    )
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
    found = experiment.evaluate(methods, images, toys.zoo(), store=store)
    table = found["evaluations"].query("metric == 'accuracy' and slice == 'all'")
    assert list(table["attributor"]) == [repr(each) for each in methods.values()]
    assert (table["n"] == 12).all()
    again = experiment.evaluate(list(methods.values()), images, toys.zoo(), store=store)
    pd.testing.assert_frame_equal(again["evaluations"], found["evaluations"])


def test_n_is_bounded_by_the_prompts(preset, store):
    with pytest.raises(ValueError, match=r"^n must be between 1 and the 20 prompts there are"):
        evaluate(preset, store, n=21)
