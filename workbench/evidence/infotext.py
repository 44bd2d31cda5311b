"""Parameters as a text: Automatic1111's and its kin's, InvokeAI's first, Midjourney's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from workbench.evidence.settings import Parameters

KNOWN = ("Steps", "Sampler", "CFG scale", "Seed", "Size", "Model hash", "Model", "Schedule type")
"""Settings by two of which Automatic1111's kind of text is known."""
PAIR = rf"(?:{'|'.join(KNOWN)}): ?[^,\n]{{1,100}}, *"
SETTINGS = [re.compile(rf"(?:^|(?<=[\s.,;]))(?:{PAIR})*{last}: ?\d") for last in ("Steps", "Seed")]
"""Where the settings begin: with steps, or else a seed, and known settings before them."""
NEGATIVE = re.compile(r"(?im)^[ \t]*negative prompt:")
NEGATIVE_INSIDE = re.compile(r"(?i)(?:^|(?<=[\s.,;]))negative prompt:")
KEY = re.compile(r"[\s,]*([^\s:,\"{}\[\]][^:,\n\"{}\[\]]{0,80}):[ \t]*")
QUOTED = re.compile(r'"(?:\\.|[^"\\])*"')
KIN = (("app", "SD.Next"), ("version", "ComfyUI"), ("version", "Fooocus"))
"""Settings in which a front end of this kind names itself."""
DREAM = re.compile(r'\s*"(.*)"\s*(-.*)?', re.DOTALL)
DREAMED = {
    "s": "steps",
    "S": "seed",
    "W": "width",
    "H": "height",
    "C": "cfg scale",
    "A": "sampler",
    "m": "sampler",
    "U": "upscale",
    "G": "face paint",
    "I": "init img",
    "M": "mask",
    "embiggen": "upscale",
    "hires_fix": "hires",
}
"""Names of InvokeAI's options, one letter or a word; others stay as they are."""
JOB = re.compile(r"\s*\bJob ID:\s*([0-9a-fA-F][0-9a-fA-F-]{7,40})\s*$")
FLAG = re.compile(r"(?:^|\s+)(?:--|—)([a-zA-Z]+)(?=\s|$)")
VERSIONS = (("niji", "niji "), ("v", "v"), ("version", "v"))
"""The options that name Midjourney's version, and how it is told."""


def automatic(text: str) -> Parameters | None:
    """Read a prompt, "Negative prompt: …" and "Steps: 20, Sampler: …"; None where it is not so.

    The three may stand on a line each, or all on one; a sampler need not be there.
    """
    start = _settings_in(text)
    settings = dict(_pairs(text[start:]))
    if sum(name.lower() in settings for name in KNOWN) < 2:
        start, settings = len(text), {}
    head = text[:start]
    mark = NEGATIVE.search(head) or NEGATIVE_INSIDE.search(head)
    if not settings and not (mark and NEGATIVE.search(head)):
        return None
    prompt = head[: mark.start()] if mark else head
    negative = head[mark.end() :].strip() if mark else ""
    model = (
        settings.get("model")
        or settings.get("model hash")
        or _resource(settings.get("civitai resources"))
    )
    models = (model,) if isinstance(model, str) and model else ()
    front = next((name for key, name in KIN if name in str(settings.get(key))), "AUTOMATIC1111")
    return Parameters(front, models, prompt.strip(), settings, negative=negative or None)


def _settings_in(text: str) -> int:
    """Return where the settings begin: at the last line that does so, or else first inside one."""
    for pattern in SETTINGS:
        begins = [match.start() for match in pattern.finditer(text)]
        lines = [place for place in begins if not place or text[place - 1] == "\n"]
        if begins:
            return lines[-1] if lines else begins[0]
    return len(text)


def _pairs(text: str) -> Iterator[tuple[str, Any]]:
    """Yield settings, "name: value, …", by name in small letters.

    A value in quotes, and JSON, may hold commas and colons.
    """
    place = 0
    while match := KEY.match(text, place):
        name, place = match[1].strip().lower(), match.end()
        value: Any = None
        if quoted := QUOTED.match(text, place):
            value, place = _unquoted(quoted[0]), quoted.end()
        elif text[place : place + 1] in ("{", "["):
            try:
                value, place = json.JSONDecoder().raw_decode(text, place)
            except ValueError:
                value = None
        if value is None:
            end = min(
                x for x in (text.find(",", place), text.find("\n", place), len(text)) if x >= 0
            )
            value, place = text[place:end].strip(), end
        yield name, value
        while KEY.match(text, place) is None and (comma := text.find(",", place)) >= 0:
            place = comma + 1  # a value with a comma in it


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(text, strict=False))
    except ValueError:
        return text.strip('"')


def _resource(value: Any) -> str | None:
    """Return the name of the checkpoint among the resources that Civitai lists."""
    for each in value if isinstance(value, list) else []:
        if isinstance(each, dict) and each.get("type") in ("checkpoint", "model"):
            name = each.get("modelName") or each.get("modelVersionName")
            return name if isinstance(name, str) else None
    return None


def dream(text: str) -> Parameters | None:
    """Read InvokeAI's first form, '"prompt [not this]" -s 50 -S42 …'; None where it is not so."""
    match = DREAM.fullmatch(text)
    if match is None:
        return None
    options = re.finditer(
        r"(?:^|\s)-(?:-([a-z_]+)|([A-Za-z]))[ =]*((?:\"[^\"]*\"|[^\s\"-][^\s\"]*)?)", match[2] or ""
    )
    settings: dict[str, Any] = {}
    for option in options:
        name = option[1] or option[2]
        settings[DREAMED.get(name, name).replace("_", " ")] = option[3] or True
    if not settings:
        return None
    negative = re.findall(r"\[([^\[\]]*)\]", match[1])
    prompt = re.sub(r"\s*\[[^\[\]]*\]", "", match[1]).strip(" ,")
    return Parameters("InvokeAI", (), prompt, settings, negative=", ".join(negative) or None)


def midjourney(text: str) -> Parameters | None:
    """Read what Midjourney writes, "prompt --ar 1:1 --v 6 Job ID: …"; None where it is not so."""
    job = JOB.search(text)
    words = text[: job.start()] if job else text
    flags = list(FLAG.finditer(words))
    named = {flag[1].lower() for flag in flags}
    if not job and not named & {"v", "niji", "ar"}:
        return None
    ends = [*(flag.start() for flag in flags), len(words)][1:]
    settings: dict[str, Any] = {
        flag[1].lower(): words[flag.end() : end].strip() or True
        for flag, end in zip(flags, ends, strict=True)
    }
    prompt = words[: flags[0].start()] if flags else words
    prompt = re.sub(r"^(\s*<?https?://\S+)+", "", prompt).strip()
    version = next(
        (f" {mark}{settings[x]}" for x, mark in VERSIONS if isinstance(settings.get(x), str)), ""
    )
    negative = settings.pop("no", None)
    negative = negative if isinstance(negative, str) else None
    return Parameters("Midjourney", (f"Midjourney{version}",), prompt, settings, negative=negative)
