"""A preset settled into objects: what is missing is told before any work."""

from __future__ import annotations

import dataclasses

import pytest

from tests.support import toys
from tests.support.repositories import zoo
from tests.support.sentences import exactly
from workbench import catalogue
from workbench.catalogue import presets
from workbench.catalogue.presets import Preset
from workbench.catalogue.setting import make_inverter, settle
from workbench.evaluation import benchmark
from workbench.experiments import Bench
from workbench.similarities.cosine import Cosine


def test_a_broken_repr_in_a_preset_stops_no_listing(there, tmp_path):
    (tmp_path / "catalogue").mkdir()
    (tmp_path / "catalogue" / "presets.toml").write_text(
        '[presets.broken]\nzoo = "pocket"\ninverter = "pocket-blip"\nsimilarity = "Cosine(("\n'
    )
    assert "preset broken: 'Cosine((' is not a repr such as" in zoo("list", "broken")[1]
    with pytest.raises(ValueError, match=r"'Cosine\(\(' is not a repr"):
        settle("broken")


def test_a_preset_without_its_weights_names_the_one_command_that_helps(there):
    sentence = (
        r"^5 of the 5 checkpoints of the preset 'small' are not on this computer \(sd-1-5, "
        r"sd-2-1-base, lcm-dreamshaper, blip-base, clip-vit-l-14\); "
        "`workbench zoo download small` fetches them$"
    )
    with pytest.raises(LookupError, match=sentence):
        settle("small")
    with pytest.raises(LookupError, match=sentence):
        benchmark.evaluate_preset("small", n=1)
    with pytest.raises(LookupError, match=sentence):
        Bench(presets.preset("small"))
    unprompted = dataclasses.replace(presets.preset("small"), prompts="")  # told before a download
    with pytest.raises(LookupError, match=r"^the preset 'small' has no file of prompts"):
        benchmark.evaluate_preset(unprompted, n=1)
    with pytest.raises(LookupError, match=r"`workbench zoo download clip-vit-l-14` fetches them$"):
        settle("small", zoo="pocket")
    there.asked.clear()
    assert settle("pocket")
    assert there.asked == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pez", 'Pez("pocket-clip")'),
        ("interrogator", 'Interrogator("pocket-blip", "pocket-clip", labels="pocket")'),
        ("pocket-blip", 'Blip("pocket-blip")'),
        ("natural", "Natural()"),
        ('Pez("pocket-clip", steps=3)', 'Pez("pocket-clip", steps=3)'),
    ],
)
def test_a_preset_lends_an_inverter_what_it_needs_of_other_plug_ins(name, expected):
    for which in ("pocket-paper", "pocket"):  # one looks at a layer below the projection
        preset = presets.preset(which)
        assert repr(make_inverter(name, preset)) == expected
        assert catalogue.parse(expected) == make_inverter(name, preset)


def test_a_preset_lends_no_more_than_it_has():
    own, preset = toys.Teller(), Preset("x", "pocket", "natural", "ssim")
    assert make_inverter(own, preset) is catalogue.load(own, "inverter") is own
    found = make_inverter("interrogator", preset, Cosine(toys.Mean()))
    assert repr(found) == "Interrogator(Natural(), Mean(layer=None))"
    sentence = "pez needs a similarity over an encoder; seen SSIM()"
    with pytest.raises(ValueError, match=exactly(sentence)):
        make_inverter("pez", preset)
    sentence = "PEZ needs an encoder of open_clip; seen Mean(layer=None)"
    with pytest.raises(ValueError, match=exactly(sentence)):
        make_inverter("pez", preset, Cosine(toys.Mean()))
    assert repr(catalogue.load("pez", encoder="pocket-clip")) == 'Pez("pocket-clip")'
    with pytest.raises(ValueError, match=r"^Pez cannot be made like this: .*'encoder'$"):
        catalogue.load("pez", "inverter")


def test_a_setting_under_another_seed_keeps_that_seed_for_a_report():
    again = settle(settle("pocket", gamma=2), seed=7)
    assert (again.seed, again.call["seed"], again.call["gamma"]) == (7, 7, 2)
    assert settle(**again.call).seed == 7
