"""The plan is whole and consistent, and what it freezes stays shut."""

from __future__ import annotations

import re

import pytest

from workbench import catalogue
from workbench.catalogue import presets
from workbench.evaluation import plan
from workbench.evaluation.prompts import scene
from workbench.evaluation.statistics import minimal_detectable_difference


def test_every_experiment_is_planned_and_every_question_is_an_experiment():
    assert sorted(plan.read()) == catalogue.names("experiment")


def test_a_question_is_asked_of_enough_pictures_and_tested_in_a_family_or_not_at_all():
    for asked in plan.read().values():
        assert asked.question.endswith("?")
        assert asked.primary
        assert asked.n <= len(presets.prompts(presets.preset("pocket"), "evaluation"))
        assert len(set(asked.seeds)) == len(asked.seeds) >= 1
        assert (asked.test == "none") == (asked.family == "")
        assert bool(asked.first) == bool(asked.against)
    assert len(plan.of("headline").seeds) >= 5


def test_what_a_study_can_find_is_written_as_it_is_computed():
    text = (presets.data_folder() / "reference" / "plan.toml").read_text()
    found = re.search(r"With ([\d, ]+and \d+) scenes .* about ([\d, ]+and \d+) points", text)
    sizes, points = (re.findall(r"\d+", found[part]) for part in (1, 2))
    for size, told in zip(sizes, points, strict=True):
        assert 100 * minimal_detectable_difference(int(size)) == pytest.approx(int(told), abs=0.8)


@pytest.mark.parametrize("name", ["pocket", "pocket-paper"])
def test_no_scene_is_in_two_portions_of_the_prompts(name):
    preset = presets.preset(name)
    opened, frozen, learned = (
        {scene(text) for text in presets.prompts(preset, portion)}
        for portion in ("evaluation", "release", "calibration")
    )
    assert not opened & frozen
    assert not (opened | frozen) & learned
    sizes = [len(presets.prompts(preset, portion)) for portion in ("evaluation", "release")]
    assert sizes == [400, 1100]


def test_the_prompts_of_development_are_those_that_seed_0_draws_first():
    from workbench.pocket.samples import open_for_development

    preset = presets.preset("pocket")
    opened, frozen = (presets.prompts(preset, name) for name in ("evaluation", "release"))
    assert open_for_development(opened + frozen) == set(opened)
    assert presets.draw(opened + frozen, 300) == presets.draw(opened, 300)


def test_a_preset_without_frozen_prompts_says_so(tmp_path):
    path = tmp_path / "prompts.csv"
    path.write_text("prompt,split\na,evaluation\n")
    preset = presets.Preset("x", "pocket", "natural", "ssim", prompts=str(path))
    with pytest.raises(LookupError, match=r"^the preset 'x' keeps no prompts for a release in "):
        presets.prompts(preset, "release")


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("", "has a family where it has a test, and only there"),
        ("family = 'b'", "has a family 'b'; there are: a"),
        ("family = 'a'\ntest = 'none'", "has a family where it has a test, and only there"),
        ("family = 'a'\ntest = 't'", "has a test 't'; there are: sign-flip, none"),
        ("family = 'a'\nseeds = []", "needs a prompt and a seed at least"),
        ("family = 'a'\nn = 'x'", ": n should be a whole number; it is 'x'"),
    ],
)
def test_a_plan_that_is_not_consistent_is_refused(lines, sentence, tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(f"[families]\na = 'all'\n[x]\nquestion = 'q?'\nprimary = 'p'\n{lines}\n")
    with pytest.raises(ValueError, match=rf"^\[x\] of the plan ?{re.escape(sentence)}$"):
        plan.read(path)


def test_without_a_plan_there_are_defaults_and_a_damaged_one_is_a_sentence(tmp_path):
    assert plan.read(tmp_path / "none.toml") == {}
    asked = plan.of("mine")
    assert (asked.n, asked.seeds, asked.test) == (100, (0,), "sign-flip")
    (tmp_path / "bad.toml").write_text("[x")
    with pytest.raises(ValueError, match=r"^the plan .* cannot be read: "):
        plan.read(tmp_path / "bad.toml")
