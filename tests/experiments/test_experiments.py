"""Every experiment runs on toy models, resumes from the store, and is drawn, told and compared."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from tests.support import toys
from tests.support.claims import unproven
from workbench import catalogue, experiments
from workbench.catalogue.presets import Preset
from workbench.catalogue.setting import settle
from workbench.evaluation import plan
from workbench.experiments import Bench
from workbench.similarities.cosine import Cosine

NAMES = catalogue.names("experiment")
SMALL = {
    "gallery": {"gammas": (1, 2), "attacks": ("Blur(intensity=50)",)},
    "reference_selection": {"counts": (1, 2), "attacks": ("Blur(intensity=50)",)},
    "similarities": {"selection": 3},
    "leakage": {"folds": 2, "trees": 5},
    "calibration": {"calibration": 10, "intensities": (50,), "gammas": (1, 2)},
    "headline": {"seeds": (0, 1)},
    "gamma": {"gammas": (1, 4), "fitting": 20},
    "openset": {"calibration": 20, "real": ""},
    "plugin": {"training": 3, "folds": 2},
    "rivals": {"counts": (2,), "folds": 2, "trees": 5},
    "robustness": {"attacks": ("jpeg",), "fitting": 2},
    "scalability": {"more": ()},
    "verification": {"calibration": 10},
}
"""Fields that keep an experiment short."""


@pytest.fixture
def bench(tmp_path, shared_store):
    path = tmp_path / "prompts.csv"
    lines = [f"scene {i},{split}" for i, split in enumerate(["calibration", "evaluation"] * 400)]
    path.write_text("\n".join(["prompt,split", *lines]) + "\n")
    preset = Preset("toy", "pocket", "natural", "ssim", size=16, gamma=2, prompts=str(path))

    def make(n=4, log=None):
        setting = settle(
            preset,
            zoo=toys.zoo(log),
            inverter=toys.Teller(log=log),
            similarity=Cosine(toys.Mean(log=log)),
        )
        return Bench(setting, n, store=shared_store)

    return make


SEARCHING = ("bias", "inverters")
"""Experiments whose inverters search with a real encoder: they run on the tiny models."""


@pytest.fixture
def found(request, bench, tiny, shared_store):
    """Run an experiment by name, as small as it goes."""

    def run(name, log=None):
        if name in SEARCHING:
            ours = Bench(settle("pocket"), 2, store=shared_store)
        else:
            ours = bench(log=log)
        return experiments.run(name, ours, **SMALL.get(name, {}))

    return run


PLAN = plan.read(Path(__file__).parents[2] / "data" / "reference" / "plan.toml")
FIRST: dict[str, experiments.Findings] = {}
"""What an experiment found when it ran for the first time over the store of the whole run."""


@pytest.fixture
def first(found):
    """Run an experiment by name, once for all tests of this file."""

    def run(name):
        if name not in FIRST:
            FIRST[name] = found(name)
        return FIRST[name]

    return run


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Save what an experiment found, once: the folder."""
    folders = {}

    def save(findings):
        name = findings.name
        if name not in folders:
            folders[name] = findings.save(tmp_path_factory.mktemp("saved") / name)
        return folders[name]

    return save


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_answers_in_numbers_a_figure_and_a_sentence(name, first, saved):
    found = first(name)
    table = found.frames["results"]
    assert list(table.columns[-4:]) == list(experiments.NUMBERS)
    inside = table.dropna(subset=["low", "high"])
    assert (inside["low"] <= inside["value"] + 1e-9).all()
    assert (inside["value"] <= inside["high"] + 1e-9).all()
    assert (table["n"] > 0).all()
    assert found.answer.endswith(".")
    tested = table["metric"].str.startswith("p of the").any() if "metric" in table else False
    assert not tested or PLAN[name].family, "what is tested is a family of the plan"
    assert "nan" not in found.answer.lower()
    assert unproven(found.answer) == []
    folder = saved(found)
    assert {path.name for path in folder.iterdir()} >= {
        "results.csv", "provenance.json", "table.tex", f"{name}.png", f"{name}.pdf",
    }  # fmt: skip
    told = json.loads((folder / "provenance.json").read_text())
    assert told["command"].startswith(f"workbench experiment {name} --preset ")
    assert "\\toprule" in (folder / "table.tex").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_every_number_can_be_computed_again_from_the_frames(name, first, saved):
    """From the frames as they are saved, without a model: what was printed comes out again."""
    found = first(name)
    kept = experiments.read(saved(found)).frames
    kept.pop("results")
    again = found.made_by.measure(kept)
    pd.testing.assert_frame_equal(again, found.frames["results"], check_dtype=False)
    assert found.made_by.answer(kept | {"results": again}) == found.answer


@pytest.mark.parametrize("name", NAMES)
def test_the_second_time_nothing_is_made_and_all_is_equal(name, first, found, shared_store):
    log: list[list[str]] = []
    first = first(name).frames["results"]
    before = shared_store.info()
    again = found(name, log).frames["results"]
    assert log == []
    assert shared_store.info() == before
    told = first.astype(str)
    timeless = ~told.apply(lambda row: row.str.contains("seconds|made").any(), axis=1)
    pd.testing.assert_frame_equal(first[timeless], again[timeless])


def test_a_figure_can_be_drawn_from_saved_frames(first, saved):
    found = first("similarities")
    table = pd.read_csv(saved(found) / "results.csv")
    found.made_by.draw({"results": table}, Figure())
    assert found.made_by.answer({"results": table}) == found.answer


