"""Tests run offline, and leave the user's own store alone."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

SHIPPED = Path(__file__).parents[1] / "data"

OFFLINE = Path(__file__).parent / "support" / "offline"
OTHERS = tuple(SHIPPED.parent / "tests" / name for name in ("browser", "runners"))
"""Tests that wait for programs of others, a browser, JupyterLab, Ray, which have deadlines."""


def pytest_configure(config: pytest.Config) -> None:
    """Block the network here, and in every child Python through PYTHONPATH.

    Threads of torch that wait sleep: those of two processes would else hold each other up.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    path = [str(OFFLINE), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path))
    runpy.run_path(str(OFFLINE / "sitecustomize.py"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that hold slow tests: what a parallel run ends with is short.

    Where a deadline of another program was missed, the test is tried once more, and counted as
    "rerun" in the summary: a defect to look at, but none of the change.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in OTHERS):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any):
    """Share out a parallel run: a file to one process, for its fixtures; notebooks one by one.

    All browser tests go to one process, for their JupyterLab.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Shares(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if "::test_it_runs_top_to_bottom_offline[" in nodeid:
                return nodeid
            return "tests/browser" if "tests/browser/" in nodeid else nodeid.partition("::")[0]

    return Shares(config, log)


@pytest.fixture(scope="session", autouse=True)
def _own_store(tmp_path_factory: pytest.TempPathFactory):
    """Send whoever opens the default store or catalogue to a folder of this run.

    The processes of a run share the store: what one made, the others find.
    """
    base = tmp_path_factory.getbasetemp()
    run = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_CATALOGUE", str(tmp_path_factory.mktemp("workbench-catalogue")))
        patch.setenv("WORKBENCH_STORE", str(run / "workbench-store"))
        yield


@pytest.fixture(scope="session")
def warm_server():
    """Start the process that forks Pythons (`tests.support.warm`); the environment to ask it.

    They draw with one thread each: two processes of a run share two cores.
    """
    with tempfile.TemporaryDirectory() as folder:  # a short path: that of a socket has few letters
        door = Path(folder, "door")
        command = [sys.executable, "-m", "tests.support.warm.serve", str(door)]
        how = {"cwd": SHIPPED.parent, "stdin": subprocess.PIPE, "start_new_session": True}
        how["env"] = os.environ | {"OMP_THREAD_LIMIT": "1"}
        with subprocess.Popen(command, **how) as server:
            while not door.with_suffix(".ready").exists():
                assert server.poll() is None, "the process that forks Pythons did not start"
                time.sleep(0.05)
            yield {"WARM_PYTHON": str(door), "JUPYTER_PATH": str(OFFLINE.parent / "warm")}
            server.stdin.close()


@pytest.fixture(scope="session")
def sketched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment in which the pocket models draw in two steps, two pictures a model.

    For processes that are asked whether all runs, not what is drawn: drawing is nearly all that
    they do. Their pictures have keys of their own in the store.
    """
    from workbench import catalogue
    from workbench.catalogue import toml

    folder = tmp_path_factory.mktemp("sketched")
    presets = tomllib.loads((SHIPPED / "catalogue" / "presets.toml").read_text())["presets"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_CATALOGUE", str(folder))
        for name, row in catalogue.rows_of("generator").items():
            options = {key: list(x) if isinstance(x, tuple) else x for key, x in row.options}
            if row.folder is not None and "steps" in options:
                few = [2] * len(options["steps"]) if isinstance(options["steps"], list) else 2
                toml.write("generators.toml", name, {"options": options | {"steps": few}})
        own = {name: row | {"gamma": 2} for name, row in presets.items() if row["zoo"] == "pocket"}
        toml.write("presets.toml", "presets", own)
    return {"WORKBENCH_CATALOGUE": str(folder)}


@pytest.fixture(scope="module")
def warm_kernels(warm_server: dict[str, str], sketched: dict[str, str]):
    """Let every kernel of a module's notebooks be forked from a process that has imported torch.

    The pocket models sketch there: a notebook is asked whether it runs.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (warm_server | sketched).items():
            patch.setenv(name, value)
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
