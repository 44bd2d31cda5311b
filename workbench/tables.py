"""The tables of the catalogue: the shipped ones, and over them the user's own.

The user's lie in $WORKBENCH_CATALOGUE, else ~/workbench-catalogue, in files of the same names. A
row there adds to the shipped row of its name, field by field, or is a new one; a zoo or a preset
takes the place of the shipped one. ``workbench zoo`` writes rows, and all may be edited by hand. A
source there without a revision is a folder, relative to the user's.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from workbench import data


def user_folder() -> Path:
    """Name the folder of the user's own tables, there or not."""
    wanted = os.environ.get("WORKBENCH_CATALOGUE") or "~/workbench-catalogue"
    return Path(os.path.expandvars(wanted)).expanduser().absolute()


def read(name: str, shipped: Path | None = None) -> dict[str, Any]:
    """Read a table (``generators.toml``), the user's rows over those in the folder `shipped`.

    Rows whose source is a folder get it as an absolute path.

    Raises ValueError where a file is no TOML; the sentence names it.
    """
    places = [shipped or data.data_folder(), user_folder()]
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


def write(name: str, row: str, fields: Mapping[str, Any]) -> Path:
    """Set fields of a row in the user's table (``generators.toml``); answer the file.

    None drops a field. What else stands there, comments too, stays. The file is written aside
    and renamed.
    """
    import tomlkit

    file = user_folder() / name
    file.parent.mkdir(parents=True, exist_ok=True)
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
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
    """Lay a row over another; a folder replaces a hub's source and its revision."""
    row = {**old, **new}
    if "source" in new and "revision" not in new:
        row["source"] = str(place / Path(str(new["source"])).expanduser())
        row.pop("revision", None)
        row.pop("files", None)
    return row


def _parsed(file: Path) -> dict[str, Any]:
    """Read a file, {} where there is none, once for each of its states."""
    try:
        state = file.stat()
    except OSError:
        return {}
    return _parse(file, state.st_mtime_ns, state.st_size)


@cache
def _parse(file: Path, _changed: int, _size: int) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not TOML: {error}") from error
