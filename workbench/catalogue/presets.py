"""Presets: named settings of the whole path, and the prompts they are measured with.

They lie in ``data/catalogue/presets.toml``, over it the user's own (`catalogue.toml`).
"""

from __future__ import annotations

import ast
import csv
import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.catalogue import toml
from workbench.catalogue.registry import commas, names, zoos
from workbench.catalogue.rows import all_rows, unknown
from workbench.keys import digest
from workbench.paths import data_folder, user_folder
from workbench.ranking.confidence import Confidence
from workbench.weights.checkpoint import Checkpoint, is_downloaded

PORTIONS = {
    "evaluation": ("evaluation", 0.0, 1.0),
    "release": ("release", 0.0, 1.0),
    "calibration": ("calibration", 0.0, 1.0),
    "bank": ("calibration", 0.0, 0.5),
    "selection": ("calibration", 0.5, 0.7),
    "stopping": ("calibration", 0.7, 0.75),
    "threshold": ("calibration", 0.75, 1.0),
}
"""Parts of a preset's prompts: split, and where in it the part begins and ends.

The reference bank, the choice of a setting, the fit of a stopping rule and the threshold take
disjoint calibration prompts. Those of ``release`` are frozen: opened once, for the figures of a
release."""

UNCALIBRATED: dict[str, Any] = {
    "threshold": None,
    "threshold_from": "",
    "conformal": None,
    "known": (),
    "confidence": None,
}
"""The fields that calibration fills, as they are without it."""


