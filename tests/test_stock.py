"""What ``zoo list`` says of a row: its licence, and what fits before its parts are known."""

from __future__ import annotations

import pytest
import torch
from typer.testing import CliRunner

from workbench import catalogue, checkpoints, memory, stock
from workbench.cli import app


def test_a_licence_to_accept_shows_beside_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CATALOGUE", str(tmp_path))
    (tmp_path / "generators.toml").write_text('[flux-dev]\nlicence = "other"\n')
    done = CliRunner().invoke(app, ["zoo", "list", "flux-dev"])
    assert "other, to accept" in done.stdout


@pytest.mark.parametrize(
    ("name", "size", "fits"),
    [("sdxl", "6.5", "yes"), ("qwen-image", "54.0", "not whole")],
)
def test_a_gpu_is_not_ruled_out_before_the_parts_are_known(name, size, fits, monkeypatch):
    monkeypatch.setattr(checkpoints, "device", lambda: "cuda")
    monkeypatch.setattr(checkpoints, "dtype", lambda row: getattr(torch, row.dtype))
    monkeypatch.setattr(memory, "total", lambda device: 24 * 2**30)
    assert stock._weight(catalogue.checkpoint(name)) == (size, fits)
