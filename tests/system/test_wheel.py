"""The wheel carries its data: installed elsewhere, it attributes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
SAMPLES = sorted((ROOT / "data" / "samples").glob("*.png"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    command = ["wheel", "--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", out, ROOT]
    subprocess.run([*PIP, *command], check=True, capture_output=True)
    return next(out.glob("attribution_workbench-*.whl"))


def test_the_wheel_carries_catalogue_models_and_samples_and_nothing_else_of_data(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    needed = {"cli/app.py", "attribution/report.html", "py.typed"}
    assert {f"workbench/{name}" for name in needed} <= set(names)
    carried = {name.split("/")[2] for name in names if name.startswith("workbench/_data/")}
    there = {
        name
        for name in ("catalogue", "pocket", "reference", "samples", "world")
        if (ROOT / "data" / name).exists()
    }
    assert carried == there
    held = {name.split("/")[3] for name in names if name.startswith("workbench/_data/reference/")}
    assert held == {"traces"}  # `inspect` tells its error rates
    assert not [name for name in names if name.startswith(("data/", "tests/"))]


@pytest.mark.slow
def test_the_wheel_attributes_elsewhere(wheel, tmp_path):
    target = tmp_path / "site"
    command = ["install", "--no-deps", "--no-index", "--target", target, wheel]
    subprocess.run([*PIP, *command], check=True, capture_output=True)
    child = subprocess.run(
        [sys.executable, "-m", "workbench", "attribute", SAMPLES[0], "--gamma", "1", "--json"],
        cwd=tmp_path,
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join([str(target), os.environ["PYTHONPATH"]]),
            "WORKBENCH_STORE": str(tmp_path / "store"),
        },
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stderr
    assert json.loads(child.stdout)["ranking"][0]["rank"] == 1
    where = subprocess.run(
        [sys.executable, "-c", "import workbench; print(workbench.__file__)"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
    )
    assert where.stdout.startswith(str(target))
