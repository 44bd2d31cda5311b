"""Rows over a hollow folder of weights; what a test loaded is forgotten."""

from __future__ import annotations

import pytest

from tests.support.models import tiny
from workbench.weights import loading
from workbench.weights.checkpoint import Checkpoint


def row_over(folder, **fields):
    """Make the row 'mine' of an encoder whose weights are a folder."""
    return Checkpoint("mine", "encoder", "plugin", str(folder), **fields)


@pytest.fixture
def folder(tmp_path):
    """Make a folder of weights with nothing in them."""
    return tiny.hollow(tmp_path / "mine")


@pytest.fixture(autouse=True)
def _no_models_kept():
    loading.clear_weights()
    yield
    loading.clear_weights()
