"""Settings that a front end wrote of one picture, brought to common names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.text import plain

EDITED = re.compile(
    "hires|upscal|imagescale|resize|crop|paint|mask|script|grid|stitch|postprocess|"
    "concat|rotat|border|pad|flip|transpose|embiggen|init img"
)
"""Part of a setting's name where the picture need not have the size that is told."""
UNUSED: tuple[Any, ...] = (None, False, "", "None", "none", [], {})
"""Values of a setting that was not used."""
NUMBERS = {
    "seed": ("seed", "noiseseed", "randseed"),
    "steps": ("steps", "numinferencesteps", "numsteps", "samplingsteps"),
    "guidance": (
        *("distilledcfgscale", "guidance", "fluxguidance", "guidancescale", "cfgscale", "cfg"),
        "scale",
    ),
}
"""What a number is told as, by the names that front ends have for it, without their marks."""
TEXTS = {
    "sampler": ("sampler", "samplername", "samplingmethod"),
    "scheduler": ("scheduler", "scheduletype", "noiseschedule"),
}
SIZE = re.compile(r"\s*[\[(]?\s*(\d{1,5})\s*[x×*,]\s*(\d{1,5})\s*[\])]?\s*")
LORA = re.compile(r"<lora:([^:<>]{1,200})(?::([-+]?[0-9.]{1,10}))?[^<>]{0,50}>")
"""A low-rank addition as it is asked for inside a prompt: its name and weight."""
NAMES = ("name", "modelname", "lora", "loraname", "model", "file", "filename", "title")
"""Names under which an object keeps what the thing is called."""
MOST = 100
"""Low-rank additions that are listed at most."""


@dataclass(frozen=True)
class Parameters:
    """Parameters a front end wrote: its name, models, prompts if any, and settings by name.

    ``lost``: there is a prompt, which could not be followed through the nodes of a graph.
    """

    front: str
    models: tuple[str, ...]
    prompt: str | None
    settings: Mapping[str, Any]
    lost: bool = False
    negative: str | None = None

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height as told, in pixels; None where not, or where they may have changed."""
        settings = self.settings
        if any(EDITED.search(name) and settings[name] not in UNUSED for name in settings):
            return None
        if not str(settings.get("generation mode", "txt2img")).endswith("txt2img"):
            return None
        return size_in(settings)

    def told(self) -> dict[str, Any]:
        """Return what a drawing could be repeated with, as plain values, what is not told left out.

        ``seed``, ``steps``, ``guidance``, ``sampler``, ``scheduler``, ``size`` (width, height),
        ``loras`` (each a name, and a weight or None) and ``negative_prompt``.
        """
        flat = {compact(name): value for name, value in self.settings.items()}
        values: dict[str, Any] = {}
        for name, keys in NUMBERS.items():
            numbers = (number(flat.get(key)) for key in keys)
            values[name] = next((each for each in numbers if each is not None), None)
        if values["seed"] is not None and values["seed"] < 0:
            values["seed"] = None  # "any", which it then was is not told
        for name, keys in TEXTS.items():
            texts = (flat.get(key) for key in keys)
            values[name] = next((plain(each) for each in texts if isinstance(each, str)), None)
        size = size_in(self.settings)
        values["size"] = list(size) if size else None
        values["loras"] = _loras(flat, self.prompt or "")
        values["negative_prompt"] = plain(self.negative) if self.negative else None
        return {name: value for name, value in values.items() if value not in (None, [])}


def compact(name: str) -> str:
    """Write a setting's name without marks and capitals.

    >>> compact("CFG scale"), compact("num_inference_steps")
    ('cfgscale', 'numinferencesteps')
    """
    return re.sub(r"[^a-z0-9]", "", name.lower())


def number(value: Any) -> int | float | None:
    """Read a number, or a text that is one; anything else is None.

    >>> number("7"), number(6.5), number(7.0), number(True), number("many")
    (7, 6.5, 7, None, None)
    """
    if isinstance(value, str) and re.fullmatch(r"\s*[-+]?\d{1,20}(\.\d{1,20})?\s*", value):
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float):
        if not abs(value) < 1e15:  # infinite, or no number, which JSON cannot hold
            return None
        return int(value) if value == int(value) else value
    return value if abs(value) < 2**64 else None


def size_in(settings: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return width and height among settings, in pixels; None where they are not told."""
    sides = f"{settings.get('width')}x{settings.get('height')}"
    for value in (settings.get("size"), settings.get("resolution"), sides):
        text = "x".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        if match := SIZE.fullmatch(text):
            return int(match[1]), int(match[2])
    return None


def named(value: Any) -> str | None:
    """Return what a value is called: itself where it is a text, or a name inside an object."""
    for _ in range(3):
        if not isinstance(value, Mapping):
            break
        flat = {compact(str(name)): each for name, each in value.items()}
        value = next((flat[name] for name in NAMES if flat.get(name)), None)
    return value if isinstance(value, str) and value else None


def _loras(flat: Mapping[str, Any], prompt: str) -> list[dict[str, Any]]:
    """Return low-rank additions (LoRA) among settings and in a prompt, each once."""
    weights: dict[str, Any] = {}
    for key, value in flat.items():
        if key == "lorahashes" and isinstance(value, str):
            names = (part.partition(":")[0].strip() for part in value.strip('"').split(","))
            listed: Iterator[tuple[Any, Any]] = ((name, None) for name in names)
        elif re.fullmatch(r"loras?|lora(combined)?\d+", key):
            listed = _listed(value, flat.get("loraweights"))
        else:
            continue
        for name, weight in listed:
            if name and name != "None":
                weights.setdefault(plain(name), number(weight))
    for match in LORA.finditer(prompt):
        if weights.get(plain(match[1])) is None:
            weights[plain(match[1])] = number(match[2])
    return [{"name": name, "weight": weight} for name, weight in list(weights.items())[:MOST]]


def _listed(value: Any, weights: Any = None) -> Iterator[tuple[str | None, Any]]:
    """Yield name and weight of each addition in a setting: a list, an object, or "name : 0.5"."""
    if isinstance(value, str):
        head, mark, weight = value.rpartition(" : ")
        yield (head, weight) if mark else (value, None)
        return
    if isinstance(value, Mapping):
        value = [value]
    name: str | None
    for place, each in enumerate(value if isinstance(value, (list, tuple)) else []):
        if isinstance(each, (list, tuple)):
            name = next((x for x in each if isinstance(x, str)), None)
            yield name, next((x for x in each if number(x) is not None), None)
        elif isinstance(each, Mapping):
            flat = {compact(str(key)): x for key, x in each.items()}
            keys = ("weight", "strength", "strengthmodel", "modelweight")
            yield named(each), next((flat[key] for key in keys if key in flat), None)
        elif isinstance(each, str):
            there = isinstance(weights, (list, tuple)) and place < len(weights)
            name, mark, weight = each.rpartition(" : ")
            yield (name, weight) if mark else (each, weights[place] if there else None)


def load_object(text: Any) -> dict[str, Any]:
    """Read a JSON object; an empty one where the text is none."""
    if isinstance(text, dict):
        return text
    if not isinstance(text, str) or not text.lstrip("\ufeff \t\r\n").startswith("{"):
        return {}
    try:
        value = json.loads(text.strip("\ufeff \t\r\n\0"))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