@dataclass(frozen=True)
class Preset:
    """A named setting of the whole path, from presets.toml.

    ``threshold`` is the smallest accepted margin (``inf``: always abstain), ``None`` where the
    setting is not calibrated; ``threshold_from`` tells how it was found. ``conformal`` is the
    quantile of the attribution sets, and ``known`` the calibration scores of each model's own
    pictures (a mapping; kept as pairs), both found with the threshold (`conformal`), and so is
    ``confidence`` (`Confidence`, or its lines), which decides instead of the margin where it is
    there. ``prompts`` is a CSV file beside the user's presets, or in the data folder, with the
    columns prompt and split (calibration, evaluation, release).
    ``labels`` is the label list of an ``interrogator``; the general one when left out.
    """

    name: str
    zoo: str | tuple[str, ...]
    inverter: str
    similarity: str
    aggregate: str = "mean"
    gamma: int = 4
    size: int = 64
    threshold: float | None = None
    threshold_from: str = ""
    prompts: str = ""
    labels: str = ""
    conformal: float | None = None
    known: Any = dataclasses.field(default=(), repr=False)
    confidence: Any = dataclasses.field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Freeze the calibration scores and the confidence that TOML gives as tables of lists."""
        items = self.known.items() if isinstance(self.known, Mapping) else self.known
        pairs = ((name, tuple(map(float, scores))) for name, scores in items)
        object.__setattr__(self, "known", tuple(sorted(pairs)))
        if isinstance(self.confidence, Mapping):
            object.__setattr__(self, "confidence", Confidence.read(self.confidence))

    def override(self, **fields: Any) -> Preset:
        """Return a preset with fields changed, without its calibration; ``None`` keeps a field.

        >>> preset("pocket-paper").override(aggregate="max").threshold is None
        True
        """
        new = {
            name: value
            for name, value in fields.items()
            if value is not None and value != getattr(self, name)
        }
        if not new:
            return self
        return dataclasses.replace(self, **new, **UNCALIBRATED)


def read() -> dict[str, Preset]:
    """Return every preset by name."""
    table = toml.read("presets.toml", data_folder()).get("presets", {})
    presets = {}
    for name, row in table.items():
        if isinstance(row, Mapping):
            row = {field: math.inf if value == "inf" else value for field, value in row.items()}
        presets[name] = toml.make(Preset, row, f"[presets.{name}] in presets.toml", name=name)
    return presets


def preset(name: str | Preset) -> Preset:
    """Return a preset by its name; a `Preset` as it is.

    Raises:
        LookupError: there is no such preset; the sentence lists what there is.

    >>> preset("pocket-paper").aggregate
    'mean'
    """
    if isinstance(name, Preset):
        return name
    known = read()
    if name not in known:
        raise unknown("preset", name, known)
    return known[name]


def members(name: str) -> list[Checkpoint]:
    """Return the rows that a name stands for: a row, or all that a zoo or a preset needs.

    Raises LookupError: there is no such name, here or in the zoo or preset; the sentence lists
    what there is.

    >>> [row.name for row in members("pocket-paper")][-2:]
    ['pocket-blip', 'pocket-clip']
    """
    known, named, settings = all_rows(), zoos(), read()
    if name in known:
        return [known[name]]
    if name in settings:
        preset = settings[name]
        models = named.get(preset.zoo, preset.zoo) if isinstance(preset.zoo, str) else preset.zoo
        parts = {"inverter": [preset.inverter], "similarity": [preset.similarity]}
    elif name in named:
        models, parts = named[name], {}
    else:
        there = {*settings, *named, *known}
        raise unknown("preset, zoo or checkpoint", name, there)
    models = commas(models) if isinstance(models, str) else models
    rows: dict[str, Checkpoint] = {}
    for role, texts in {"generator": models, **parts}.items():
        for text in texts:
            if "(" not in text and text not in known and text not in names(role):
                error = unknown(role, text, names(role))
                raise LookupError(f"{name}: {error}")
            rows |= {word: known[word] for word in _words(text) if word in known}
    return list(rows.values())


def check(preset: Preset) -> None:
    """Raise LookupError, with the one command that helps, where a preset lacks several weights."""
    rows = members(preset.name) if preset.name in read() else []
    away = [row.name for row in rows if _away(row)]
    if len(away) > 1:
        raise LookupError(
            f"{len(away)} of the {len(rows)} checkpoints of the preset {preset.name!r} are not on "
            f"this computer ({', '.join(away)}); `workbench zoo download {preset.name}` fetches "
            "them"
        )


def _away(row: Checkpoint) -> bool:
    """Return whether weights could be fetched, and were not."""
    return row.folder is None and not row.hosted and not is_downloaded(row)


def _words(text: str) -> list[str]:
    """Return the names in a name or a repr: ``Cosine("a", layer=4)`` → ``a``."""
    if "(" not in text:
        return [text]
    try:
        nodes = ast.walk(ast.parse(text, mode="eval"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []  # who loads it will tell
    return [x.value for x in nodes if isinstance(x, ast.Constant) and isinstance(x.value, str)]


def prompts(preset: Preset, portion: str) -> list[str]:
    """Return the prompts of a preset, in the order of its file, each text once.

    Args:
        preset: whose ``prompts`` file is read.
        portion: ``evaluation``, ``release``, ``calibration``, or a part of the latter (see
            `PORTIONS`).

    Raises:
        LookupError: the preset has no prompts, or none for the release, or no such portion is
            known.
    """
    if portion not in PORTIONS:
        raise unknown("portion of prompts", portion, PORTIONS)
    if not preset.prompts:
        raise LookupError(
            f"the preset {preset.name!r} has no file of prompts to evaluate with: copy it into "
            f'{user_folder() / "presets.toml"} and add prompts = "FILE.csv" (a file '
            "beside it; columns prompt and split, calibration or evaluation)"
        )
    split, start, stop = PORTIONS[portion]
    places = [folder / preset.prompts for folder in (user_folder(), data_folder())]
    path = next((path for path in places if path.is_file()), places[0])
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets begin with a mark
            table = list(csv.DictReader(file))
        texts = list(dict.fromkeys(row["prompt"] for row in table if row["split"] == split))
    except (OSError, ValueError, KeyError, csv.Error) as error:
        why = f"it has no column {error}" if isinstance(error, KeyError) else str(error)
        why = "there is no such file" if isinstance(error, FileNotFoundError) else why
        raise LookupError(
            f"the prompts of the preset {preset.name!r} cannot be read from {path}: {why}; it "
            "should be a CSV file in UTF-8 with the columns prompt and split"
        ) from error
    if portion == "release" and not texts:
        raise LookupError(f"the preset {preset.name!r} keeps no prompts for a release in {path}")
    return texts[round(start * len(texts)) : round(stop * len(texts))]


def draw(texts: Iterable[str], n: int, seed: int = 0) -> list[str]:
    """Draw n prompts with a seed; more extend fewer, and the order of the file does not matter.

    Raises:
        ValueError: fewer than n are there, or n is below 1.

    >>> draw(["a", "b", "c"], 2) == draw(["c", "b", "a"], 3)[:2]
    True
    """
    order = sorted(set(texts), key=lambda text: digest(["draw", seed, text]))
    if not 1 <= n <= len(order):
        raise ValueError(f"n must be between 1 and the {len(order)} prompts there are; seen {n}")
    return order[:n]
