"""Where the data lies: catalogue, pocket zoo, samples."""

from __future__ import annotations

from pathlib import Path


def data_folder() -> Path:
    """Find the data: ``data/`` of the checkout, else what the wheel carries.

    Raises:
        LookupError: neither is there.
    """
    here = Path(__file__).resolve().parent
    for folder in (here.parent / "data", here / "_data"):
        if (folder / "catalogue").is_dir():
            return folder
    raise LookupError("the catalogue is missing: this installation of workbench has no data folder")
