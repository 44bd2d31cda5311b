"""Folders of data: the shipped one, and the user's own; and what of a path is handed on."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

HERE = Path(__file__).resolve().parent
PLACES = (HERE.parent / "data", HERE / "_data")
"""The shipped data: of a checkout, of a wheel."""
IN_QUOTES = re.compile(r"""(?<=["'])(?:~|/|[A-Za-z]:[\\/])[^"'\n]*(?=["'])""")
"""What may be a path in full, in the repr of a plug-in."""


def data_folder() -> Path:
    """Return the data folder: ``data/`` of the checkout, else the one in the wheel.

    Raises:
        LookupError: neither is there.
    """
    for folder in PLACES:
        if (folder / "catalogue").is_dir():
            return folder
    raise LookupError("the catalogue is missing: this installation of workbench has no data folder")


def user_folder() -> Path:
    """Return the folder of the user's own tables, whether it exists or not."""
    return expanded(os.environ.get("WORKBENCH_CATALOGUE") or "~/workbench-catalogue")


def expanded(path: str | Path) -> Path:
    """Return an absolute path, variables and ~ replaced; ValueError as `from_home`."""
    return from_home(os.path.expandvars(path)).absolute()


def from_home(path: str | Path) -> Path:
    """Return a path with its leading ~ replaced.

    Raises:
        ValueError: it names a user who has no home here.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(
            f"the path {str(path)!r} begins with the home of a user who is not known here; write "
            "it in full"
        ) from None


def names_only(value: Any, parts: int = 1) -> Any:
    """Return text in which each absolute path in quotes is reduced to its name.

    What is handed on so tells no folder of ours. Only what exists here is taken for a path.

    Args:
        value: text, or lists, tuples and mappings that hold text; anything else stays as it is, and
            so does a ``prompt`` of a mapping, which may say anything.
        parts: names that are left of a path, the last ones.

    >>> names_only({"zoo": f'Archive("{HERE}/paths.py"), sd'}), names_only('"/imagine a cat"')
    ({'zoo': 'Archive("paths.py"), sd'}, '"/imagine a cat"')
    """
    if isinstance(value, str):
        return IN_QUOTES.sub(lambda match: _name(match[0], parts), value)
    if isinstance(value, Mapping):
        return {
            names_only(key, parts): each if key == "prompt" else names_only(each, parts)
            for key, each in value.items()
        }
    if isinstance(value, (list, tuple)):
        return type(value)([names_only(each, parts) for each in value])
    return value


def _name(path: str, parts: int) -> str:
    """Return the last parts of a path; text that is none as it is."""
    try:
        there = from_home(path).exists()
    except (OSError, ValueError):
        there = False
    return "/".join(PurePath(path).parts[1:][-parts:]) if there else path
