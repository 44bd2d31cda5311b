"""Tests run offline, and leave the user's own store alone."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

import pytest

OFFLINE = Path(__file__).parent / "offline"


def pytest_configure(config: pytest.Config) -> None:
    """Block the network here, and in every child Python through PYTHONPATH."""
    path = [str(OFFLINE), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path))
    runpy.run_path(str(OFFLINE / "sitecustomize.py"))


@pytest.fixture(scope="session", autouse=True)
def _own_store(tmp_path_factory: pytest.TempPathFactory):
    """Send whoever opens the default store to a folder of this run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_STORE", str(tmp_path_factory.mktemp("workbench-store")))
        yield


@pytest.fixture
def store(tmp_path: Path):
    """Open an empty store."""
    from workbench.store import Store

    return Store(tmp_path / "store")


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory):
    """Open one store for the whole run: what one test made, the next finds."""
    from workbench.store import Store

    return Store(tmp_path_factory.mktemp("shared-store"))
