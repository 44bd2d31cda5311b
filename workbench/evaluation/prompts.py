"""How near an inverted prompt comes to the natural one, by its words and by its slots.

Slots are what a prompt must tell: object, colour, background … Their values lie in slots.toml
beside a preset's prompts; where there is none, words alone are compared.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence

from workbench.catalogue.presets import Preset
from workbench.paths import data_folder

Slots = Mapping[str, Sequence[str]]


def token_f1(prompt: str, natural: str) -> float:
    """Harmonic mean of precision and recall over the words of two prompts, as multisets, in [0, 1].

    Case and punctuation do not count (Rajpurkar et al. 2016, arXiv:1606.05250, without their
    articles). Two empty prompts are equal.

    >>> token_f1("a red star", "a red, red heart")
    0.5714285714285714
    """
    left, right = (Counter(re.findall(r"\w+", text.lower())) for text in (prompt, natural))
    total = left.total() + right.total()
    return 2 * (left & right).total() / total if total else 1.0


def slots(preset: Preset) -> dict[str, list[str]]:
    """Read the slots of a preset's prompts: name → values; none where the file is missing."""
    path = (data_folder() / preset.prompts).with_name("slots.toml")
    if not preset.prompts or not path.exists():
        return {}
    with path.open("rb") as file:
        return dict(tomllib.load(file))


def found(text: str, values: Sequence[str]) -> list[str]:
    """List the values of a slot that stand in a text as whole words, in order, repeats too.

    >>> found("a red star left of a blue star", ["blue", "red", "green"])
    ['red', 'blue']
    """
    any_of = "|".join(sorted(map(re.escape, values), key=len, reverse=True))
    return re.findall(rf"\b(?:{any_of})\b", text.lower()) if values else []


def slot_matches(prompt: str, natural: str, slots: Slots) -> dict[str, float]:
    """Compare slot by slot: 1 where both texts have the same values in the same order, else 0.

    A slot of which the natural prompt says nothing is left out.

    >>> slot_matches("a red star", "a red heart", {"colour": ["red"], "object": ["star", "heart"]})
    {'colour': 1.0, 'object': 0.0}
    """
    wanted = {name: found(natural, values) for name, values in slots.items()}
    return {
        name: float(found(prompt, slots[name]) == values)
        for name, values in wanted.items()
        if values
    }
