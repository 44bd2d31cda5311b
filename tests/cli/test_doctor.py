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
from workbench.catalogue import presets
from workbench.cli import doctor, terminal
from workbench.cli.app import app
from workbench.cli.doctor import Fact
from workbench.generators import glide, min_dalle
from workbench.paths import data_folder
from workbench.weights import device, loading, memory


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
    modern = doctor.readiness("modern")
    assert modern.todo == "choose another zoo (small, paper) or machine"
    assert "'sd-3-5-large' needs about 62.4 GiB as float32, and there are 16.0 GiB" in modern.found
    assert "a GPU with about 6.1 GiB would do, in halves and groups of layers" in modern.found
    ready = [doctor.readiness("pocket"), Fact("preset small", "ready")]
    typed = doctor.next_command(ready)
    assert typed == "workbench attribute PICTURE --preset small"
    found = {fact.what: fact for fact in doctor.facts()}
    assert found["hub"].found == f"{there.url} answers"
    assert "float32" in found["models run on"].found
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    away = {fact.what: fact.found for fact in doctor.facts()}["hub"]
    assert away == "http://127.0.0.1:9 does not answer (ConnectError)"


@pytest.fixture
def card(monkeypatch):
    """Stand in for a GPU of so many GiB, in a computer of so many."""

    def put(size, own=64):
        monkeypatch.setattr(device, "kind", lambda: "cuda")
        monkeypatch.setattr(device, "dtype", lambda row: getattr(torch, row.dtype))
        there = {"cuda": size, "cpu": own}
        monkeypatch.setattr(memory, "total", lambda where: there[where] * 2**30)

    return put


@pytest.mark.parametrize(
    ("name", "size", "fits"),
    [
        ("sdxl", "6.5", "yes"),
        ("sd-3-5-large", "26.0", "in parts"),
        ("flux-schnell", "31.0", "in groups"),
        ("flux-2-dev", "105.0", "no"),
    ],
)
def test_the_rows_tell_what_a_gpu_holds_before_anything_is_fetched(card, name, size, fits):
    card(24)
    assert doctor.weight(catalogue.checkpoint(name)) == (size, fits)


@pytest.mark.parametrize(("size", "own", "slow"), [(12, 32, set()), (24, 48, {"flux-schnell"})])
def test_a_zoo_named_after_a_card_fits_it_with_every_preset_row(card, size, own, slow):
    """By whole or by parts, but one of few steps, with 5 % of the card for the screen."""
    card(0.95 * size, own)
    rows = presets.members(f"modern-{size}")
    found = {row.name: doctor.weight(row)[1] for row in rows}
    assert {name for name, fits in found.items() if fits == "in groups"} == slow
    assert set(found.values()) <= {"yes", "in parts", "in groups"}, found
    modern = doctor.readiness("modern")
    assert f"modern-{size}" in modern.todo
    assert (
        "'qwen-image' needs about 54.0 GiB" in modern.found or "'qwen-image' needs" in modern.found
    )


def test_the_parts_of_a_row_are_known_by_its_largest(card):
    card(24)
    for name in ("flux-schnell", "sd-3-5-large", "kandinsky-3"):
        row = catalogue.checkpoint(name)
        sizes = loading.needs(row)
        assert sum(sizes.values()) == pytest.approx(row.memory * 2**30, rel=0.01)
        assert max(sizes.values()) == pytest.approx(row.largest * 2**30)


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
        f"+ preset paper: pip install {glide.PACKAGE} && pip install {min_dalle.PACKAGE} && {fetch}"
        in said
    )
    assert f"! store: choose another folder: {tmp_path / 'file'} cannot be written" in said
    needed = said[said.index("Needed:") + 1 : said.index("For more:")]
    assert [line.split(":")[0] for line in needed if line] == ["! store"]


def test_what_is_for_more_is_not_called_needed(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None)
    lines = CliRunner().invoke(app, ["doctor"]).stdout.splitlines()
    assert "Nothing that is needed is missing." in lines
    assert not [line for line in lines if line.startswith("!")]
    assert any(line.startswith("+  ray") for line in lines)
