"""Tables: the user's rows over the shipped ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench import catalogue, presets, tables


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CATALOGUE", str(tmp_path / "mine"))
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


def test_without_a_user_s_table_the_shipped_ones_count(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_CATALOGUE", str(tmp_path / "not there"))
    assert "pocket-sd" in tables.read("generators.toml")
    assert tables.read("similarities.toml") == {}
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
    file = tables.write("encoders.toml", "new", {"source": "a/b", "revision": 'quo"te'})
    assert file == mine / "encoders.toml"
    file.write_text("# mine\n" + file.read_text())
    tables.write("encoders.toml", "new", {"size": 3})
    tables.write("encoders.toml", "other", {"source": "c/d", "revision": ""})
    assert file.read_text().startswith("# mine\n")
    assert tables.read("encoders.toml")["new"] == {
        "source": "a/b",
        "revision": 'quo"te',
        "size": 3,
    }
    assert [path.name for path in mine.iterdir()] == ["encoders.toml"]


def test_a_broken_file_or_row_is_told_by_name(mine):
    (mine / "generators.toml").write_text("[sd-1-4\n")
    with pytest.raises(ValueError, match=rf"^{mine}/generators.toml is not TOML: "):
        catalogue.rows("generator")
    (mine / "generators.toml").write_text("gamma = 4\n")
    sentence = rf"^{mine}/generators.toml should hold tables alone; gamma is 4$"
    with pytest.raises(ValueError, match=sentence):
        catalogue.rows("generator")
    (mine / "generators.toml").write_text("[mine]\nplugin = 'x'\nsource = 'y'\nstepps = 4\n")
    sentence = r"^\[mine\] in generators.toml is no checkpoint: got an unexpected keyword .*stepps"
    with pytest.raises(ValueError, match=sentence):
        catalogue.rows("generator")


def test_the_user_s_folder_is_named_by_the_environment(monkeypatch):
    monkeypatch.setenv("WORKBENCH_CATALOGUE", "~/elsewhere")
    assert tables.user_folder() == Path.home() / "elsewhere"
    monkeypatch.delenv("WORKBENCH_CATALOGUE")
    assert tables.user_folder() == Path.home() / "workbench-catalogue"
