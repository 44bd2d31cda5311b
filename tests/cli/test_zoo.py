"""What ``zoo list`` says of a row: its licence, and what fits before its parts are known."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace
from functools import partial

import pytest
import torch
from huggingface_hub import constants
from typer.testing import CliRunner

from workbench import catalogue
from workbench.cli import doctor, terminal
from workbench.cli.app import app
from workbench.generators import glide, min_dalle
from workbench.paths import data_folder
from workbench.weights import device, memory


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
    monkeypatch.setattr(device, "kind", lambda: "cuda")
    monkeypatch.setattr(device, "dtype", lambda row: getattr(torch, row.dtype))
    monkeypatch.setattr(memory, "total", lambda device: 24 * 2**30)
    assert doctor.weight(catalogue.checkpoint(name)) == (size, fits)


@pytest.mark.parametrize(("width", "shown"), [(80, False), (120, True)])
def test_a_narrow_terminal_cuts_nothing_and_leaves_the_classes_out(width, shown, monkeypatch):
    console = partial(terminal.results, width)
    monkeypatch.setattr(terminal, "results", console)
    text = CliRunner().invoke(app, ["zoo", "list"]).stdout.split("\n\n")[0]
    assert {line.split()[0] for line in text.splitlines()[1:]} == {*catalogue.all_rows()}
    assert "…" not in text
    assert ("StableDiffusionPipeline" in text) is shown


def test_a_row_without_its_package_names_it(monkeypatch):
    found = importlib.util.find_spec
    lost = ("min_dalle", "num2words")
    hidden = lambda name, *rest: None if name in lost else found(name, *rest)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", hidden)
    listed = CliRunner().invoke(app, ["zoo", "list", "dalle-mini"]).stdout
    assert "dalle-mini needs min_dalle: pip install 'attribution-workbench[dalle-mini]'" in listed
    paper = doctor.readiness("paper")
    assert "min_dalle" in paper.found
    assert "pip install 'attribution-workbench[dalle-mini]'" in paper.todo
    assert doctor.lacking(catalogue.all_rows().values()).items() >= {
        ("min_dalle", "'attribution-workbench[dalle-mini]'"),
        ("num2words", "'attribution-workbench[chat]'"),
    }
    assert not doctor.packages(catalogue.checkpoint("qwen3-vl-4b"))


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


def test_steps_are_of_a_generator(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CATALOGUE", str(tmp_path))
    folder = catalogue.checkpoint("pocket-blip").source
    done = CliRunner().invoke(app, ["zoo", "add", folder, "--name", "mine", "--steps", "2"])
    assert done.exit_code == 2
    assert "--steps and --guidance are of a generator, and mine is an inverter" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_role_without_rows_is_told():
    done = CliRunner().invoke(app, ["zoo", "list", "attack"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "workbench: there are no checkpoints of the role attack\n"


def test_looking_at_rows_imports_no_heavy_library():
    code = (
        "import sys; from workbench import catalogue; from workbench.weights import checkpoint; "
        "list(map(checkpoint.is_downloaded, catalogue.all_rows().values())); "
        "print({*sys.modules} & {'torch', 'open_clip'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_preset_with_a_misspelt_model_stops_no_listing_and_is_not_ready(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CATALOGUE", str(tmp_path))
    rest = 'inverter = "natural"\nsimilarity = "ssim"\n'
    (tmp_path / "presets.toml").write_text(
        f'[presets.x]\nzoo = ["pocket-sd", "pocket-lld"]\n{rest}'
        f'[presets.y]\nzoo = "pocket-sd, gone"\n{rest}'
        f'[presets.z]\nzoo = "pocket-sd, pocket-ld"\n{rest}'
    )
    x, y, z = map(doctor.readiness, "xyz")
    assert x.found.startswith("x: no generator named 'pocket-lld'; there are: ")
    assert x.found.endswith("did you mean 'pocket-ld'?")
    assert x.todo == f"edit [presets.x] in {tmp_path / 'presets.toml'}"
    assert y.found.startswith("y: no generator named 'gone'")
    assert z.found == "ready"
    listed = CliRunner().invoke(app, ["zoo", "list"])
    assert f"preset x: {x.found}. Next: {x.todo}\n" in listed.stdout
    (tmp_path / "generators.toml").write_text('[pocket-ld]\nsource = "gone"\n')
    listed = CliRunner().invoke(app, ["zoo", "list", "z"]).stdout
    assert f"preset z: pocket-ld is not in {tmp_path / 'gone'}. Next: restore" in listed
