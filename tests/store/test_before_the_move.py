"""A store that was filled before modules became packages answers after it, and makes nothing.

``before`` holds that store (two pictures, γ = 2, four models), the catalogue of that day, the
digests of its weights and the ranking it gave. The weights themselves have been trained further
since: their digests of that day stand in their place, and loading any of them is an error.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

import workbench as wb
from workbench import paths
from workbench.weights import loading
from workbench.weights.checkpoint import Checkpoint

BEFORE = Path(__file__).parent / "before"
WEIGHTS = json.loads((BEFORE / "weights.json").read_text())


@pytest.fixture
def store(tmp_path, monkeypatch):
    shutil.copytree(BEFORE, tmp_path / "store", ignore=shutil.ignore_patterns("samples"))
    monkeypatch.setattr(paths, "PLACES", [BEFORE])
    monkeypatch.setenv("WORKBENCH_CATALOGUE", str(tmp_path / "none"))
    monkeypatch.setattr(Checkpoint, "digest", lambda row: WEIGHTS[row.name])

    def refuse(checkpoint, loader):
        raise AssertionError(f"{checkpoint} was loaded: something was made again")

    monkeypatch.setattr(loading, "load_weights", refuse)
    with wb.Store(tmp_path / "store") as opened:
        yield opened


def test_a_store_of_before_gives_the_same_ranking_and_makes_nothing(store):
    held = store.info()
    pictures = sorted((BEFORE / "samples").glob("*.png"))
    found = wb.attribute(pictures, preset="pocket", gamma=2, seed=0, store=store)
    assert found.setting.weights == WEIGHTS
    expected = pd.read_csv(BEFORE / "rankings.csv")
    pd.testing.assert_frame_equal(
        found.rankings.drop(columns="score"), expected.drop(columns="score"), check_dtype=False
    )
    assert list(found.rankings["score"]) == pytest.approx(list(expected["score"]), abs=1e-12)
    after = store.info()
    assert {key: after[key] for key in ("prompts", "generations", "features", "pictures")} == {
        key: held[key] for key in ("prompts", "generations", "features", "pictures")
    }
