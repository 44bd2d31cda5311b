"""The roles of a plug-in's fields are read from their types, not from how those are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

import pytest

from workbench import catalogue
from workbench import encoders as models_of_pictures
from workbench.catalogue.registry import nested
from workbench.plugin import Plugin
from workbench.weights.checkpoint import Checkpoint

if TYPE_CHECKING:
    import pandas as pd

Seeing = models_of_pictures.Encoder
"""The Protocol under another name."""


@dataclass(frozen=True, repr=False)
class Renamed(Plugin):
    eye: Seeing
    table: pd.DataFrame | None = None


@dataclass(frozen=True, repr=False)
class Optionally(Plugin):
    eye: Optional[models_of_pictures.Encoder] = None  # noqa: UP045
    row: Checkpoint | None = None


@dataclass(frozen=True, repr=False)
class Encoder(Plugin):
    """No plug-in's type, though a Protocol has this name."""


@dataclass(frozen=True, repr=False)
class Unlike(Plugin):
    eye: Encoder | str
    about_a_Checkpoint: str = ""


@dataclass(frozen=True, repr=False)
class Named(Plugin):
    eye: Encoder


CLASSES = {kind.__name__: kind for kind in (Renamed, Optionally, Unlike, Named)}


@pytest.mark.parametrize(
    "text",
    ['Renamed("pocket-clip")', 'Optionally("pocket-clip")', 'Optionally(eye="pocket-clip")'],
)
def test_a_protocol_under_another_name_or_in_a_union_is_still_its_role(text):
    assert catalogue.parse(text, CLASSES).eye == catalogue.load("pocket-clip")


def test_a_class_that_shares_a_protocols_name_is_no_role():
    assert catalogue.parse('Named("pocket-clip")', CLASSES).eye == "pocket-clip"
    assert catalogue.parse('Unlike("pocket-clip", "x")', CLASSES).about_a_Checkpoint == "x"


def test_a_type_imported_for_type_checkers_alone_hides_no_other_field():
    made = catalogue.parse('Renamed("pocket-clip", table="pocket-clip")', CLASSES)
    assert made.table == "pocket-clip"
    assert made.eye == catalogue.load("pocket-clip")


def test_a_checkpoint_is_looked_up_by_place_and_by_name():
    by_place = catalogue.parse('Diffusers("pocket-sd")')
    assert catalogue.parse('Diffusers(checkpoint="pocket-sd")') == by_place
    assert catalogue.parse('Optionally(row="pocket-sd")', CLASSES).row == by_place.checkpoint


def test_the_types_of_inherited_fields_are_those_of_the_class_that_wrote_them():
    @dataclass(frozen=True, repr=False)
    class Child(Renamed):
        strength: int = 1

    Child.__module__ = "workbench.text"  # where none of the parent's names are known
    made = catalogue.parse('Child("pocket-clip")', {"Child": Child})
    assert made.eye == catalogue.load("pocket-clip")


def test_plugins_that_need_nothing_but_others_are_found_by_their_types():
    assert nested("inverter") == ["interrogator", "pez"]
    assert nested("similarity") == ["correlation", "cosine", "euclidean", "manhattan"]
    assert nested("generator") == nested("encoder") == []
