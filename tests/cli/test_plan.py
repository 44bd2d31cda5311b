"""The command plan: what it prints, and that nothing heavy is needed for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from workbench.paths import data_folder

SAMPLE = data_folder() / "samples" / "sample-01.png"
LIGHT = """
import sys, time
from workbench.cli import app
try:
    app.app(["plan", "--preset", "modern", "--n", "1000"])
except SystemExit as end:
    assert not end.code, end.code
heavy = {"torch", "pandas", "diffusers", "transformers", "matplotlib", "open_clip"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
print("cpu", time.process_time())
"""


def test_without_weights_a_table_comes_at_once(tmp_path):
    """28,000 pictures, and no library of models imported: two seconds are plenty."""
    store = tmp_path / "none"
    done = subprocess.run(
        [sys.executable, "-c", LIGHT],
        capture_output=True,
        text=True,
        env=os.environ | {"WORKBENCH_STORE": str(store)},
    )
    assert done.returncode == 0, done.stderr
    assert not store.exists()
    assert "28,000" in done.stdout
    assert float(done.stdout.split("cpu ")[1]) < 2


def test_pictures_that_are_given_are_reckoned_and_what_the_store_has_is_not_drawn_again(run):
    def told(*words):
        done = run("plan", *words, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    known = ("--prompt", "a red circle in the plan of a test", "--seed", 77)
    before = told(SAMPLE, *known)
    assert (before["pictures"], before["stored"], before["captions"]) == (4, 0, 0)
    assert run("attribute", SAMPLE, *known).exit_code == 0
    after = told(SAMPLE, *known)
    assert (after["pictures"], after["stored"]) == (0, 4)
    assert {model["timed"] > 0 for model in after["models"]} == {True}
    larger = told(SAMPLE, *known, "--gamma", 3)
    assert (larger["pictures"], larger["stored"]) == (2, 4)
    assert told("--n", 5)["pictures"] == 5 * 2 * 2


def test_one_of_three_is_asked_for(run):
    for words in ((), ("--n", 3, "--prompts", 2), (SAMPLE, "--n", 2)):
        done = run("plan", *words)
        assert done.exit_code == 2
        assert done.stderr == "workbench: give pictures, --n or --prompts: one of the three\n"
    done = run("plan", "--prompts", 1, "--prompt", "x")
    assert "leave it out with --prompts" in done.stderr


def test_the_table_tells_models_sums_and_what_is_not_known(run):
    done = run("plan", "--n", 1000, "--seed", 5)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split()[:2] == ["model", "to"]
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["tiny-sd", "2,000"],
        ["tiny-ld", "2,000"],
        ["all", "4,000"],
    ]
    assert "1,000 captions are not known yet" in done.stdout
