"""Every experiment runs on toy models, resumes from the store, and is drawn, told and compared."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from tests.support import toys
from workbench import catalogue, experiments
from workbench.catalogue.presets import Preset
from workbench.catalogue.setting import settle
from workbench.experiments import Bench
from workbench.similarities.cosine import Cosine

NAMES = catalogue.names("experiment")
SMALL = {
    "similarities": {"selection": 3},
    "leakage": {"folds": 2, "trees": 5},
    "gamma": {"gammas": (1, 4), "fitting": 3, "delta": 0.5, "memory": False},
    "openset": {"calibration": 20, "real": ""},
    "plugin": {"training": 3},
    "rivals": {"few": 2, "training": 3},
    "robustness": {"attacks": ("jpeg",), "fitting": 2},
    "scalability": {"more": ()},
}
"""Fields that keep an experiment short."""


@pytest.fixture
def bench(tmp_path, shared_store):
    path = tmp_path / "prompts.csv"
    lines = [f"scene {i},{split}" for i, split in enumerate(["calibration", "evaluation"] * 110)]
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


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_answers_in_numbers_a_figure_and_a_sentence(name, first, tmp_path):
    found = first(name)
    table = found.frames["results"]
    assert list(table.columns[-4:]) == list(experiments.NUMBERS)
    inside = table.dropna(subset=["low", "high"])
    assert (inside["low"] <= inside["value"] + 1e-9).all()
    assert (inside["value"] <= inside["high"] + 1e-9).all()
    assert (table["n"] > 0).all()
    assert found.answer.endswith(".")
    assert "nan" not in found.answer.lower()
    folder = found.save(tmp_path / "out")
    assert {path.name for path in folder.iterdir()} >= {
        "results.csv", "provenance.json", "table.tex", f"{name}.png", f"{name}.pdf",
    }  # fmt: skip
    told = json.loads((folder / "provenance.json").read_text())
    assert told["command"].startswith(f"workbench experiment {name} --preset ")
    assert "\\toprule" in (folder / "table.tex").read_text()


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


def test_a_figure_can_be_drawn_from_saved_frames(bench, tmp_path):
    found = experiments.run("similarities", bench(), selection=3)
    saved = pd.read_csv(found.save(tmp_path) / "results.csv")
    found.made_by.draw({"results": saved}, Figure())
    assert found.made_by.answer({"results": saved}) == found.answer


def test_results_need_their_numbers_and_one_row_a_key():
    row = {"what": "a", "value": 1.0, "low": 0.5, "high": 1.0, "n": 3}
    assert list(experiments.results([row]).columns) == ["what", "value", "low", "high", "n"]
    with pytest.raises(ValueError, match=r"^every result has value, low, high, n; missing: n$"):
        experiments.results([{"what": "a", "value": 1.0, "low": 0.5, "high": 1.0}])
    with pytest.raises(ValueError, match=r"^two results have the same key: {'what': 'a'}$"):
        experiments.results([row, row])


def test_a_comparison_goes_cell_by_cell():
    def frame(*rows):
        return pd.DataFrame(rows, columns=["what", "value", "low", "high", "n"])

    nothing = float("nan")
    reference = frame(
        ["in", 0.5, 0.4, 0.6, 9], ["out", 0.5, 0.4, 0.6, 9], ["exact", 1.0, nothing, nothing, 9],
        ["none", nothing, nothing, nothing, 9], ["lost", 0.5, 0.4, 0.6, 9],
    )  # fmt: skip
    again = frame(
        ["in", 0.6, 0.5, 0.7, 9], ["out", 0.61, 0.5, 0.7, 9], ["exact", 1.0, nothing, nothing, 9],
        ["none", nothing, nothing, nothing, 9], ["new", 0.5, 0.4, 0.6, 9],
    )  # fmt: skip
    table = experiments.compare(reference, again).set_index("what")["within"]
    assert table.to_dict() == {
        "in": True, "out": False, "exact": True, "none": True, "lost": False, "new": False,
    }  # fmt: skip


def test_times_are_told_but_not_compared():
    columns = ["metric", "value", "low", "high", "n"]
    nothing = float("nan")
    one = pd.DataFrame([["seconds", 1.0, nothing, nothing, 9], ["p", 1.0, nothing, nothing, 9]])
    two = one.set_axis(columns, axis=1)
    table = experiments.compare(two, two.assign(value=[2.0, 1.0]))
    assert table["metric"].tolist() == ["p"]


def test_a_table_is_latex_with_the_metrics_side_by_side():
    rows = [
        {"model": "a_b", "metric": name, "value": value, "low": low, "high": high, "n": 100}
        for name, value, low, high in [
            ("accuracy", 0.5, 0.4, 0.6),
            ("p", 0.01, float("nan"), float("nan")),
        ]
    ]
    text = experiments.latex(experiments.results(rows), "50 % & more")
    assert r"\caption{50 \% \& more}" in text
    assert r"model & n & accuracy & p \\" in text
    assert r"a\_b & 100 & 0.5 (0.4 to 0.6) & 0.01 \\" in text
    alone = {"model": "c", "metric": "accuracy", "value": 1.0, "low": 1.0, "high": 1.0, "n": 10}
    assert r"c & 10 & 1 (1 to 1) & – \\" in experiments.latex(
        experiments.results([*rows, alone]), ""
    )
    fewer = experiments.latex(experiments.results([rows[0], rows[1] | {"n": 75}]), "")
    assert r"a\_b & 75–100 & 0.5" in fewer


ROOT = Path(__file__).parents[2]
REFERENCES = sorted(path.parent.name for path in (ROOT / "data/reference").glob("*/results.csv"))


@pytest.mark.parametrize("name", REFERENCES)
def test_a_reference_is_of_the_weights_that_are_shipped_and_reads_as_it_was_told(name):
    table, kept = experiments.reference(name)
    assert kept["weights"] == {
        each: catalogue.checkpoint(each).digest() for each in kept["weights"]
    }
    own = f"--preset {kept['preset']} --n {kept['n']} --seed {kept['seed']}"
    assert kept["command"] == f"workbench experiment {name} {own}"
    saved = catalogue.load(name, "experiment").answer({"results": table} | frames_of(name))
    assert saved == kept["answer"]


def frames_of(name):
    folder = ROOT / "data" / "reference" / name
    return {path.stem: pd.read_parquet(path) for path in folder.glob("*.parquet")}


def test_a_reference_that_is_not_there_is_one_sentence():
    with pytest.raises(LookupError, match=r"^no reference of an experiment named 'x'; there are: "):
        experiments.reference("x")


def test_no_pair_is_called_the_hardest_where_none_was_confused():
    outcomes = pd.DataFrame({"truth": ["a", "b"], "predicted": ["a", "b"], "correct": [True, True]})
    row = {
        "pair": "a ↔ b",
        "metric": "pair accuracy",
        "value": 1.0,
        "low": 1.0,
        "high": 1.0,
        "n": 2,
    }
    frames = {"outcomes": outcomes, "results": pd.DataFrame([row])}
    told = catalogue.load("confusion", "experiment").answer(frames)
    assert told == "No pair was confused in its n = 2 pictures."
