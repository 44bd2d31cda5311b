"""Pickles and code beside weights: refused unless the row allows them."""

from __future__ import annotations

import pytest
import torch

from tests.support.models import tiny
from tests.weights.conftest import row_over
from workbench.generators.diffusers import Diffusers
from workbench.weights.safety import safe_loader_kwargs


def test_pickled_weights_are_refused(tmp_path):

    tiny.build("tiny-sd", tmp_path)
    unet = tmp_path / "tiny-sd" / "unet"
    (unet / "diffusion_pytorch_model.safetensors").unlink()
    torch.save({}, unet / "diffusion_pytorch_model.bin")
    with pytest.raises(LookupError, match=r"^the weights of 'tiny-sd' cannot be loaded: "):
        Diffusers(tiny.row("tiny-sd", tmp_path))(["x"], [0])


def test_pickles_are_refused_and_read_only_where_the_row_says_so(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle")
    sentence = (
        r"^the weights of 'mine' are a pickle \(pytorch_model.bin\), which can run code: it was "
        "not read. Choose a checkpoint with safetensors, or, if you trust who made it, write "
        r"allow_pickle = true under \[mine\] into your catalogue "
        r"\(it is then read with weights_only\)$"
    )
    with pytest.raises(LookupError, match=sentence):
        safe_loader_kwargs(row_over(tmp_path))
    assert safe_loader_kwargs(row_over(tmp_path, allow_pickle=True))["use_safetensors"] is None
    (tmp_path / "model.safetensors").write_bytes(b"safe")
    assert safe_loader_kwargs(row_over(tmp_path))["use_safetensors"] is True


def test_code_beside_weights_runs_only_for_a_row_that_is_named(folder, monkeypatch):
    row = row_over(folder, remote_code=True)
    sentence = (
        f"^'mine' runs code that comes with its weights: read it in {folder}, then set "
        "WORKBENCH_TRUST=mine to let it run$"
    )
    monkeypatch.setenv("WORKBENCH_TRUST", "other")
    with pytest.raises(LookupError, match=sentence):
        safe_loader_kwargs(row)
    monkeypatch.setenv("WORKBENCH_TRUST", "other,mine")
    assert safe_loader_kwargs(row)["trust_remote_code"] is True
    assert safe_loader_kwargs(row_over(folder))["trust_remote_code"] is False
