"""The shipped rows: complete, of classes that exist, pinned before use."""

from __future__ import annotations

import pytest

from tests.support.sentences import exactly
from workbench import catalogue
from workbench.paths import data_folder
from workbench.weights.checkpoint import resolve_class

ROWS = [(role, name) for role in catalogue.ROLES for name in catalogue.rows_of(role)]
POCKET = [name for _, name in ROWS if name.startswith("pocket-")]


@pytest.mark.parametrize(("role", "name"), ROWS)
def test_every_row_is_a_checkpoint_of_a_plug_in_that_exists(role, name):
    row = catalogue.checkpoint(name)
    assert (row.name, row.role) == (name, role)
    assert row.plugin.startswith(f"workbench.{catalogue.ROLES[role]}.")
    assert repr(resolve_class(row.plugin)(row)).endswith(f'("{name}")')


@pytest.mark.parametrize("name", [n for r, n in ROWS if r == "generator"])
def test_every_generator_names_a_class_that_its_library_has(name):
    row = catalogue.checkpoint(name)
    if row.plugin.split(".")[-2] in ("diffusers", "image_token"):
        resolve_class(row.class_name)
    else:
        assert row.class_name == ""  # the plug-in knows its own


def test_no_name_stands_in_two_tables():
    names = [name for _, name in ROWS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", POCKET)
def test_pocket_rows_run_in_their_fixed_shape(name):
    row = catalogue.checkpoint(name)
    assert row.folder in [data_folder() / kind / name for kind in ("pocket", "pocket-more")]
    assert row.folder.is_dir()
    assert row.threads == 2
    assert row.size == 64


def test_hub_rows_are_not_verified_and_must_be_pinned_before_use():
    hub = [row for role in catalogue.ROLES for row in catalogue.rows_of(role).values()]
    hub = [row for row in hub if row.folder is None]
    assert len(hub) > 20
    assert {row.verified for row in hub} == {""}
    sentence = (
        "the weights of 'sd-1-4' (CompVis/stable-diffusion-v1-4) are not on this computer; "
        "`workbench zoo download sd-1-4` fetches them"
    )
    with pytest.raises(LookupError, match=exactly(sentence)):
        catalogue.load("sd-1-4")
    with pytest.raises(LookupError, match=exactly(sentence)):
        catalogue.parse('Diffusers("sd-1-4")')
