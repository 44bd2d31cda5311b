"""The ``workbench`` command: what it prints where, its exit codes, and how fast it answers."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from workbench import images
from workbench.cli import app
from workbench.store.store import Store

HEAVY = ("torch", "pandas", "diffusers", "transformers", "open_clip", "matplotlib")
COMMANDS = [
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
    (["calibrate", "--attack", "jpeg"], 2),  # without --select
    (["figures", "--venue", "chi"], 2),
    (["nope"], 2),
]
ANSWER_AT_ONCE = f"""
import json, os, sys
from workbench.cli.app import main
report = sys.argv[1]
for words in json.loads(sys.argv[2]):
    if child := os.fork():
        os.waitpid(child, 0)
        continue
    sys.argv[1:] = words
    try:
        main()
    except SystemExit as stop:
        heavy = [name for name in {HEAVY!r} if name in sys.modules]
        with open(report, "a") as file:
            print(json.dumps([words, stop.code, heavy]), file=file)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Give every command to a fork of its own, of one fresh process that only knows the command."""
    report = tmp_path_factory.mktemp("answers") / "report"
    asked = json.dumps([words for words, _ in COMMANDS])
    command = [sys.executable, "-c", ANSWER_AT_ONCE, report, asked]
    subprocess.run(command, capture_output=True, check=True)
    return [json.loads(line) for line in report.read_text().splitlines()]


@pytest.mark.parametrize(("words", "code"), COMMANDS)
def test_help_and_unknown_names_answer_without_torch_or_pandas(words, code, answers):
    assert [words, code, []] in answers


def test_a_help_text_flows_at_80_columns():
    told = CliRunner().invoke(app.app, ["attribute", "--help"], env={"COLUMNS": "80"}).stdout
    assert "pictures of all models, once" in told


def test_the_module_is_the_command():
    child = subprocess.run([sys.executable, "-m", "workbench", "--help"], capture_output=True)
    assert child.returncode == 0


def test_attribute_prints_a_ranking_and_a_verdict_on_stdout(run, pictures):
    result = run("attribute", pictures / "one.png")
    assert (result.exit_code, result.stderr) == (0, "")
    for words in (
        "one.png",
        "prompt: ",
        "1  tiny-",
        "2  tiny-",
        "█",
        "margin 0.",
        "None of this proves",
    ):
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


def test_candidates_are_treated_alike_on_request(run, pictures):
    done = run("attribute", pictures / "two.jpg", "--treat-alike")
    assert done.exit_code == 0
    assert "compressed with JPEG of quality 75" in " ".join(done.stdout.split())
    refused = run("attribute", pictures / "two.jpg", "--treat-alike", "--attributor", "knn")
    assert refused.exit_code == 2
    assert "knn has no use for treat_alike" in refused.stderr


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


def test_a_calibrated_preset_tells_the_set_or_none_of_these(run, pictures):
    said = run("attribute", pictures / "one.png", "--preset", "calibrated").stdout
    said = " ".join(said.split())
    assert re.search("Narrowed to: tiny-.., tiny-... ", said)
    assert "Narrowed to: such sets hold the true model 9 times in 10, if it is" in said
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


def test_a_model_that_could_not_draw_leaves_no_call_and_the_status_1(run, pictures, monkeypatch):
    from workbench.generators.diffusers import Diffusers

    draw = Diffusers.__call__

    def refuse(self, prompts, seeds):
        if self.checkpoint.name == "tiny-ld":
            raise MemoryError("it is too large for this memory")
        return draw(self, prompts, seeds)

    monkeypatch.setattr(Diffusers, "__call__", refuse)
    options = [pictures / "one.png", "--prompt", "never drawn before", "--gamma", 1]
    result = run("attribute", *options, "--json")
    record = json.loads(result.stdout)
    assert result.exit_code == 1
    assert record["predicted"] is None
    assert list(record["not_drawn"]) == ["tiny-ld"]
    assert "it is too large" in record["not_drawn"]["tiny-ld"]
    assert "it is too large" in record["ranking"][1]["error"]
    said = " ".join(run("attribute", *options).stdout.split())
    assert "No call. Not drawn: tiny-ld (it is too large" in said
    forced = run("attribute", *options, "--without-missing")
    assert forced.exit_code == 1
    assert "Only tiny-sd made a picture that could be compared." in " ".join(forced.stdout.split())
