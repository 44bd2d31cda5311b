"""Every row of the shipped catalogue runs, with the options it ships with.

Over its own weights where they are bundled, else over a tiny model of its class that lies over the
row as a user's own folder would; a hosted model is asked at a server on this machine.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.contracts.laws_of_models import (
    answers_prompts_in_any_company,
    answers_unit_rows_in_any_company,
)
from tests.support.images_endpoint import KEY, Endpoint
from tests.support.models import paper, tiny
from workbench import catalogue, images
from workbench.catalogue import toml

ROLES = ("generator", "inverter", "encoder")
UNTESTED = {
    row: tiny.MODELS[made].missing
    for row, made in {"glide": "tiny-glide"}.items()
    if tiny.MODELS[made].missing
}
"""Rows that no test here runs, and why."""

UNTOLD = {"siglip-vit-b-16": "tiny-siglip"}
"""The tiny models of rows that tell no class, where it is not the first of the plug-in."""

PROMPTS = ["a blue star at night above a wide and quiet sea", "a red circle"]
"""A long one and a short one, so that padding to the longest would show."""

LOWERED = ("steps", "max_length", "max_new_tokens")
"""Options that a tiny model has its own of; a bundled one takes 2 steps."""


def _shipped() -> dict[str, Any]:
    """Read the rows of every role, without those of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_CATALOGUE", str(Path(__file__).parent / "nobody"))
        return {name: row for role in ROLES for name, row in catalogue.rows_of(role).items()}


def _stand_in(row: Any) -> str:
    """Name the tiny model of a row's plug-in and class, "" where there is none."""
    if row.name in UNTOLD:
        return UNTOLD[row.name]
    for name, model in tiny.MODELS.items():
        if model.plugin == row.plugin and row.class_name in (model.class_name, ""):
            return name
    return ""


ROWS = _shipped()
REAL = [name for name, row in ROWS.items() if row.folder is not None]
HOSTED = [name for name, row in ROWS.items() if row.hosted]
TINY: dict[str, list[str]] = defaultdict(list)
for _name in ROWS.keys() - {*REAL, *HOSTED, *UNTESTED}:
    TINY[_stand_in(ROWS[_name])].append(_name)


def test_no_row_is_left_out_without_a_reason():
    made = sum(len(names) for names in TINY.values())
    kinds = {(row.plugin, row.class_name) for row in ROWS.values()}
    told = f"{len(ROWS)} rows, {len(kinds)} classes, tiny: {made}, real: {len(REAL)}, "
    print(f"\n{told}hosted: {len(HOSTED)}, untested: {len(UNTESTED)}")  # noqa: T201, see it with -s
    assert TINY.get("", []) == [], "a row whose class has no tiny model"
    assert len(ROWS) == made + len(REAL) + len(HOSTED) + len(UNTESTED)
    assert all(ROWS[name].folder.is_dir() for name in REAL)
    assert {name for name, row in ROWS.items() if not row.seedable} == set(HOSTED)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Return the folder of a user's catalogue, with nothing in it."""
    monkeypatch.setenv("WORKBENCH_CATALOGUE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", REAL)
def test_a_bundled_row_runs(name, mine):
    options = dict(ROWS[name].options)
    if "steps" in options:
        steps = options["steps"]
        options["steps"] = [2] * len(steps) if isinstance(steps, tuple) else 2
    toml.write(f"{ROWS[name].role}s.toml", name, {"options": _plain(options)})
    if ROWS[name].role == "generator":
        _answers(name)  # test_same_pixels holds it to the rest
    else:
        _obeys(name)


@pytest.mark.parametrize("made", sorted(TINY))
def test_the_rows_of_a_class_run(made, mine):
    names = sorted(TINY[made])
    of_paper = made in paper.MODELS
    built = tiny.build(made, mine)
    variants = {ROWS[name].option("variant") for name in names if not of_paper}
    for variant in variants - {None}:
        for weights in mine.rglob("*.safetensors"):
            weights.rename(weights.with_suffix(f".{variant}.safetensors"))
    for name in names:
        own = {key: value for key, value in ROWS[name].options if key not in LOWERED}
        if of_paper:
            own.pop("variant", None)  # which of the files of one folder: here there are no others
        if own.get("quantise") == "nf4":
            own.pop("quantise")  # a GPU's alone: see tests/weights/test_quantising.py
        fields = {
            "source": made,
            "stages": list(built.stages),
            "size": built.size,
            "batch": len(PROMPTS),
            "options": _plain(dict(built.options) | own),
        }
        toml.write(f"{ROWS[name].role}s.toml", name, fields)
    _obeys(names[0])
    for name in names[1:]:
        _answers(name)


@pytest.mark.parametrize("name", HOSTED)
def test_a_hosted_row_is_asked(name, mine, monkeypatch):
    endpoint = Endpoint()
    for key, value in {"BASE_URL": endpoint.address, "API_KEY": KEY}.items():
        monkeypatch.setenv(f"OPENAI_{key}", value)
    monkeypatch.setenv("WORKBENCH_BUDGET", "1")
    first, second = catalogue.load(name, "generator", price=0.01)(PROMPTS, [0, 1])
    endpoint.shutdown()
    assert [call["prompt"] for call in endpoint.calls] == PROMPTS
    assert first.size == second.size == (ROWS[name].size,) * 2
    assert images.digest(first) != images.digest(second)


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    """Write options as TOML has them."""
    return {key: list(x) if isinstance(x, tuple) else x for key, x in options.items()}


def _obeys(name: str) -> None:
    """Hold a row to what its role promises."""
    plugin = catalogue.load(name, ROWS[name].role)
    if ROWS[name].role == "generator":
        _paints(plugin)
    elif ROWS[name].role == "inverter":
        answers_prompts_in_any_company(plugin)
    else:
        answers_unit_rows_in_any_company(plugin)


def _paints(model: Any) -> None:
    """Pictures are the row's, and depend on their own prompt and seed alone."""
    together = _pictures(model, PROMPTS, [3, 4])
    assert _pictures(model, [PROMPTS[1]], [4]) == together[1:]
    seed, prompt = _pictures(model, PROMPTS, [9, 3])
    assert seed != together[0], "another seed"
    assert prompt != together[0], "another prompt"


def _answers(name: str) -> None:
    """Run another row of a class that was held to everything."""
    plugin = catalogue.load(name, ROWS[name].role)
    picture = Image.new("RGB", (40, 40), (200, 30, 30))
    if ROWS[name].role == "generator":
        _pictures(plugin, PROMPTS[:1], [3])
    elif ROWS[name].role == "inverter":
        assert isinstance(plugin([picture])[0].text, str)
    else:
        assert np.isclose(np.linalg.norm(plugin([picture])), 1, atol=1e-5)


def _pictures(model: Any, prompts: list[str], seeds: list[int]) -> list[str]:
    """Make pictures, hold them to mode and size, and return their digests."""
    made = model(prompts, seeds)
    side, kind = model.checkpoint.size, model.checkpoint.class_name
    if hasattr(model, "loaded"):
        assert kind.endswith(f".{type(model.loaded()[0]).__name__}")
    assert [getattr(x, "mode", x) for x in made] == ["RGB"] * len(made)
    assert [x.size for x in made] == [(side, side)] * len(made)
    return [images.digest(x) for x in made]
