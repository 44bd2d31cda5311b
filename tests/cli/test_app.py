"""The ``workbench`` command: what it prints where, its exit codes, and how fast it answers."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from workbench import images, paths
from workbench.cli import app, zoo
from workbench.paths import data_folder
from workbench.store.store import Store
from workbench.text import shown

HEAVY = ("torch", "pandas", "diffusers", "transformers", "open_clip", "matplotlib")
ANSWER_AT_ONCE = f"""
import sys
from workbench.cli.app import main
try:
    main()
except SystemExit as stop:
    print(stop.code, [name for name in {HEAVY!r} if name in sys.modules])
"""


@pytest.fixture
def run(tiny, tmp_path, monkeypatch):
    """Call the command in this process, with the tiny models and a store of its own."""
    monkeypatch.setenv("WORKBENCH_STORE", str(tmp_path / "store"))
    return lambda *words: CliRunner().invoke(app.app, [str(word) for word in words])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--help"], 0),
        (["attribute", "--help"], 0),
        (["zoo", "--help"], 0),
        (["zoo", "download", "--help"], 0),
        (["attribute", "x.png", "--preset", "poket"], 2),
        (["attribute", "x.png", "--inverter", "blp"], 2),
        (["attribute", "x.png", "--zoo", "nope"], 2),
        (["attribute", "x.png", "--similarity", "nope"], 2),
        (["attribute", "x.png", "--calibration", "nope"], 2),
        (["generate", "--generator", "nope", "--prompt", "p", "--out", "o"], 2),
        (["evaluate", "--preset", "poket"], 2),
        (["calibrate", "--preset", "poket"], 2),
        (["figures", "--venue", "chi"], 2),
        (["nope"], 2),
    ],
)
def test_help_and_unknown_names_answer_without_torch_or_pandas(words, code):
    child = subprocess.run(
        [sys.executable, "-c", ANSWER_AT_ONCE, *words], capture_output=True, text=True
    )
    assert child.stdout.splitlines()[-1] == f"{code} []"


def test_a_help_text_flows_at_80_columns():
    told = CliRunner().invoke(app.app, ["attribute", "--help"], env={"COLUMNS": "80"}).stdout
    assert "fresh pictures of all models" in told


def test_the_module_is_the_command():
    child = subprocess.run([sys.executable, "-m", "workbench", "--help"], capture_output=True)
    assert child.returncode == 0


def test_attribute_prints_a_ranking_and_a_verdict_on_stdout(run, pictures):
    result = run("attribute", pictures / "one.png")
    assert (result.exit_code, result.stderr) == (0, "")
    for words in ("one.png", "prompt: ", "1  tiny-", "2  tiny-", "█", "margin 0.", "not prove"):
        assert words in result.stdout


def test_attribute_prints_one_object_a_line(run, pictures):
    result = run("attribute", pictures, "--json", "--prompt", "a thing", "--gamma", 1)
    assert (result.exit_code, result.stderr) == (0, "")
    names = [json.loads(line)["image"].rpartition("/")[2] for line in result.stdout.splitlines()]
    assert names == ["three.png", "one.png", "two.jpg"]


def test_a_changed_setting_says_that_it_is_not_calibrated(run, pictures):
    plain = run("attribute", pictures / "one.png", "--seed", 3)
    other = run("attribute", pictures / "one.png", "--gamma", 1)
    assert "not calibrated for this setting" not in plain.stdout
    assert "not calibrated for this setting" in " ".join(other.stdout.split())


def test_a_calibration_is_an_option_and_is_not_calibrated(run, pictures):
    options = [pictures / "one.png", "--calibration", "standardised", "--gamma", 1]
    result = run("attribute", *options, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(json.loads(result.stdout)["ranking"]) == 2
    assert "not calibrated for this setting" in " ".join(run("attribute", *options).stdout.split())


def test_a_preset_that_always_abstains_says_no_call(run, pictures):
    options = ["--preset", "never", "--json"]
    record = json.loads(run("attribute", pictures / "one.png", *options).stdout)
    assert record["predicted"] is None
    assert len(record["ranking"]) == 2
    assert "No call." in run("attribute", pictures / "one.png", "--preset", "never").stdout


def test_a_calibrated_preset_tells_the_set_or_none_of_these(
    run, pictures, shared_store, monkeypatch
):
    monkeypatch.setenv("WORKBENCH_STORE", str(shared_store.path))
    said = run("attribute", pictures / "one.png", "--preset", "calibrated").stdout
    said = " ".join(said.split())
    assert re.search("One of tiny-.., tiny-..: 90 % of such sets hold the true model, if ", said)
    assert "None of these." not in said
    strange = run("attribute", pictures / "one.png", "--preset", "strange")
    assert strange.exit_code == 0
    assert "None of these. tiny-" in strange.stdout
    assert "(p = 0.050)" in " ".join(strange.stdout.split())
    assert "such sets" not in strange.stdout
    line = json.loads(
        run("attribute", pictures / "one.png", "--preset", "strange", "--json").stdout
    )
    assert (line["predicted"], line["p_known"], len(line["set"])) == (None, 0.05, 1)


def test_a_report_is_redone_and_compared(run, pictures, tmp_path):
    report = tmp_path / "deep" / "report.html"
    options = ["--gamma", 1, "--prompt", "a thing"]
    first = run("attribute", pictures / "one.png", *options, "--report", report)
    assert (first.exit_code, first.stderr) == (0, f"Report: {report}\n")
    again = run("attribute", "--from", report, pictures / "one.png")
    assert again.exit_code == 0
    assert "Everything matches the report: 8 of 8." in again.stdout
    other = run("attribute", "--from", report, pictures / "two.jpg")
    assert other.exit_code == 1
    assert "OTHER" in other.stdout


def test_evaluate_prints_measures_and_leaves_frames_and_a_figure(run, tmp_path):
    out = tmp_path / "evaluation"
    plain = run("evaluate", "--n", 2, "--gamma", 1, "--out", out)
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


def test_figures_are_drawn_of_all_that_was_found(run, tmp_path):
    runs, out = tmp_path / "runs", tmp_path / "figures"
    run("evaluate", "--n", 2, "--gamma", 1, "--out", runs / "evaluation")
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


def test_invert_tells_a_prompt_for_each_picture(run, pictures):
    result = run("invert", pictures, pictures / "missing.png", "--json")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 1
    assert [record["prompt"] is None for record in records] == [False, False, False, True]
    assert records[3]["error"] == "there is no such file"
    assert run("invert", pictures / "one.png").stdout.startswith(f"{pictures / 'one.png'}\t")


@pytest.mark.parametrize("inverter", ["interrogator", 'Pez("tiny-clip", tokens=3, steps=5)'])
def test_invert_takes_the_preset_s_own_parts_or_a_repr(run, pictures, inverter):
    result = run("invert", pictures / "one.png", "--inverter", inverter, "--json")
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["error"] is None
    assert record["prompt"]


def test_generate_names_pictures_by_seed_and_lists_them(run, tmp_path):
    out = tmp_path / "made"
    command = ["generate", "--generator", "tiny-ld", "--prompt", 'a, "thing"', "--out", out]
    assert run(*command, "--seeds", "0:2").exit_code == 0
    assert run(*command, "--seeds", "1,5").exit_code == 0
    with (out / "generations.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["file"] for row in rows] == ["0.png", "1.png", "5.png"]
    assert {(row["generator"], row["prompt"]) for row in rows} == {("tiny-ld", 'a, "thing"')}
    for row in rows:
        assert images.digest(images.open_image(out / row["file"])) == row["digest"]


def test_generate_takes_the_numbers_asked_for_of_a_model_without_seeds(run, tmp_path):
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]
    table = ["file,prompt,seed"]
    for number, colour in enumerate(colours):
        Image.new("RGB", (8, 8), colour).save(tmp_path / f"{number}.png")
        table.append(f"{number}.png,p,{number}")
    (tmp_path / "table.csv").write_text("\n".join(table))
    model, out = f"Archive({str(tmp_path / 'table.csv')!r})", tmp_path / "made"
    for seeds in ("0:2", "2:4"):
        done = run(
            *("generate", "--generator", model, "--prompt", "p", "--out", out, "--seeds", seeds)
        )
        assert done.exit_code == 0, done.stderr
    made = [images.open_image(out / f"{number}.png").getpixel((0, 0)) for number in range(4)]
    assert made == colours


def test_generate_does_not_mix_models_in_a_folder(run, tmp_path):
    command = ["generate", "--prompt", "p", "--seeds", "0", "--out", tmp_path / "made"]
    assert run(*command, "--generator", "tiny-ld").exit_code == 0
    mixed = run(*command, "--generator", "tiny-sd")
    assert mixed.exit_code == 2
    assert "holds pictures of another generator or prompt" in mixed.stderr


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0:4", [0, 1, 2, 3]), ("7", [7]), ("1,5,9", [1, 5, 9]), ("0:2,1", [0, 1])],
)
def test_seeds_are_read(text, seeds):
    assert app.parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "4:4", "-1", "1:2:3", "0:", "0:999999999", "1.5", "²"])
def test_other_seeds_are_refused(text):
    with pytest.raises(ValueError, match=r"seeds are written 0:4 \(that is 0, 1, 2, 3\)"):
        app.parse_seeds(text)


def test_zoo_list_show_and_verify(run, tiny, monkeypatch):
    assert "zoo tiny: tiny-sd, tiny-ld" in run("zoo", "list").stdout
    card = {"slot_accuracy": 0.5, "training": {"unet": {"losses": [[100, 1.0]] * 99}}}
    monkeypatch.setattr(zoo, "_manifest", lambda: {"tiny-ld": card})
    shown = run("zoo", "show", "tiny-ld").stdout
    assert "diffusers.LDMTextToImagePipeline" in shown
    assert "slot_accuracy" in shown
    assert "losses" not in shown, "they fill pages"
    assert run("zoo", "verify", "tiny-clip").stdout == "tiny-clip: good\n"


def test_zoo_verify_tells_of_another_checksum(run, tmp_path, tiny, monkeypatch):
    data = tmp_path / "data"
    (data / "pocket").mkdir(parents=True)
    (data / "catalogue").symlink_to(tiny / "catalogue")
    (data / "pocket" / "tiny-clip").symlink_to(tiny / "pocket" / "tiny-clip")
    known = {"tiny-clip": {"sha256": {"open_clip_model.safetensors": "0" * 64}}}
    (data / "pocket" / "manifest.json").write_text(json.dumps(known))
    monkeypatch.setattr(paths, "PLACES", [data])
    result = run("zoo", "verify", "tiny-clip")
    assert result.exit_code == 1
    assert "is not the one that was published: its sha256 differs" in result.stdout


def test_store_info_verify_and_gc(run, tmp_path, pictures):
    run("attribute", pictures / "one.png", "--prompt", "p", "--gamma", 1)
    assert "generations      2" in run("store", "info").stdout
    assert run("store", "verify").stdout == "good\n"
    png = next((tmp_path / "store" / "pictures").glob("*/*.png"))
    png.write_bytes(b"")
    damaged = run("store", "verify")
    assert damaged.exit_code == 1
    assert "is damaged" in damaged.stdout
    assert run("store", "gc").exit_code == 0
    assert run("store", "verify").stdout == "good\n"


def test_nothing_in_text_acts_on_a_terminal():
    assert shown("a\x1b[31m\nb\u202e") == r"a\x1b[31m\nb\u202e"
    assert shown("ünïcode 🖼") == "ünïcode 🖼"


CHILD = """
import sys
from pathlib import Path
from workbench import paths
paths.PLACES = [Path(sys.argv.pop(1))]
from workbench.cli.app import main
main()
"""


@pytest.mark.slow
def test_ctrl_c_leaves_a_sentence_and_a_store_to_go_on_from(tiny_data, tmp_path):
    command = ["generate", "--generator", "tiny-ld", "--prompt", "p", "--seeds", "0:20000"]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, tiny_data, *command, "--out", tmp_path / "made"],
        env=os.environ | {"WORKBENCH_STORE": str(tmp_path / "store")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # what starts the tests in the background may have told them to ignore it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    index = Path(tmp_path / "store" / "index.sqlite")
    until = time.monotonic() + 120
    while child.poll() is None and time.monotonic() < until:
        if index.exists() and Store(tmp_path / "store").info()["generations"]:
            break
        time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    sentence = "Stopped. What was made is kept: the same command goes on from there."
    assert said.splitlines()[-1] == sentence
    assert "Traceback" not in said
    store = Store(tmp_path / "store")
    assert store.info()["generations"] > 0
    assert store.verify() == []
