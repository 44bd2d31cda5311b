"""What the doctor finds, and the next command to type."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from functools import partial

import pytest
import torch
from huggingface_hub import constants
from typer.testing import CliRunner

from workbench import catalogue
from workbench.cli import doctor, terminal
from workbench.cli.app import app
from workbench.cli.doctor import Fact
from workbench.generators import glide, min_dalle
from workbench.paths import data_folder
from workbench.weights import device, memory


def test_the_doctor_knows_what_is_missing_and_what_to_type(there, monkeypatch):
    monkeypatch.setattr(memory, "total", lambda device: 2**40)
    monkeypatch.setattr(doctor, "get_token", lambda: None)
    assert doctor.readiness("pocket").todo == ""
    modern = doctor.readiness("modern")
    assert modern.todo == "hf auth login && workbench zoo download modern"
    pages = [
        f"{there.url}/{x}"
        for x in ("stabilityai/stable-diffusion-3.5-large", "black-forest-labs/FLUX.1-schnell")
    ]
    assert f"licences to accept at {', '.join(pages)}" in modern.found
    monkeypatch.setattr(doctor, "get_token", lambda: "hf_a")
    assert doctor.readiness("modern").todo == "workbench zoo download modern"
    monkeypatch.setattr(memory, "total", lambda device: 2**34)
    assert doctor.readiness("modern").todo == "choose another zoo or machine"
    ready = [doctor.readiness("pocket"), Fact("preset small", "ready")]
    typed = doctor.next_command(ready)
    assert typed == "workbench attribute PICTURE --preset small"
    found = {fact.what: fact for fact in doctor.facts()}
    assert found["hub"].found == f"{there.url} answers"
    assert "float32" in found["models run on"].found
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    away = {fact.what: fact.found for fact in doctor.facts()}["hub"]
    assert away == "http://127.0.0.1:9 does not answer (ConnectError)"


@pytest.mark.parametrize(
    ("name", "size", "fits"),
    [("sdxl", "6.5", "yes"), ("qwen-image", "54.0", "not whole")],
)
def test_a_gpu_is_not_ruled_out_before_the_parts_are_known(name, size, fits, monkeypatch):
    monkeypatch.setattr(device, "kind", lambda: "cuda")
    monkeypatch.setattr(device, "dtype", lambda row: getattr(torch, row.dtype))
    monkeypatch.setattr(memory, "total", lambda device: 24 * 2**30)
    assert doctor.weight(catalogue.checkpoint(name)) == (size, fits)


def test_a_preset_whose_folder_is_gone_tells_which_and_how_it_comes_back(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CATALOGUE", str(tmp_path))
    (tmp_path / "generators.toml").write_text('[pocket-sd]\nsource = "gone"\n')
    pocket = doctor.readiness("pocket")
    assert pocket.found == f"pocket-sd is not in {tmp_path / 'gone'}"
    edit = f"edit [pocket-sd] in {tmp_path / 'generators.toml'}"
    assert pocket.todo == f"restore the folder, or {edit}"
    shipped = replace(catalogue.checkpoint("pocket-ld"), source=str(data_folder() / "x"))
    assert doctor._restore(shipped) == f"git -C {data_folder().parent} restore data/x"


def test_the_doctor_says_what_to_do_in_lines_that_can_be_copied(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("WORKBENCH_STORE", str(tmp_path / "file"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None)
    monkeypatch.setattr(terminal, "results", partial(terminal.results, 80))
    said = CliRunner().invoke(app, ["doctor"]).stdout.splitlines()
    fetch = "workbench zoo download paper"
    assert (
        f"! preset paper: pip install {glide.PACKAGE} && pip install {min_dalle.PACKAGE} && {fetch}"
        in said
    )
    assert f"! store: choose another folder: {tmp_path / 'file'} cannot be written" in said
