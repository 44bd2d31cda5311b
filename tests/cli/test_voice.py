"""How much the command tells, how its sentences wrap, and what a shell completes."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from workbench import __version__
from workbench.catalogue import presets
from workbench.cli import app, terminal


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_version_is_told():
    for words in (["--version"], ["-V"]):
        assert CliRunner().invoke(app.app, words).stdout == f"workbench {__version__}\n"


def test_quiet_tells_results_and_errors_alone(run, pictures, tmp_path):
    asked = ["attribute", pictures / "one.png", "--report", tmp_path / "r.html"]
    plain, quiet = run(*asked), run("--quiet", *asked)
    assert plain.stderr == f"Report: {tmp_path / 'r.html'}\n"
    assert (quiet.exit_code, quiet.stderr) == (0, "")
    assert "margin 0." in quiet.stdout
    wrong = run("-q", "attribute", pictures / "one.png", "--gamma", 0)
    assert wrong.exit_code == 2
    assert "gamma, the candidate images per model" in wrong.stderr


def test_verbose_tells_what_each_stage_took(run, pictures):
    done = run("--verbose", "attribute", pictures / "one.png", "--seed", 5)
    lines = done.stderr.splitlines()
    for stage in ("invert", "generate", "encode"):
        assert any(stage in line and " in " in line for line in lines), done.stderr
    assert run("attribute", pictures / "one.png", "--seed", 5).stderr == ""


def test_quiet_and_verbose_exclude_one_another():
    done = CliRunner().invoke(app.app, ["-q", "-v", "store", "info"])
    assert done.exit_code == 2
    assert done.stderr == "workbench: give --quiet or --verbose, not both\n"


def test_a_sentence_wraps_at_words_on_a_terminal_alone():
    path = "/a/path/that/is/longer/than/any/line/of-this-terminal"
    text = f"Frames, figure and table: {path}, look at them"
    lines = terminal.wrapped(text, Terminal(), 30).splitlines()
    assert lines == ["Frames, figure and table:", f"{path},", "look at them"]
    assert terminal.wrapped(text, io.StringIO(), 30) == text


@pytest.mark.parametrize(
    ("words", "place", "offered"),
    [
        ("workbench ev", 1, ["evaluate"]),
        ("workbench attribute --preset po", 3, ["pocket-paper", "pocket"]),
        ("workbench experiment ri", 2, ["rivals"]),
        ("workbench zoo show pocket-s", 3, ["pocket-sd", "pocket-sd2"]),
        ("workbench figures --venue i", 3, ["ieee"]),
    ],
)
def test_a_shell_completes_commands_and_names(words, place, offered):
    told = {"_WORKBENCH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(place)}
    command = [sys.executable, "-m", "workbench"]
    done = subprocess.run(command, env=os.environ | told, capture_output=True, text=True)
    assert done.stdout.split() == offered, done.stderr


def test_a_catalogue_that_cannot_be_read_completes_nothing(tmp_path, monkeypatch):
    from workbench.cli.options import PRESETS

    assert set(PRESETS("")) == set(presets.read())
    monkeypatch.setenv("WORKBENCH_CATALOGUE", str(tmp_path))
    (tmp_path / "presets.toml").write_text("[presets")
    assert PRESETS("") == []


def test_quiet_may_stand_anywhere_but_among_what_follows_two_dashes():
    words = ["attribute", "a.png", "--quiet", "--gamma", "2"]
    assert terminal.arranged(words) == ["--quiet", "attribute", "a.png", "--gamma", "2"]
    assert terminal.arranged(["attribute", "--", "-q"]) == ["attribute", "--", "-q"]
