"""Tests run offline, and leave the user's own store alone."""

from __future__ import annotations

import os
import runpy
import shutil
from pathlib import Path

import pytest

SHIPPED = Path(__file__).parents[1] / "data"

OFFLINE = Path(__file__).parent / "support" / "offline"


def pytest_configure(config: pytest.Config) -> None:
    """Block the network here, and in every child Python through PYTHONPATH.

    Threads of torch that wait sleep: those of two processes would else hold each other up.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    path = [str(OFFLINE), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path))
    runpy.run_path(str(OFFLINE / "sitecustomize.py"))


@pytest.fixture(scope="session", autouse=True)
def _own_store(tmp_path_factory: pytest.TempPathFactory):
    """Send whoever opens the default store or catalogue to a folder of this run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_CATALOGUE", str(tmp_path_factory.mktemp("workbench-catalogue")))
        patch.setenv("WORKBENCH_STORE", str(tmp_path_factory.mktemp("workbench-store")))
        yield


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a data folder whose models are tiny and untrained, but real."""
    from tests.support.models import tiny

    data = tmp_path_factory.mktemp("data")
    (data / "catalogue").mkdir()
    made: dict[str, list[str]] = {"generators": [], "inverters": [], "encoders": []}
    for name in ("tiny-sd", "tiny-ld", "tiny-blip", "tiny-clip"):
        row = tiny.build(name, data / "pocket")
        made[row.role + "s"].append(
            f"[{name}]\nplugin = {row.plugin!r}\nclass = {row.class_name!r}\n"
            f"source = 'pocket/{name}'\nsize = {row.size}\n[{name}.options]\n"
            + "".join(f"{key} = {value}\n" for key, value in row.options)
        )
    for role, rows in made.items():
        (data / "catalogue" / f"{role}.toml").write_text("\n".join(rows))
    setting = "zoo = 'tiny'\ninverter = 'tiny-blip'\nsimilarity = 'tiny-clip'\ngamma = 2\n"
    setting += "size = 32\nprompts = 'prompts.csv'\n"

    def known(score: float) -> str:
        scores = [score] * 19  # the fewest that can reject
        return f"known.'tiny-sd' = {scores}\nknown.'tiny-ld' = {scores}\n"

    (data / "catalogue" / "presets.toml").write_text(
        "[zoos]\ntiny = ['tiny-sd', 'tiny-ld']\n"
        f"[presets.pocket]\n{setting}threshold = 0.0\nthreshold_from = 'a test'\n"
        f"[presets.never]\n{setting}threshold = inf\nthreshold_from = 'a test'\n"
        f"[presets.calibrated]\n{setting}threshold = 0.0\nthreshold_from = 'a test'\n"
        f"conformal = 'inf'\n{known(-2.0)}"
        f"[presets.strange]\n{setting}threshold = 0.0\nthreshold_from = 'a test'\n"
        f"conformal = 0.0\n{known(2.0)}"
    )
    shutil.copytree(SHIPPED / "catalogue" / "labels", data / "catalogue" / "labels")
    splits = [f"a thing {i},{'calibration' if i % 2 else 'evaluation'}" for i in range(24)]
    (data / "prompts.csv").write_text("\n".join(["prompt,split", *splits]) + "\n")
    return data


@pytest.fixture
def tiny(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the catalogue be the tiny one; its presets are pocket, never, calibrated and strange.

    With calibrated every set holds all and nothing is rejected, with strange everything is.
    """
    from workbench import paths

    monkeypatch.setattr(paths, "PLACES", [tiny_data])
    return tiny_data


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Paint three pictures into a folder: one.png, two.jpg, and three.png in a folder below."""
    import numpy as np
    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures")
    (folder / "below").mkdir()
    for seed, name in enumerate(["one.png", "two.jpg", "below/three.png"]):
        pixels = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((60, 48)).save(folder / name)
    return folder


@pytest.fixture
def store(tmp_path: Path):
    """Open an empty store."""
    from workbench.store.store import Store

    return Store(tmp_path / "store")


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory):
    """Open one store for the whole run: what one test made, the next finds."""
    from workbench.store.store import Store

    return Store(tmp_path_factory.mktemp("shared-store"))
