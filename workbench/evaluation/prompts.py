"""Quality of inverted prompts: agreement with the natural one, by words and by slots.

Slots are what a prompt must tell: object, colour, background … Their values lie in slots.toml
beside a preset's prompts; where there is none, words alone are compared.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.catalogue.presets import Preset
from workbench.paths import data_folder

if TYPE_CHECKING:
    import pandas as pd

Slots = Mapping[str, Sequence[str]]
WORLD = "pocket/prompts.csv"
"""The prompts, in the data folder, whose grammar tells a scene."""


def token_f1(prompt: str, natural: str) -> float:
    """Return the F1 of precision and recall over the words of two prompts, as multisets.

    Case and punctuation do not count (Rajpurkar et al. 2016, arXiv:1606.05250, without their
    articles). Two empty prompts are equal.

    >>> token_f1("a red star", "a red, red heart")
    0.5714285714285714
    """
    left, right = (Counter(re.findall(r"\w+", text.lower())) for text in (prompt, natural))
    total = left.total() + right.total()
    return 2 * (left & right).total() / total if total else 1.0


def slots(preset: Preset) -> dict[str, list[str]]:
    """Return the slots of a preset's prompts: name → values; {} where the file is missing."""
    return dict(_slots(data_folder() / preset.prompts)) if preset.prompts else {}


@lru_cache
def _slots(prompts: Path) -> dict[str, list[str]]:
    """Return the slots beside a file of prompts."""
    path = prompts.with_name("slots.toml")
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def scene(prompt: str) -> str:
    """Return the scene of a prompt, without its medium: the unit that is sampled and counted.

    Of a prompt of the pocket world's grammar (its objects, colours and a background) it is the
    text without its medium; prompts that differ in nothing else show one scene. Of any other it is
    the prompt.

    >>> scene("an ink drawing of a red star on grass")
    'a red star on grass'
    >>> scene("a photo of a dog")
    'a photo of a dog'
    """
    return _scene(prompt, data_folder() / WORLD)


@lru_cache(maxsize=100_000)
def _scene(prompt: str, world: Path) -> str:
    words = _slots(world)
    for medium in words.get("medium", []):
        rest = prompt.removeprefix(f"{medium} ")
        if rest != prompt and all(
            found(rest, words[name]) for name in ("object", "colour", "background")
        ):
            return rest
    return prompt


def scenes(table: pd.DataFrame) -> list[str]:
    """Return the scene of each row by its ``prompt``; a row without one is a scene of its own.

    Args:
        table: ``prompt``, and ``image_id`` where a prompt is missing.
    """
    given = table["prompt"]
    named = given.fillna(table["image_id"]) if given.isna().any() else given
    world = data_folder() / WORLD
    return [_scene(text, world) for text in named.astype(str)]


def found(text: str, values: Sequence[str]) -> list[str]:
    """Return the values of a slot that stand in a text as whole words, in order, with repeats.

    >>> found("a red star left of a blue star", ["blue", "red", "green"])
    ['red', 'blue']
    """
    any_of = "|".join(sorted(map(re.escape, values), key=len, reverse=True))
    return re.findall(rf"\b(?:{any_of})\b", text.lower()) if values else []


def slot_matches(prompt: str, natural: str, slots: Slots) -> dict[str, float]:
    """Return 1 for each slot whose values are the same in both texts, in order, else 0.

    A slot of which the natural prompt says nothing is left out.

    >>> slot_matches("a red star", "a red heart", {"colour": ["red"], "object": ["star", "heart"]})
    {'colour': 1.0, 'object': 0.0}
    """
    natural_values = {name: found(natural, values) for name, values in slots.items()}
    return {
        name: float(found(prompt, slots[name]) == values)
        for name, values in natural_values.items()
        if values
    }
