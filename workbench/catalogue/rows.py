"""The rows of the catalogue: one table a role, one row a checkpoint."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from workbench.catalogue import toml
from workbench.paths import data_folder as data_folder
from workbench.weights.checkpoint import Checkpoint

ROLES = {
    "generator": "generators",
    "inverter": "inverters",
    "encoder": "encoders",
    "similarity": "similarities",
    "calibration": "calibrations",
    "attack": "attacks",
    "attributor": "attributors",
    "experiment": "experiments",
    "runner": "runners",
}


def rows_of(role: str) -> dict[str, Checkpoint]:
    """Read the checkpoints of one role: ``generator``, ``inverter`` or ``encoder``."""
    table = toml.read(f"{folder_of(role)}.toml", data_folder())
    return {name: row_of(role, name, row) for name, row in table.items()}


def all_rows() -> dict[str, Checkpoint]:
    """Read the checkpoints of every role, by name."""
    return {name: row for role in ROLES for name, row in rows_of(role).items()}


def checkpoint(name: str) -> Checkpoint:
    """Look up a catalogue row of any role.

    Raises:
        LookupError: there is no such row; the sentence lists what there is.

    >>> checkpoint("pocket-sd").class_name
    'diffusers.StableDiffusionPipeline'
    """
    found = all_rows()
    if name not in found:
        raise unknown("checkpoint", name, found)
    return found[name]


def row_of(role: str, name: str, row: Mapping[str, Any]) -> Checkpoint:
    """Make the checkpoint of a row; ValueError for one that lacks a field or has a strange one."""
    values = {"class_name" if key == "class" else key: value for key, value in row.items()}
    where = f"[{name}] in {folder_of(role)}.toml"
    return toml.make(Checkpoint, values, where, name=name, role=role)


def folder_of(role: str) -> str:
    """Name the folder, and the table, of a role; LookupError for an unknown one."""
    if role not in ROLES:
        raise unknown("role", role, ROLES)
    return ROLES[role]


def unknown(kind: str, name: str, known: Iterable[str]) -> LookupError:
    """Say what there is instead, and what was perhaps meant."""
    there = sorted(known)
    near = difflib.get_close_matches(name, there, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return LookupError(f"no {kind} named {name!r}; there are: {', '.join(there)}{hint}")
