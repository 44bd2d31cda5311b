"""The shipped rows: complete, of classes that exist, pinned before use."""

from __future__ import annotations

import inspect
import re

import pytest

from tests.support.sentences import exactly
from workbench import catalogue
from workbench.generators.diffusers import GUIDANCE, STEPS
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


@pytest.mark.parametrize(("role", "name"), ROWS)
def test_every_row_tells_when_and_against_what_it_was_checked_or_that_it_was_not(role, name):
    row = catalogue.checkpoint(name)
    if row.folder is not None or row.source.startswith("package:"):
        assert row.checked == "ours"
    else:
        assert re.match(r"no(: .+)?$|\d{4}-\d\d-\d\d, .+", row.checked), row.checked


UNSTATED = {"glide", "clip-vit-l-14-336", "florence-2-base", "florence-2-large"}
"""Rows whose licence was seen on no page."""


def test_every_row_with_weights_names_their_licence_but_those_of_which_none_was_seen():
    rows = [catalogue.checkpoint(name) for _, name in ROWS]
    assert {row.name for row in rows if not row.licence and not row.hosted} == UNSTATED


def test_a_setting_of_a_class_s_own_is_the_one_the_class_has():
    """Where a row says so, held to the signature of every stage of the library that is here."""
    rows = catalogue.rows_of("generator").values()
    said = [row for row in rows if "the defaults of its" in row.checked]
    assert len(said) > 15
    for row in said:
        kinds = [resolve_class(row.class_name)]
        kinds += [resolve_class(f"diffusers.{LATER[row.name]}")] if row.stages else []
        for place, kind in enumerate(kinds):
            own = inspect.signature(kind.__call__).parameters
            for option, table in (("steps", STEPS), ("guidance", GUIDANCE)):
                words = table.get(kind.__name__, table[""])
                told = row.option(option)
                told = told if isinstance(told, tuple) else (told,) * len(kinds)
                told = told if len(words) > 1 else told[place : place + 1]
                assert [own[word].default for word in words] == list(told), row.name


LATER = {
    "kandinsky-2-1": "KandinskyPipeline",
    "kandinsky-2-2": "KandinskyV22Pipeline",
    "if-xl": "IFSuperResolutionPipeline",
    "stable-cascade": "StableCascadeDecoderPipeline",
}
"""The classes of the second stages."""


def test_llava_s_prompt_ends_before_a_clip_that_reads_77_tokens():
    row = catalogue.checkpoint("llava-1-5-7b")
    assert row.option("max_new_tokens") == 77 - 2
    assert "forty words" in row.option("instruction")
    assert repr(catalogue.checkpoint("qwen-image").size) == "1328"
