"""The commands evaluate, calibrate and figures: what they print and what they leave."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from typer.testing import CliRunner

from workbench import catalogue, experiments, paths
from workbench.cli import app, terminal
from workbench.paths import data_folder


@pytest.fixture(scope="module")
def evaluated(tiny_data, shared_store, tmp_path_factory):
    """Evaluate by the command, once; return what it said, and the folder it wrote."""
    out = tmp_path_factory.mktemp("study") / "evaluation"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "PLACES", [tiny_data])
        patch.setenv("WORKBENCH_STORE", str(shared_store.path))
        words = ["evaluate", "--n", "2", "--gamma", "1", "--controls", "all", "--out", str(out)]
        return CliRunner().invoke(app.app, words), out


def test_evaluate_prints_measures_and_leaves_frames_and_a_figure(run, evaluated):
    plain, out = evaluated
    assert plain.exit_code == 0, plain.output
    told, where = plain.stderr.splitlines()
    assert re.match(r"(Will make up to \d+ pictures, |Nothing is to be drawn)", told)
    assert where == f"Frames and figure: {out}"
    for words in ("inverted prompt", "matched bank", "chance", "only tiny-sd", "→ tiny-ld"):
        assert words in plain.stdout
    assert (out / "evaluation.png").stat().st_size > 10_000
    assert {"outcomes.parquet", "evaluations.parquet"} <= {path.name for path in out.iterdir()}
    lines = run("evaluate", "--n", 2, "--gamma", 1, "--json").stdout.splitlines()
    assert len(lines) == 1
    assert list(json.loads(lines[0])) == [
        "settings",
        "accuracy",
        "warnings",
        "coverage",
        "accuracy_accepted",
        "per_model",
        "top2",
        "mrr",
        "cllr",
        "confusion",
        "controls",
    ]


REFERENCE = data_folder() / "reference"


def test_figures_are_drawn_of_all_that_was_found(run, evaluated, tmp_path):
    runs, out = tmp_path / "runs", tmp_path / "figures"
    shutil.copytree(evaluated[1], runs / "evaluation")
    shutil.copytree(REFERENCE / "leakage", runs / "deep" / "leakage")
    result = run("figures", "--venue", "acm", "--from", runs, "--out", out)
    told = f"2 figures for acm: look at {out / 'index.html'}\n"
    assert (result.exit_code, result.stderr) == (0, told)
    kinds = ("pdf", "png", "csv", "tex")
    files = [out / f"{name}.{kind}" for name in ("deep-leakage", "evaluation") for kind in kinds]
    assert result.stdout.splitlines() == [str(file) for file in files]
    for name, points in (("deep-leakage", 241.14749), ("evaluation", 506.295)):
        box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ", (out / f"{name}.pdf").read_bytes())
        assert box is not None
        assert float(box[1]) == pytest.approx(points / 72.27 * 72, abs=0.05)
    assert "tiny-sd" in (out / "evaluation.tex").read_text()
    assert "matched_bank" in (out / "evaluation.tex").read_text().replace("\\", "")
    page = (out / "index.html").read_text()
    assert '<img srcset="deep-leakage.png 2x"' in page
    assert "n = 4 pictures of 2 prompts" in page


def test_figures_of_ones_own_experiment_are_told_of(run, tmp_path):
    folder = tmp_path / "runs" / "mine"
    shutil.copytree(REFERENCE / "leakage", folder)
    kept = json.loads((folder / "provenance.json").read_text()) | {"experiment": "Mine()"}
    (folder / "provenance.json").write_text(json.dumps(kept))
    result = run("figures", "--from", folder.parent, "--out", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("mine: ")


def test_without_a_reference_figures_say_what_would_do(run, tmp_path):
    result = run("figures", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "there is nothing to draw in" in result.stderr
    assert "`workbench experiment NAME` or `workbench evaluate --out` wrote" in result.stderr


def test_calibrate_prints_the_lines_for_the_presets(run):
    import tomllib

    result = run("calibrate", "--n", 2)
    assert result.exit_code == 0
    assert " ".join(result.stderr.split()).startswith("Nothing is ever called with these lines: of")
    found = tomllib.loads(result.stdout)["presets"]["pocket"]
    assert found["threshold"] == "inf"  # 4 pictures never bound the error by 5 %
    assert found["conformal"] == "inf"  # nor do 2 prompts cover 90 %
    assert {name: len(scores) for name, scores in found["known"].items()} == {
        "tiny-ld": 2,
        "tiny-sd": 2,
    }


def test_an_experiment_is_reproduced_value_by_value(run, tiny):
    folder = tiny / "reference" / "leakage"
    try:
        made = run("experiment", "leakage", "--n", 2, "--out", folder)
        assert made.exit_code == 0
        same = run("reproduce", "leakage")
        assert (same.exit_code, same.stderr) == (0, "")
        assert re.fullmatch(r"(\d+) of \1 values are the same\.\n", same.stdout)
        text = (folder / "results.csv").read_text()
        row = next(line for line in text.splitlines() if line.startswith("sides,"))
        parts = row.split(",")
        moved = ",".join([*parts[:2], "0.123456", *parts[3:]])  # within every interval, but another
        (folder / "results.csv").write_text(text.replace(row, moved))
        again = run("reproduce", "leakage")
        assert again.exit_code == 1
        assert "0.123456" in again.stdout
        told = re.search(r"(\d+) of (\d+) values are the same\.\n$", again.stdout)
        assert int(told[2]) - int(told[1]) == 1
    finally:
        shutil.rmtree(tiny / "reference", ignore_errors=True)


def test_robustness_takes_some_attacks_and_candidates_treated_alike(run, monkeypatch):
    def drawn(name, bench, **fields):
        raise ValueError(repr(catalogue.load(name, "experiment", **fields)))

    monkeypatch.setattr(experiments, "run", drawn)
    words = ("experiment", "robustness", "--n", 1, "--attacks")
    done = run(*words, "jpeg,resize", "--treat-alike")
    assert "Robustness(attacks=('jpeg', 'resize'), alike=True)" in done.stderr.replace("\n", " ")
    wrong = run(*words, "jpg")
    assert wrong.exit_code == 2
    assert "no levels of 'jpg'; there are: jpeg, resize, blur" in wrong.stderr


def test_an_interval_that_excludes_nothing_is_a_dash(capsys):
    """Of one prompt alone: four pictures, all right, say nothing of other prompts."""
    one = {"value": 1.0, "low": 0.0, "high": 1.0, "n": 4}
    many = {"value": 0.9, "low": 0.81, "high": 0.96, "n": 400}
    summary = {"accuracy": one, "controls": {"natural": many, "chance": {"value": 0.25}}}
    summary |= {
        "per_model": {},
        "coverage": 0.0,
        "accuracy_accepted": None,
        "top2": 1.0,
        "mrr": 1.0,
    }
    summary |= {"confusion": {"labels": ["a"], "counts": [[4]]}, "cllr": None, "warnings": []}
    terminal.print_evaluation(summary)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    told = {" ".join(line[:2]): line for line in lines if line}
    assert told["inverted prompt"] == ["inverted", "prompt", "100.0", "%", "–", "4"]
    assert told["natural 90.0"] == ["natural", "90.0", "%", "81.0", "%", "–", "96.0", "%", "400"]
    assert told["chance 25.0"] == ["chance", "25.0", "%"]
