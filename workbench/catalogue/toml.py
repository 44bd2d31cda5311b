"""The tables of the catalogue: the shipped ones, and over them the user's own.

The user's lie in $WORKBENCH_CATALOGUE, else ~/workbench-catalogue, in files of the same names. A
row there adds to the shipped row of its name, field by field, or is a new one; a zoo or a preset
takes the place of the shipped one. ``workbench zoo`` writes rows, and all may be edited by hand. A
source there without a revision is a folder, relative to the user's.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
import typing
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from workbench.paths import data_folder, from_home, user_folder
from workbench.weights.checkpoint import PACKAGE

Made = TypeVar("Made")
WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def read(name: str, shipped: Path | None = None) -> dict[str, Any]:
    """Return a table (``generators.toml``), the user's rows over those in the folder `shipped`.

    Rows whose source is a folder get it as an absolute path.

    Raises ValueError where a file is no TOML; the sentence names it.
    """
    places = [shipped or data_folder(), user_folder()]
    files = [places[0] / "catalogue" / name, places[1] / name]
    merged: dict[str, Any] = {}
    for place, file in zip(places, files, strict=True):
        for key, row in _parsed(file).items():
            if not isinstance(row, dict):
                raise ValueError(f"{file} should hold tables alone; {key} is {row!r}")
            if name == "presets.toml":  # a preset is calibrated as a whole
                merged[key] = {**merged.get(key, {}), **row}
            else:
                merged[key] = _over(merged.get(key, {}), row, place)
    return merged


def make(kind: Callable[..., Made], row: Any, where: str, **given: Any) -> Made:
    """Return a dataclass made of a row and of the fields `given`, which no row may set.

    Raises ValueError, which begins with `where`, for a row that is no table, lacks a field, has a
    strange one, or one of another type than the class tells.
    """
    if not isinstance(row, Mapping):
        raise ValueError(f"{where} should be a table; it is {row!r}")
    hints = {name: hint for name, hint in _hints(kind).items() if name not in given}
    for name, value in row.items():
        if name not in hints:
            there = ", ".join(sorted(hints))
            raise ValueError(f"{where} has no field {name!r}; there are: {there}")
        check_type(f"{where}: {name}", value, hints[name])
    target: Any = kind
    fields = dataclasses.fields(target)
    needed = [field for field in fields if field.default is dataclasses.MISSING]
    lacks = [field.name for field in needed if field.name in hints and field.name not in row]
    if lacks:
        raise ValueError(f"{where} lacks {', '.join(lacks)}")
    return kind(**given, **row)


def check_type(what: str, value: Any, hint: Any) -> None:
    """Raise ValueError, its sentence begun by `what`, for a value of TOML of another type.

    >>> check_type("files", "*", tuple[str, ...])
    Traceback (most recent call last):
    ValueError: files should be a list, each text; it is '*'
    """
    if not _fits(value, hint):
        raise ValueError(f"{what} should be {_words(hint)}; it is {value!r}")


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value of TOML is of a type; `Any` is a table without tables in it."""
    if hint is Any:
        flat = isinstance(value, Mapping) and value.values()
        return isinstance(value, Mapping) and not any(isinstance(x, Mapping) for x in flat or ())
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        return isinstance(value, (list, tuple)) and all(_fits(item, inner) for item in value)
    if choices := typing.get_args(hint):
        return any(_fits(value, item) for item in choices)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


def _words(hint: Any) -> str:
    """Return a type in a user's words."""
    if typing.get_origin(hint) is tuple:
        return f"a list, each {_words(typing.get_args(hint)[0])}"
    choices = [choice for choice in typing.get_args(hint) if choice is not type(None)]
    return " or ".join(map(_words, choices)) or WORDS.get(hint, "a table of values")


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def write(name: str, row: str, fields: Mapping[str, Any]) -> Path:
    """Write fields of a row to the user's table (``generators.toml``); return the file.

    None drops a field. What else stands there, comments too, stays. The file is written aside
    and renamed.
    """
    import tomlkit

    file = user_folder() / name
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"{file.parent} cannot be made a folder ({error.strerror}); name another one with "
            "WORKBENCH_CATALOGUE"
        ) from error
    _parsed(file)  # tells what is wrong with it
    text = file.read_text(encoding="utf-8-sig") if file.is_file() else ""
    document = tomlkit.parse(text)
    table = document.setdefault(row, tomlkit.table())
    for field, value in fields.items():
        if value is not None:
            table[field] = value
        elif field in table:
            del table[field]
    aside = file.with_name(f".{name}.{os.getpid()}")
    aside.write_text(tomlkit.dumps(document), encoding="utf-8")
    aside.replace(file)
    return file


def _over(old: Mapping[str, Any], new: Mapping[str, Any], place: Path) -> dict[str, Any]:
    """Return a row merged over another; a folder replaces a hub's source and its revision."""
    row = {**old, **new}
    if str(new.get("source", "")).startswith(PACKAGE):
        row.pop("files", None)
    elif "source" in new and "revision" not in new:
        row["source"] = str(place / from_home(str(new["source"])))
        row.pop("revision", None)
        row.pop("files", None)
    return row


def _parsed(file: Path) -> dict[str, Any]:
    """Return a parsed file, {} where there is none; cached until the file changes."""
    try:
        state = file.stat()
    except OSError:
        return {}
    return _parse(file, state.st_mtime_ns, state.st_size)


@cache
def _parse(file: Path, _changed: int, _size: int) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))  # some editors begin with a mark
    except RecursionError:
        raise ValueError(f"{file} is nested too deeply") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not TOML: {error}") from error
