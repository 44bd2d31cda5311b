"""The commands evaluate, calibrate and figures: what they print and what they leave."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from typer.testing import CliRunner

from workbench import paths
from workbench.cli import app
from workbench.paths import data_folder


@pytest.fixture(scope="module")
def evaluated(tiny_data, shared_store, tmp_path_factory):
    """Evaluate by the command, once; return what it said, and the folder it wrote."""
    out = tmp_path_factory.mktemp("study") / "evaluation"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "PLACES", [tiny_data])
        patch.setenv("WORKBENCH_STORE", str(shared_store.path))
        words = ["evaluate", "--n", "2", "--gamma", "1", "--out", str(out)]
        return CliRunner().invoke(app.app, words), out


def test_evaluate_prints_measures_and_leaves_frames_and_a_figure(run, evaluated):
    plain, out = evaluated
    assert (plain.exit_code, plain.stderr) == (0, f"Frames and figure: {out}\n")
    for words in ("inverted prompt", "matched bank", "chance", "only tiny-sd", "→ tiny-ld"):
        assert words in plain.stdout
    assert (out / "evaluation.png").stat().st_size > 10_000
    assert {"outcomes.parquet", "evaluations.parquet"} <= {path.name for path in out.iterdir()}
    lines = run("evaluate", "--n", 2, "--gamma", 1, "--json").stdout.splitlines()
    assert len(lines) == 1
    assert list(json.loads(lines[0])) == [
        "settings",
        "accuracy",
        "coverage",
        "accuracy_accepted",
        "per_model",
        "top2",
        "mrr",
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
    assert (result.exit_code, result.stderr) == (0, "")
    found = tomllib.loads(result.stdout)["presets"]["pocket"]
    assert found["threshold"] == "inf"  # 4 pictures never bound the error by 5 %
    assert found["conformal"] == "inf"  # nor do 2 prompts cover 90 %
    assert {name: len(scores) for name, scores in found["known"].items()} == {
        "tiny-ld": 2,
        "tiny-sd": 2,
    }
