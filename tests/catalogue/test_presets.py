"""Presets are whole, lose their calibration when changed, and share out their prompts."""

from __future__ import annotations

import re

import pytest

from workbench import catalogue
from workbench.catalogue import presets
from workbench.catalogue.presets import Preset
from workbench.paths import user_folder
from workbench.weights.checkpoint import is_downloaded


@pytest.fixture
def preset(tmp_path):
    path = tmp_path / "prompts.csv"
    path.write_text('prompt,split\n"a, b",calibration\nc,evaluation\nc,evaluation\nd,calibration\n')
    return Preset("x", "pocket", "natural", "ssim", prompts=str(path))


def test_presets_are_whole():
    for name, preset in presets.read().items():
        assert preset.name == name
        rows = presets.members(name)
        models = catalogue.zoos()[preset.zoo]
        assert [row.name for row in rows[: len(models)]] == models
        assert [row.role for row in rows[len(models) :]] == ["inverter", "encoder"]
        if all(map(is_downloaded, rows)):
            catalogue.load(preset.inverter, "inverter")
            catalogue.load(preset.similarity, "similarity")
        smallest = min(catalogue.checkpoint(m).size for m in models)
        assert preset.size == (rows[-1].size if name == "refprint" else smallest)
        assert (preset.threshold is None) == (preset.threshold_from == "")
        assert {name for name, _ in preset.known} <= set(models)


def test_a_preset_is_found_by_its_name_or_is_one():
    there = "modern, modern-12, modern-24, paper, pocket, pocket-paper, refprint, small"
    with pytest.raises(LookupError, match=f"^no preset named 'x'; there are: {there}$"):
        presets.preset("x")
    found = presets.preset("pocket")
    assert presets.preset(found) is found


def test_what_is_really_changed_loses_the_calibration():
    calibrated = {"threshold": 0.5, "threshold_from": "a test", "conformal": 0.1}
    known = {"b": [0.25, 1], "a": []}
    preset = Preset("x", "pocket", "natural", "ssim", **calibrated, known=known)
    assert preset.known == (("a", ()), ("b", (0.25, 1.0)))
    assert hash(preset) == hash(Preset("x", "pocket", "natural", "ssim", **calibrated, known=known))
    assert preset.override(gamma=4, inverter=None, aggregate="mean") is preset
    assert preset.override(gamma=8) == Preset("x", "pocket", "natural", "ssim", gamma=8)


def test_prompts_are_read_by_portion_each_once(preset):
    assert presets.prompts(preset, "evaluation") == ["c"]
    assert presets.prompts(preset, "calibration") == ["a, b", "d"]
    assert presets.prompts(preset, "bank") == ["a, b"]
    with pytest.raises(LookupError, match=r"^no portion of prompts named 'train'; there are: "):
        presets.prompts(preset, "train")


def test_a_preset_without_prompts_says_so(preset):
    lacking = preset.override(prompts="nowhere.csv")
    path = user_folder() / "nowhere.csv"
    sentence = (
        f"the prompts of the preset 'x' cannot be read from {path}: there is no such file; it "
        "should be a CSV file in UTF-8 with the columns prompt and split"
    )
    with pytest.raises(LookupError, match=f"^{re.escape(sentence)}$"):
        presets.prompts(lacking, "evaluation")


@pytest.mark.parametrize(
    ("code", "head", "why"),
    [
        ("utf-8-sig", "prompt,split", None),
        ("utf-16", "prompt,split", "'utf-8' codec can't decode byte 0xff"),
        ("utf-8", "caption,split", "it has no column 'prompt'"),
    ],
)
def test_prompts_lie_beside_the_user_s_presets(preset, tmp_path, monkeypatch, code, head, why):
    monkeypatch.setenv("WORKBENCH_CATALOGUE", str(tmp_path))
    mine = preset.override(prompts="mine.csv")
    (tmp_path / "mine.csv").write_bytes(f"{head}\na fox,evaluation\n".encode(code))
    if why is None:
        assert presets.prompts(mine, "evaluation") == ["a fox"]
        return
    with pytest.raises(LookupError, match=f"{re.escape(str(tmp_path / 'mine.csv'))}: {why}"):
        presets.prompts(mine, "evaluation")
