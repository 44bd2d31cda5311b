"""Acceptance 5: a run killed at random moments ends like an undisturbed one, nothing made twice."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from tests.support import toys
from workbench import experiments
from workbench.catalogue.presets import Preset
from workbench.catalogue.setting import settle
from workbench.evaluation import benchmark
from workbench.pipeline.cache import VECTORS
from workbench.similarities.cosine import Cosine
from workbench.store.store import Store

ROOT = Path(__file__).parents[2]
AT_ONCE = {"make": 8, "invert": 8, "encode": VECTORS}
"""What is lost when a run dies, and made again: the batch in the making and, of what another thread
writes, the one before."""


def run(folder: str, log: str, out: str, what: str) -> None:
    """Evaluate a toy preset, or run an experiment on it: what the child of these tests does."""
    prompts = Path(folder).parent / "prompts.csv"
    preset = Preset("toy", "pocket", "natural", "ssim", size=16, gamma=2, prompts=str(prompts))
    toy = {
        "zoo": toys.zoo(log, wait=0.01),
        "inverter": toys.Teller(log),
        "similarity": Cosine(toys.Mean(log=log)),
    }
    if what == "evaluate":
        benchmark.evaluate_preset(preset, 6, store=Store(folder), **toy).save(out)
    else:
        bench = experiments.Bench(settle(preset, **toy), 6, store=Store(folder))
        found = experiments.run(what, bench, attacks=("jpeg",), fitting=2)
        found.save(out)
        found.frames["results"].to_parquet(Path(out) / "results.parquet")


def start(tmp_path: Path, name: str, out: str, what: str = "evaluate") -> subprocess.Popen:
    arguments = [*(str(tmp_path / part) for part in (name, f"{name}.log", out)), what]
    code = f"from tests.system.test_resume import run; run(*{arguments!r})"
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)


@pytest.fixture
def prompts(tmp_path):
    lines = [f"scene {i},{split}" for i, split in enumerate(["calibration", "evaluation"] * 8)]
    (tmp_path / "prompts.csv").write_text("\n".join(["prompt,split", *lines]) + "\n")


def frames(folder: Path) -> dict[str, pd.DataFrame]:
    found = {path.stem: pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))}
    return {name: frame.drop(columns="seconds", errors="ignore") for name, frame in found.items()}


FRAMES = {"evaluate": 9, "robustness": 3}


def assert_equal(one: Path, two: Path, what: str = "evaluate") -> None:
    left, right = frames(one), frames(two)
    assert set(left) == set(right)
    assert len(left) == FRAMES[what]
    for name, frame in left.items():
        pd.testing.assert_frame_equal(frame, right[name])


def made(tmp_path: Path, name: str) -> Counter:
    return Counter((tmp_path / f"{name}.log").read_text().splitlines())


@pytest.mark.slow
@pytest.mark.usefixtures("prompts")
@pytest.mark.parametrize("what", ["evaluate", "robustness"])
def test_killed_at_random_moments_and_finished(tmp_path, what):
    assert start(tmp_path, "calm", "calm-out", what).wait(300) == 0
    calls, rng, kills = made(tmp_path, "calm").total(), random.Random(0), 0
    (tmp_path / "killed.log").touch()
    for share in (0.2, 0.4, 0.6):
        child = start(tmp_path, "killed", "killed-out", what)
        while child.poll() is None and made(tmp_path, "killed").total() < share * calls:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.05))
        kills += child.poll() is None
        child.kill()
        child.wait()
    assert start(tmp_path, "killed", "killed-out", what).wait(300) == 0
    assert kills
    assert_equal(tmp_path / "calm-out", tmp_path / "killed-out", what)
    for kind, batch in AT_ONCE.items():
        counts = [n for line, n in made(tmp_path, "killed").items() if line.startswith(kind)]
        assert sum(counts) - len(counts) <= kills * batch
    with Store(tmp_path / "killed") as store, Store(tmp_path / "calm") as calm:
        assert store.verify() == []
        same = ("prompts", "generations", "features", "pictures")
        assert [store.info()[each] for each in same] == [calm.info()[each] for each in same]


@pytest.mark.slow
@pytest.mark.usefixtures("prompts")
def test_two_processes_on_one_store(tmp_path):
    children = [start(tmp_path, "shared", out) for out in ("one", "two")]
    assert [child.wait(300) for child in children] == [0, 0]
    assert_equal(tmp_path / "one", tmp_path / "two")
    assert set(made(tmp_path, "shared").values()) == {1}
