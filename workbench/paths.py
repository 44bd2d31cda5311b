"""Where data lies: the shipped folder, and the user's own."""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLACES = (HERE.parent / "data", HERE / "_data")
"""The shipped data: of a checkout, of a wheel."""


def data_folder() -> Path:
    """Find the data: ``data/`` of the checkout, else what the wheel carries.

    Raises:
        LookupError: neither is there.
    """
    for folder in PLACES:
        if (folder / "catalogue").is_dir():
            return folder
    raise LookupError("the catalogue is missing: this installation of workbench has no data folder")


def user_folder() -> Path:
    """Name the folder of the user's own tables, there or not."""
    return expanded(os.environ.get("WORKBENCH_CATALOGUE") or "~/workbench-catalogue")


def expanded(path: str | Path) -> Path:
    """Write a path in full: variables and ~ replaced, and absolute; ValueError as `from_home`."""
    return from_home(os.path.expandvars(path)).absolute()


def from_home(path: str | Path) -> Path:
    """Replace the ~ that a path begins with.

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
