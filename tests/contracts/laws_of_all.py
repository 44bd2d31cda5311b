"""What every plug-in must obey, whatever its role."""

from __future__ import annotations

import dataclasses
import json
import pickle
from typing import Any

import pytest

from tests.support import toys
from workbench import catalogue
from workbench.plugin import held_fields, identity

NAMES = {
    "encoder": "pocket-clip",
    "inverter": "natural",
    "similarity": "ssim",
    "calibration": "standardised",
    "attributor": "chance",
}


def is_a_frozen_value(plugin: Any) -> None:
    assert dataclasses.is_dataclass(plugin)
    assert type(plugin).__dataclass_params__.frozen  # type: ignore[attr-defined]
    again = dataclasses.replace(plugin)
    assert again == plugin
    assert hash(again) == hash(plugin)


def its_repr_reads_back(plugin: Any) -> None:
    own = {"Teller": toys.Teller, "Mean": toys.Mean}
    if any(not field.repr for field in dataclasses.fields(plugin)):  # a bank, of any captions
        with pytest.raises(ValueError, match="has no field"):
            catalogue.parse(repr(plugin), own)
    else:
        assert catalogue.parse(repr(plugin), own) == plugin


def what_it_holds_is_given_by_name(plugin: Any) -> None:
    for field, (role, several) in held_fields(type(plugin)).items():
        name = NAMES[role] if role else getattr(plugin, field).name
        held = catalogue.load(name, role) if role else getattr(plugin, field)
        count = len(getattr(plugin, field)) if several else 1

        def given(what: Any, field: Any = field, several: Any = several, count: Any = count) -> Any:
            return dataclasses.replace(plugin, **{field: (what,) * count if several else what})

        assert given(name) == given(held)
        assert getattr(given(name), field) == ((held,) * count if several else held)
        with pytest.raises(LookupError, match=r"^no [a-z]+ named 'nobody'; there are: "):
            given("nobody")
        told = f"{field} of {type(plugin).__name__} takes, as {role or 'checkpoint'}, one or the "
        for wrong in (5, type(plugin), [held]):
            with pytest.raises(TypeError, match=f"^{told}name of one, as wb.load takes it; seen "):
                given(wrong)
        if several:
            with pytest.raises(TypeError, match=f"^{field} of .* are several, in a tuple; seen "):
                dataclasses.replace(plugin, **{field: name})


def has_a_revision(plugin: Any) -> None:
    assert isinstance(type(plugin).revision, int)
    assert type(plugin).revision >= 1
    assert "revision" not in {field.name for field in dataclasses.fields(plugin)}


def has_an_identity(plugin: Any) -> None:
    assert json.dumps(identity(plugin)) == json.dumps(identity(dataclasses.replace(plugin)))


def travels_to_another_process(plugin: Any) -> None:
    assert pickle.loads(pickle.dumps(plugin)) == plugin


def shows_an_example(plugin: Any) -> None:
    assert ">>>" in (type(plugin).__doc__ or "")
