"""What a plug-in is: its name, its options, its identity."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import ClassVar

import pytest

from tests.support.models import tiny
from tests.weights.conftest import row_over
from workbench.generators.archive import Archive
from workbench.generators.diffusers import Diffusers
from workbench.inverters.blip import Blip
from workbench.inverters.empty import Empty
from workbench.plugin import Plugin, identity, options_of, short


@pytest.fixture
def folder(tmp_path):
    return tiny.hollow(tmp_path / "mine")


@dataclass(frozen=True, repr=False)
class Outside(Plugin):
    """A plug-in of somebody else."""

    strength: float = 1.0
    revision: ClassVar[int] = 3

    def __call__(self, images):
        return images


@dataclass(frozen=True, repr=False)
class Around(Plugin):
    """A plug-in around another."""

    inner: object


class Nameless:
    def __call__(self, images):
        return images


def test_a_name_writes_what_differs_from_the_default():
    row = row_over("/x")
    assert repr(Diffusers(row)) == 'Diffusers("mine")'
    assert repr(Diffusers(row, steps=3, guidance=2.5)) == 'Diffusers("mine", steps=3, guidance=2.5)'
    assert repr(Around(Outside(strength=0.5))) == "Around(Outside(strength=0.5))"
    assert repr(Archive('a "quoted"/é', generator=None)) == 'Archive("a \\"quoted\\"/é")'
    assert short(Diffusers(row)) == '"mine"'
    assert short(Diffusers(row, steps=3)) == 'Diffusers("mine", steps=3)'
    assert short(Empty()) == "Empty()"


def test_identity_names_what_can_change_the_answer(folder):
    def key(plugin):
        return json.dumps(identity(plugin), sort_keys=True)

    row = row_over(folder, options={"steps": 2})
    assert key(Diffusers(row)) == key(
        Diffusers(row_over(folder, options={"steps": 2}, licence="MIT"))
    )
    for change in ({"batch": 8}, {"threads": 1}, {"options": {"steps": 3}}, {"size": 32}):
        assert key(Diffusers(row)) != key(Diffusers(dataclasses.replace(row, **change)))
    assert key(Diffusers(row)) != key(Diffusers(row, steps=3))
    assert str(folder) not in key(Diffusers(row))
    before = key(Diffusers(row))
    (folder / "unet" / "weights.safetensors").write_bytes(b"trained longer")
    assert key(Diffusers(row)) != before
    assert identity(Empty()) == {"revision": 1, "repr": "Empty()"}


def test_identity_of_what_is_not_ours_holds_its_source():
    found = identity(Outside())
    assert found is not None
    assert (found["revision"], found["repr"], len(found["source"])) == (3, "Outside()", 64)
    inner = identity(Around(Outside()))
    assert inner is not None
    assert inner["inner"] == found


def test_without_source_or_a_name_nothing_is_cached():
    scope: dict = {"dataclass": dataclass, "Plugin": Plugin, "__name__": "elsewhere"}
    exec("@dataclass(frozen=True, repr=False)\nclass Typed(Plugin):\n    pass", scope)
    assert identity(scope["Typed"]()) is None
    assert identity(Nameless()) is None
    assert identity(Around(Nameless())) is None
    assert identity(lambda images: images) is None


def test_settings_are_fields_then_options_of_the_row_then_defaults(folder):
    row = row_over(folder, options={"beams": 2, "prefix": "a picture of "})
    blip = Blip(row, beams=5)
    found = options_of(blip, {"prefix": "", "beams": 3, "min_length": 5})
    assert found == {"prefix": "a picture of ", "beams": 5, "min_length": 5}
    strange = Blip(row_over(folder, options={"beems": 2}))
    sentence = "'mine' has no option 'beems'; there are: beams, max_length, min_length, prefix"
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        options_of(strange, {})
