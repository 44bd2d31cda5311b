"""The command, called in this process, and a hub on this computer for it."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from tests.support.repositories import folders, there  # noqa: F401
from workbench.cli import app


@pytest.fixture
def run(tiny, shared_store, monkeypatch):
    """Call the command in this process, with the tiny models and the store of the whole run."""
    monkeypatch.setenv("WORKBENCH_STORE", str(shared_store.path))
    return lambda *words: CliRunner().invoke(app.app, [str(word) for word in words])
