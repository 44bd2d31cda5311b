"""What ``zoo list`` says of a row: its licence, and what fits before its parts are known."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from functools import partial

import pytest
from typer.testing import CliRunner

from workbench import catalogue, paths
from workbench.cli import doctor, terminal, zoo
from workbench.cli.app import app


def test_a_licence_to_accept_shows_beside_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CATALOGUE", str(tmp_path))
    (tmp_path / "generators.toml").write_text('[flux-dev]\nlicence = "other"\n')
    done = CliRunner().invoke(app, ["zoo", "list", "flux-dev"])
    assert "other, to accept" in done.stdout


@pytest.mark.parametrize(("width", "shown"), [(80, False), (120, True)])
def test_a_narrow_terminal_cuts_nothing_and_leaves_the_classes_out(width, shown, monkeypatch):
    console = partial(terminal.results, width)
    monkeypatch.setattr(terminal, "results", console)
    text = CliRunner().invoke(app, ["zoo", "list"]).stdout.split("\n\n")[0]
    lines = [line for line in text.splitlines()[1:] if not line.startswith(" ")]  # a licence wraps
    assert {line.split()[0] for line in lines} == {*catalogue.all_rows()}
    assert "…" not in text
    assert ("StableDiffusionPipeline" in text) is shown


def test_what_is_here_is_listed_first_then_what_fits():
    lines = CliRunner().invoke(app, ["zoo", "list"]).stdout.split("\n\n")[0].splitlines()[1:]
    rows = [(line.split()[0], " here " in line, " no " in line) for line in lines]
    here = [place for place, (_, there, _) in enumerate(rows) if there]
    assert here == list(range(len(here)))
    assert {"pocket-sd", "pocket-blip", "pocket-clip"} <= {rows[place][0] for place in here}
    large = [place for place, (_, _, no) in enumerate(rows) if no]
    assert large == [] or large[0] > here[-1]


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
    nearest = "x: no generator named 'pocket-lld'; did you mean 'pocket-ld'? There are: "
    assert x.found.startswith(nearest)
    assert x.todo == f"edit [presets.x] in {tmp_path / 'presets.toml'}"
    assert y.found.startswith("y: no generator named 'gone'")
    assert z.found == "ready"
    listed = CliRunner().invoke(app, ["zoo", "list"])
    assert f"preset x: {x.found}. Next: {x.todo}\n" in listed.stdout
    (tmp_path / "generators.toml").write_text('[pocket-ld]\nsource = "gone"\n')
    listed = CliRunner().invoke(app, ["zoo", "list", "z"]).stdout
    assert f"preset z: pocket-ld is not in {tmp_path / 'gone'}. Next: restore" in listed


def test_zoo_list_show_and_verify(run, tiny, monkeypatch):
    assert "zoo tiny: tiny-sd, tiny-ld" in run("zoo", "list").stdout
    card = {"slot_accuracy": 0.5, "training": {"unet": {"losses": [[100, 1.0]] * 99}}}
    monkeypatch.setattr(zoo, "_manifest", lambda: {"tiny-ld": card})
    shown = run("zoo", "show", "tiny-ld").stdout
    assert "diffusers.LDMTextToImagePipeline" in shown
    assert "slot_accuracy" in shown
    assert "losses" not in shown, "they fill pages"
    assert run("zoo", "verify", "tiny-clip").stdout == "tiny-clip: good\n"


def test_zoo_verify_tells_of_another_checksum(run, tmp_path, tiny, monkeypatch):
    data = tmp_path / "data"
    (data / "pocket").mkdir(parents=True)
    (data / "catalogue").symlink_to(tiny / "catalogue")
    (data / "pocket" / "tiny-clip").symlink_to(tiny / "pocket" / "tiny-clip")
    known = {"tiny-clip": {"sha256": {"open_clip_model.safetensors": "0" * 64}}}
    (data / "pocket" / "manifest.json").write_text(json.dumps(known))
    monkeypatch.setattr(paths, "PLACES", [data])
    result = run("zoo", "verify", "tiny-clip")
    assert result.exit_code == 1
    assert "is not the one that was published: its sha256 differs" in result.stdout