def test_what_is_saved_tells_no_folders(tmp_path, first):
    found = first("similarities")
    folder = tmp_path / "secret"
    folder.mkdir()
    model = f'Archive("{folder}")'
    table = found.frames["results"].assign(generator=model, prompt=model)
    told = found.provenance | {"zoo": [model], "weights": {model: "0"}}
    out = dataclasses.replace(found, frames={"results": table, "more": table}, provenance=told)
    out.save(tmp_path / "out")
    kept = pd.read_parquet(tmp_path / "out" / "more.parquet")
    assert set(kept["generator"]) == {'Archive("secret")'}
    assert set(kept["prompt"]) == {model}  # which may say anything
    told = (tmp_path / "out" / "provenance.json").read_text()
    assert str(tmp_path) not in told
    assert json.loads(told)["zoo"] == ['Archive("secret")']


def test_results_need_their_numbers_and_one_row_a_key():
    row = {"what": "a", "value": 1.0, "low": 0.5, "high": 1.0, "n": 3}
    assert list(experiments.results([row]).columns) == ["what", "value", "low", "high", "n"]
    with pytest.raises(ValueError, match=r"^every result has value, low, high, n; missing: n$"):
        experiments.results([{"what": "a", "value": 1.0, "low": 0.5, "high": 1.0}])
    with pytest.raises(ValueError, match=r"^two results have the same key: {'what': 'a'}$"):
        experiments.results([row, row])


def test_a_table_is_latex_with_the_metrics_side_by_side():
    rows = [
        {"model": "a_b", "metric": name, "value": value, "low": low, "high": high, "n": 100}
        for name, value, low, high in [
            ("accuracy", 0.5, 0.4, 0.6),
            ("p", 0.01, float("nan"), float("nan")),
        ]
    ]
    text = experiments.latex(experiments.results(rows), "50 % & more", "my_table")
    assert r"\caption{50 \% \& more}" in text
    assert r"\label{tab:my-table}" in text
    assert r"model & n & accuracy & p \\" in text
    assert r"a\_b & 100 & 0.500 (0.400 to 0.600) & 0.010 \\" in text
    alone = {"model": "c", "metric": "accuracy", "value": 1.0, "low": 1.0, "high": 1.0, "n": 10}
    assert r"c & 10 & 1.000 (1.000 to 1.000) & -- \\" in experiments.latex(
        experiments.results([*rows, alone]), ""
    )
    fewer = experiments.latex(experiments.results([rows[0], rows[1] | {"n": 75}]), "")
    assert r"a\_b & 75--100 & 0.500" in fewer
    assert "label" not in fewer


def test_a_table_stands_in_the_order_of_the_figure_and_names_plugins_in_words():
    names = ["SSIM()", 'Cosine("pocket-clip", layer=1)', "late"]
    ends = {"low": float("nan"), "high": float("nan"), "n": 4}
    rows = [
        {"similarity": name, "metric": metric, "value": value, **ends}
        for name in names
        for metric, value in (("seconds", 12.34), ("p of the difference, Holm", 1e-9))
    ]
    table = experiments.results(rows)
    shown = table[table["metric"] == "seconds"].iloc[[1, 0]]
    lines = experiments.latex(table, 'By Cosine("pocket-clip")', order=shown).splitlines()
    assert [line for line in lines if " & 4 & " in line] == [
        r"CLIP, layer 1 & 4 & 12.3 & $<$ 0.001 \\",
        r"SSIM & 4 & 12.3 & $<$ 0.001 \\",
        r"late & 4 & 12.3 & $<$ 0.001 \\",
    ]
    assert r"\caption{By CLIP}" in lines


@pytest.mark.parametrize("wide", [False, True])
def test_a_table_of_many_columns_goes_over_the_text(wide):
    metrics = "accuracy AUROC OSCR".split() if wide else ["accuracy"]
    rows = [
        {"a": 1, "b": "x", "metric": name, "value": 0.5, "low": 0.4, "high": 0.6, "n": 9}
        for name in metrics
    ]
    assert (r"\begin{table*}" in experiments.latex(experiments.results(rows), "")) is wide


ROOT = Path(__file__).parents[2]
REFERENCES = sorted(path.parent.name for path in (ROOT / "data/reference").glob("*/results.csv"))


@pytest.mark.parametrize("name", REFERENCES)
def test_a_reference_is_of_the_weights_that_are_shipped_and_reads_as_it_was_told(name):
    table, kept = experiments.reference(name)
    assert kept["weights"] == {
        each: catalogue.checkpoint(each).digest() for each in kept["weights"]
    }
    own = f"--preset {kept['preset']} --n {kept['n']} --seed {kept['seed']}"
    assert kept["command"].partition(" --data ")[0] == f"workbench experiment {name} {own}"
    made_by = catalogue.load(name, "experiment")
    if kept.get("revision", 1) == made_by.revision:
        assert made_by.answer({"results": table} | frames_of(name)) == kept["answer"]
    else:  # of an earlier one: told as it was then
        assert experiments.read(ROOT / "data" / "reference" / name).answer == kept["answer"]


def frames_of(name):
    folder = ROOT / "data" / "reference" / name
    return {path.stem: pd.read_parquet(path) for path in folder.glob("*.parquet")}


def test_a_reference_that_is_not_there_is_one_sentence():
    with pytest.raises(LookupError, match=r"^no reference of an experiment named 'x'; there are: "):
        experiments.reference("x")
