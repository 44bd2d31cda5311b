"""Find every plug-in of a role, and make one of it small enough to test.

A file dropped into a plug-in folder is found here without a new line. One that needs weights needs
a tiny model as well: a row of `tests/tiny.py` that names its class.
"""

from __future__ import annotations

import csv
import dataclasses
import inspect
import pkgutil
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests import tiny

FOLDERS = ("inverters", "generators", "encoders", "similarities")
PROMPTS = ("a red circle on grass", "a blue star at night")


def stems(folder: str) -> list[str]:
    """List the plug-in files of a folder."""
    package = import_module(f"workbench.{folder}")
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name[0] != "_")


def everything() -> list[tuple[str, str]]:
    """List (folder, stem) of every plug-in."""
    return [(folder, stem) for folder in FOLDERS for stem in stems(folder)]


def classes(folder: str, stem: str) -> list[type]:
    """List the public dataclasses that a plug-in file defines."""
    module = import_module(f"workbench.{folder}.{stem}")
    return [
        thing
        for name, thing in vars(module).items()
        if inspect.isclass(thing)
        and dataclasses.is_dataclass(thing)
        and thing.__module__ == module.__name__
        and not name.startswith("_")
    ]


@cache
def samples(folder: str, stem: str) -> tuple[Any, ...]:
    """Make the plug-in over each tiny model that names it, or over small stand-ins."""
    (kind,) = classes(folder, stem)
    if kind.__name__ in EXAMPLES:
        return (EXAMPLES[kind.__name__](kind),)
    fields = dataclasses.fields(kind)
    missing = dataclasses.MISSING
    needed = [f for f in fields if f.default is missing and f.default_factory is missing]
    if not needed:
        return (kind(),)
    if [field.type for field in needed] == ["Encoder"]:
        return tuple(kind(encoder) for encoder in samples("encoders", "open_clip"))
    path = f"workbench.{folder}.{stem}.{kind.__name__}"
    rows = [name for name, row in tiny.ROWS.items() if row[1] == path]
    if [field.type for field in needed] != ["Checkpoint"] or not rows:
        raise LookupError(f"no tiny model for {path}; add one to tests/tiny.py that names it")
    return tuple(kind(tiny.checkpoint(name)) for name in rows)


def pictures(count: int = 6, side: int = 40) -> list[Image.Image]:
    """Draw smooth random pictures, the same ones every time."""
    rng = np.random.default_rng(7)
    coarse = rng.integers(0, 256, (count, 5, 5, 3), dtype=np.uint8)
    return [Image.fromarray(x).resize((side, side), Image.Resampling.BICUBIC) for x in coarse]


def _archive(kind: type) -> Any:
    folder = Path(tempfile.mkdtemp(dir=tiny.folder()))
    with (folder / "generations.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "prompt", "seed"])
        for number, picture in enumerate(pictures(8, tiny.SIZE)):
            picture.save(folder / f"{number}.png")
            table.writerow([f"{number}.png", PROMPTS[number % 2], 100 - number])
    return kind(str(folder))


def _clip() -> Any:
    return samples("encoders", "open_clip")[0]


EXAMPLES = {
    "Natural": lambda kind: kind(text="a red circle"),
    "Archive": _archive,
    "Pez": lambda kind: kind(_clip(), tokens=3, steps=12, patience=6, restarts=2),
    "Interrogator": lambda kind: kind(samples("inverters", "blip")[0], _clip(), labels="pocket"),
}
