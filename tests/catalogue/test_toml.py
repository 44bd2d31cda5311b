"""Tables: the user's rows over the shipped ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from workbench import catalogue
from workbench.catalogue import presets, toml
from workbench.paths import user_folder


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CATALOGUE", str(tmp_path / "mine"))
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


def test_without_a_user_s_table_the_shipped_ones_count(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_CATALOGUE", str(tmp_path / "not there"))
    assert "pocket-sd" in toml.read("generators.toml")
    assert toml.read("similarities.toml") == {}
    assert not (tmp_path / "not there").exists()  # never made by reading


def test_a_row_of_the_user_changes_fields_of_the_shipped_one(mine):
    (mine / "generators.toml").write_text('[sd-1-4]\nrevision = "abc"\n')
    row = catalogue.checkpoint("sd-1-4")
    assert row.digest() == "CompVis/stable-diffusion-v1-4@abc"
    assert row.class_name == "diffusers.StableDiffusionPipeline"
    (mine / "generators.toml").write_text('[sd-1-4]\nrevision = "abcdef"\n')
    assert catalogue.checkpoint("sd-1-4").revision == "abcdef"  # read anew once changed


def test_a_folder_of_the_user_takes_the_place_of_a_hub(mine):
    (mine / "generators.toml").write_text('[sd-1-4]\nsource = "weights/sd"\nsize = 64\n')
    row = catalogue.checkpoint("sd-1-4")
    assert row.folder == mine / "weights/sd"
    assert (row.size, row.revision, row.family) == (64, "", "SD")


def test_zoos_and_presets_of_the_user_join_the_shipped_ones(mine):
    (mine / "presets.toml").write_text(
        '[zoos]\nmine = ["pocket-sd", "pocket-ld"]\n'
        '[presets.mine]\nzoo = "mine"\ninverter = "pocket-blip"\nsimilarity = "ssim"\n'
        '[presets.pocket]\nzoo = "mine"\ninverter = "pocket-blip"\nsimilarity = "mse"\n'
    )
    assert list(catalogue.zoo("mine")) == ["pocket-sd", "pocket-ld"]
    assert {"pocket", "mine"} <= set(catalogue.zoos())
    assert presets.preset("pocket").similarity == "mse"
    assert presets.preset("pocket").threshold is None  # nothing is left of the shipped one
    assert presets.preset("mine").zoo == "mine"


def test_writing_keeps_what_else_stands_in_the_file(mine):
    file = toml.write("encoders.toml", "new", {"source": "a/b", "revision": 'quo"te'})
    assert file == mine / "encoders.toml"
    file.write_text("# mine\n" + file.read_text())
    toml.write("encoders.toml", "new", {"size": 3})
    toml.write("encoders.toml", "other", {"source": "c/d", "revision": ""})
    assert file.read_text().startswith("# mine\n")
    assert toml.read("encoders.toml")["new"] == {
        "source": "a/b",
        "revision": 'quo"te',
        "size": 3,
    }
    assert [path.name for path in mine.iterdir()] == ["encoders.toml"]


def test_a_broken_file_or_row_is_told_by_name(mine):
    (mine / "generators.toml").write_text("[sd-1-4\n")
    for read in (catalogue.rows_of, lambda role: toml.write(f"{role}s.toml", "new", {})):
        with pytest.raises(ValueError, match=rf"^{mine}/generators.toml is not TOML: "):
            read("generator")
    (mine / "generators.toml").write_text("gamma = 4\n")
    sentence = rf"^{mine}/generators.toml should hold tables alone; gamma is 4$"
    with pytest.raises(ValueError, match=sentence):
        catalogue.rows_of("generator")


def test_a_folder_that_is_a_file_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("WORKBENCH_CATALOGUE", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"file cannot be made a folder .* name another one with WOR"):
        toml.write("generators.toml", "new", {})


ROWS = {
    "stepps = 4": r"has no field 'stepps'; there are: allow_pickle, batch, .*, verified$",
    "name = 'x'": r"has no field 'name'; there are: ",
    "batch = '4'": "batch should be a whole number; it is '4'$",
    "batch = true": "batch should be a whole number; it is True$",
    "memory = nan": "memory should be a number; it is nan$",
    "allow_pickle = 'false'": "allow_pickle should be true or false; it is 'false'$",
    "remote_code = 1": "remote_code should be true or false; it is 1$",
    "files = '*'": r"files should be a list, each text; it is '\*'$",
    "stages = [1]": r"stages should be a list, each text; it is \[1\]$",
    "options = { a = { b = 1 } }": "options should be a table of values; it is ",
    "size = 0": "checkpoint 'mine' needs batch, threads and size of at least 1",
    "memory = inf": "memory of 0 or more, of which .*; they are 4, 2, 64, inf and 0.0$",
    "": "lacks plugin, source$",
}


@pytest.mark.parametrize("row", ROWS)
def test_a_field_of_another_type_is_told_and_never_taken_for_true(mine, row):
    needed = "plugin = 'x'\nsource = 'y'\nrevision = ''\n" if row else ""
    (mine / "generators.toml").write_text(f"\ufeff[mine]\n{needed}{row}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=ROWS[row]) as caught:
        catalogue.rows_of("generator")
    assert re.match(r"\[mine\] in generators.toml|checkpoint 'mine'", str(caught.value))


PRESET = '[presets.x]\nzoo = "pocket"\ninverter = "natural"\nsimilarity = "ssim"\n'
PRESETS = {
    f"{PRESET}gamma = '4'": r"^\[presets.x\] in presets.toml: gamma should be a whole number; ",
    f"{PRESET}threshold = 'a'": "threshold should be a number; it is 'a'$",
    f"{PRESET}foo = 1": "has no field 'foo'; there are: aggregate, ",
    "[presets.x]\nzoo = 'pocket'": r"^\[presets.x\] in presets.toml lacks inverter, similarity$",
    "[presets]\nx = 3": r"^\[presets.x\] in presets.toml should be a table; it is 3$",
    "[zoos]\npocket = 'sd'": "^the zoo 'pocket' in presets.toml should be a list, each text; ",
}


@pytest.mark.parametrize("text", PRESETS)
def test_a_preset_that_is_none_is_told(mine, text):
    (mine / "presets.toml").write_text(text)
    with pytest.raises(ValueError, match=PRESETS[text]):
        presets.read() and catalogue.zoos()


def test_the_user_s_folder_is_named_by_the_environment(monkeypatch):
    monkeypatch.setenv("WORKBENCH_CATALOGUE", "~/elsewhere")
    assert user_folder() == Path.home() / "elsewhere"
    monkeypatch.delenv("WORKBENCH_CATALOGUE")
    assert user_folder() == Path.home() / "workbench-catalogue"
