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
    """Return the catalogue row of a name, of any role.

    Raises:
        LookupError: there is no such row; the sentence lists what there is.

    >>> checkpoint("pocket-sd").class_name
    'diffusers.StableDiffusionPipeline'
    """
    rows = all_rows()
    if name not in rows:
        raise unknown("checkpoint", name, rows)
    return rows[name]


def row_of(role: str, name: str, row: Mapping[str, Any]) -> Checkpoint:
    """Return the checkpoint of a row; ValueError for a missing or unknown field."""
    values = {"class_name" if key == "class" else key: value for key, value in row.items()}
    where = f"[{name}] in {folder_of(role)}.toml"
    return toml.make(Checkpoint, values, where, name=name, role=role)


def folder_of(role: str) -> str:
    """Return the name of a role's folder and table; LookupError for an unknown role."""
    if role not in ROLES:
        raise unknown("role", role, ROLES)
    return ROLES[role]


def unknown(kind: str, name: str, known: Iterable[str]) -> LookupError:
    """Return the LookupError of an unknown name: first the nearest known ones, then all of them."""
    there = sorted(known)
    listed = f"here are: {', '.join(there)}"
    near = difflib.get_close_matches(name, there, n=1) or _with_part(name, there)
    if not near:
        return LookupError(f"no {kind} named {name!r}; t{listed}")
    *others, last = map(repr, near)
    words = f"{', '.join(others)} or {last}" if others else last
    return LookupError(f"no {kind} named {name!r}; did you mean {words}? T{listed}")


def _with_part(name: str, there: list[str]) -> list[str]:
    """Return at most three names of which one part is near a name: blip-base for blp."""
    parts = {other: [part for part in other.split("-") if len(part) > 2] for other in there}
    return [x for x, some in parts.items() if difflib.get_close_matches(name, some, 1, 0.8)][:3]
