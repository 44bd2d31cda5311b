"""Weights that are no library's own folder are read the same from either kind of file."""

from __future__ import annotations

import torch
from safetensors.torch import save_file

from workbench.generators import tensors
from workbench.weights.checkpoint import Checkpoint


def test_tensors_are_aligned_however_they_lie_in_the_file(tmp_path):
    """A vector unit reads 64 bytes at once; beside the grid, it may sum in another order."""
    written = {f"{size}": torch.arange(size, dtype=torch.float32) for size in range(1, 20)}
    save_file(written, tmp_path / "x.safetensors")
    read = tensors(Checkpoint("x", "generator", "", str(tmp_path)), "x")
    assert {name: x.tolist() for name, x in read.items()} == {
        name: x.tolist() for name, x in written.items()
    }
    assert {x.data_ptr() % 64 for x in read.values()} == {0}


def test_safetensors_go_before_a_pickle(tmp_path):
    row = Checkpoint("x", "generator", "", str(tmp_path), allow_pickle=True)
    torch.save({"a": torch.zeros(1)}, tmp_path / "x.pt")
    assert tensors(row, "x") == {"a": torch.zeros(1)}
    save_file({"a": torch.ones(1)}, tmp_path / "x.safetensors")
    assert tensors(row, "x") == {"a": torch.ones(1)}
