"""The README and the pages of docs do what they say: code runs, numbers are measured."""

from __future__ import annotations

import math
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pages import ROOT, blocks, commands, pages
from workbench import catalogue
from workbench.catalogue.setting import settle

README = ROOT / "README.md"
LONGEST = 1_200
"""Words of the README, the bars of its tables among them."""
MEASURED = runpy.run_path(str(ROOT / "docs" / "measured.py"))
BLOCKS = [(page, *block) for page in pages() for block in blocks(page, "bash", "python")]
FILES = {body.split()[1]: body for _, _, body in BLOCKS if body.startswith("# workbench/")}
ONCE = {body: (page, kind) for page, kind, body in BLOCKS[::-1] if body not in FILES.values()}
PROGRAMS = [(page, kind, body) for body, (page, kind) in ONCE.items()][::-1]
"""What stands on two pages is run once, as of the first."""
FIRST = next(body for _, _, body in PROGRAMS if "workbench " in body)
WARM = ROOT / "tests" / "support" / "warm" / "ask.py"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """Copy the checkout, and put the pages' own plug-ins in their places."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("workbench", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "data").symlink_to(ROOT / "data")
    for path, body in FILES.items():
        assert not (folder / path).exists()
        (folder / path).write_text(body)
    return folder


@pytest.fixture(scope="module")
def warm(tmp_path_factory, warm_server):
    """Put a `workbench` into a folder that asks for a Python which has imported torch already.

    The answer is the environment it needs, and the folder.
    """
    script = tmp_path_factory.mktemp("bin") / "workbench"
    script.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{WARM}' -m workbench \"$@\"\n")
    script.chmod(0o755)
    return warm_server, script.parent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "kind", "body"),
    PROGRAMS,
    ids=[f"{page.stem}: {body.splitlines()[0]}" for page, _, body in PROGRAMS],
)
def test_every_block_runs_as_written(page, kind, body, checkout, warm, sketched):
    """The first block with the command starts it as installed, the others start it warm.

    The pocket models sketch: whether it runs is asked.
    """
    targets = re.findall(r"^make (\S+)$", body, re.MULTILINE)
    assert [f for f in targets if f"\n{f}: " not in (ROOT / "Makefile").read_text()] == []
    body = re.sub(r"^make .*$", "", body, flags=re.MULTILINE)
    program = ["bash", "-euo", "pipefail", "-c"] if kind == "bash" else [sys.executable, "-c"]
    asked, folder = warm
    before = [] if body == FIRST else [folder]
    paths = {
        "PATH": [*before, Path(sys.executable).parent, os.environ["PATH"]],
        "PYTHONPATH": [checkout, os.environ["PYTHONPATH"]],
    }
    joined = {name: os.pathsep.join(map(str, parts)) for name, parts in paths.items()}
    environment = os.environ | asked | sketched | joined
    done = subprocess.run(
        [*program, body], cwd=checkout, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readme_is_short():
    assert len(README.read_text(encoding="utf-8").split()) <= LONGEST


@pytest.mark.parametrize("page", MEASURED["PARTS"])
def test_what_a_page_tells_is_what_was_measured(page):
    assert MEASURED["written"](page) == (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_no_command_of_a_page_reads_what_lies_beside_the_checkout(page):
    assert [line for line in commands(page) if "../" in line] == []


def test_every_marked_part_is_written_by_something():
    marked = {
        (page.relative_to(ROOT).as_posix(), name)
        for page in pages()
        for name in re.findall(r"<!-- (\w+):begin -->", page.read_text(encoding="utf-8"))
    }
    parts = MEASURED["PARTS"].items()
    assert marked == {(page, name) for page, written in parts for name, _ in written}


def test_what_was_measured_are_the_presets_and_weights_that_are_shipped():
    for name, summary in MEASURED["reference"]().items():
        settings, now = summary["settings"], settle(name)
        threshold = "inf" if now.threshold == math.inf else now.threshold
        assert settings["preset"] == name
        assert (settings["attributor"], settings["zoo"]) == (repr(now.attributor), list(now.zoo))
        assert settings["threshold"] == threshold
        kept = settings["weights"]
        assert kept == {each: catalogue.checkpoint(each).digest() for each in kept}
