"""What every plug-in must obey, whatever its role."""

from __future__ import annotations

import dataclasses
import json
import pickle
from typing import Any

import pytest

from tests.support import toys
from workbench import catalogue
from workbench.plugin import identity


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
