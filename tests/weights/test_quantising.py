"""A denoiser in 4 bits: what it takes, what it needs, and the picture that it draws."""

from __future__ import annotations

import dataclasses
import re
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from tests.support.models import tiny
from workbench import catalogue
from workbench.cli import doctor
from workbench.generators.diffusers import Diffusers
from workbench.weights import device, loading, memory, quantising

NAME = "flux-schnell-nf4"
needs_package = pytest.mark.skipif(
    find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)


@pytest.fixture
def row():
    plain = tiny.checkpoint("tiny-flux")
    return dataclasses.replace(plain, options=dict(plain.options) | {"quantise": "nf4"})


def test_flux_in_four_bits_fits_cards_whole_or_by_part_and_never_in_groups(monkeypatch):
    monkeypatch.setattr(device, "kind", lambda: "cuda")
    monkeypatch.setattr(device, "dtype", lambda row: getattr(torch, row.dtype))
    rows = [catalogue.checkpoint(name) for name in ("flux-schnell", "flux-schnell-fp8", NAME)]
    cards = [24, 16, 12, 8]
    found = [[loading.fit(row, card * 2**30, 64 * 2**30) for row in rows] for card in cards]
    assert found == [
        ["groups", "whole", "whole"],
        ["groups", "parts", "parts"],
        ["groups", "groups", "parts"],
        ["", "groups", ""],
    ]
    monkeypatch.setattr(memory, "total", lambda where: (8 if where == "cuda" else 64) * 2**30)
    assert doctor.weight(rows[2]) == ("15.0", "no")
    assert loading.refusal(rows[2]) == (
        "'flux-schnell-nf4' needs about 18.1 GiB as bfloat16 (10.6 GiB part by part), and there "
        "are 8.0 GiB on the GPU; use a machine with more memory, or another model"
    )


def test_four_bits_need_a_gpu_and_the_doctor_knows(row):
    sentence = (
        "'tiny-flux' keeps its denoiser in 4 bits, which needs a GPU; without one, choose another "
        'row of the model, or quantise = "fp8" in its options'
    )
    with pytest.raises(LookupError, match=f"^{re.escape(sentence)}$"):
        Diffusers(row)(["a red circle"], [7])
    assert loading.refusal(row) == sentence
    assert doctor.weight(row)[1] == "no"


def test_bitsandbytes_missing_is_said_with_how_to_get_it(row, monkeypatch):
    assert doctor.packages(catalogue.checkpoint(NAME)) == {
        "bitsandbytes": "'attribution-workbench[nf4]'"
    }
    assert doctor.packages(catalogue.checkpoint("flux-schnell-fp8")) == {}
    monkeypatch.setattr(quantising, "lacking", lambda row: "")
    monkeypatch.setattr(quantising, "find_spec", lambda name: None)
    sentence = "'tiny-flux' in 4 bits needs bitsandbytes: pip install 'attribution-workbench[nf4]'"
    with pytest.raises(LookupError, match=f"^{re.escape(sentence)}$"):
        Diffusers(row)(["a red circle"], [7])


@needs_package
def test_the_denoiser_alone_is_kept_in_four_bits_and_draws_a_like_picture(row, monkeypatch):
    """By bitsandbytes itself, which can do so on a CPU; diffusers asks for a GPU before."""
    from diffusers.quantizers.bitsandbytes import BnB4BitDiffusersQuantizer as Quantizer

    monkeypatch.setattr(quantising, "lacking", lambda row: "")
    monkeypatch.setattr(Quantizer, "validate_environment", lambda *_, **__: None)
    monkeypatch.setattr(Quantizer, "update_device_map", lambda *_: {"": "cpu"})
    plain = tiny.checkpoint("tiny-flux")
    (first,), (second,) = (Diffusers(x)(["a red circle"], [7]) for x in (plain, row))
    assert first.tobytes() != second.tobytes()
    assert np.abs(np.float64(first) - np.float64(second)).mean() < 32  # of 255
    (pipe,) = Diffusers(row).loaded()
    config = pipe.transformer.config.quantization_config
    assert (config.load_in_4bit, config.bnb_4bit_quant_type) == (True, "nf4")
    assert torch.uint8 in {x.dtype for x in pipe.transformer.parameters()}
    for part in (pipe.vae, pipe.text_encoder_2):
        assert {x.dtype for x in part.parameters()} == {torch.float32}
