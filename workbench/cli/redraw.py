"""The command line that would draw a picture again from what its file tells."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from workbench.catalogue.rows import rows_of
from workbench.evidence import Evidence
from workbench.text import brief
from workbench.weights.checkpoint import resolve_class

SUFFIXES = re.compile(r"(?i)\.(safetensors|ckpt|gguf|sft|pth?|bin)$")
IDLE = re.compile(
    r"(?i)[-_. ](pruned|emaonly|ema|only|fp16|fp8|bf16|fp32|f16|diffusers|q\d\w*|vae)\b"
)
"""Part of a file's name that says how weights are kept, not which."""
LARGEST_SEED = 2**63 - 1
MOST_STEPS, MOST_GUIDANCE = 1000, 100
"""What a candidate is asked for at most, whatever a file tells."""


def command(parameters: Evidence) -> tuple[str | None, str]:
    """Return the command that would draw again, or None, and what is to be said of it.

    A candidate fits where its name, or that of its weights, is what the file names as the model.
    """
    settings = parameters.settings or {}
    if not parameters.prompt:
        return None, "no prompt is told, so nothing can be drawn again"
    row = next((row for name in names(parameters) if (row := candidate(name))), None)
    if row is None:
        return None, f"no candidate of the catalogue is the model {parameters.source!r}"
    fields = _fields(settings, row)
    generator = repr(resolve_class(row.plugin)(row, **fields)) if fields else row.name
    words = ["workbench", "generate", "--generator", generator, "--prompt", parameters.prompt]
    seed = settings.get("seed")
    seeded = isinstance(seed, int) and row.seedable and 0 <= seed <= LARGEST_SEED
    words += ["--seeds", str(seed)] if seeded else []
    return " ".join(map(_quoted, [*words, "--out", "redrawn"])), _differences(
        settings, row, fields, seeded
    )


def _fields(settings: Mapping[str, Any], row: Any) -> dict[str, Any]:
    """Return the steps and the guidance that are told, as far as the candidate takes them."""
    fields: dict[str, Any] = {}
    if not row.plugin.endswith(".Diffusers") or len(row.stages) > 1:
        return fields
    steps, guidance = settings.get("steps"), settings.get("guidance")
    if isinstance(steps, int) and 1 <= steps <= MOST_STEPS:
        fields["steps"] = steps
    if guidance is not None and 0 <= guidance <= MOST_GUIDANCE:
        fields["guidance"] = float(guidance)
    return fields


def names(parameters: Evidence) -> list[str]:
    """Return the models that a file names, under each name they may have elsewhere."""
    source = parameters.source or ""
    return list(dict.fromkeys([source, *source.split(", ")]))


def candidate(name: str) -> Any:
    """Return the catalogue's generator of this name, or of these weights; None for none.

    >>> candidate("sd_xl_base_1.0.safetensors").name, candidate("v1-5-pruned-emaonly.ckpt").name
    ('sdxl', 'sd-1-5')
    """
    plain = _plain(name)
    if not plain:
        return None
    for row in rows_of("generator").values():
        known = {_plain(row.name), _plain(row.source)}
        if plain in known or (f"sd{plain}" in known and plain[-1].isdigit()):
            return row
    return None


def _plain(name: str) -> str:
    """Return a weights' name without folder, suffix, marks and words for its storage."""
    text = SUFFIXES.sub("", PurePosixPath(name.replace("\\", "/")).name)
    text = IDLE.sub("", re.sub(r"(?i)stable[-_ ]?diffusion", "sd", text))
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _differences(
    settings: Mapping[str, Any], row: Any, fields: Mapping[str, Any], seeded: bool
) -> str:
    """Return how a drawing by the candidate would differ from the settings in the file."""
    parts = []
    if not seeded:
        parts.append("without the seed")
    parts += [
        f"with the candidate's own {name}, not {brief(settings[name], 20)}"
        for name in ("steps", "guidance")
        if name in settings and name not in fields
    ]
    if sampler := settings.get("sampler"):
        parts.append(f"by the candidate's own sampler, not {sampler!r}")
    if (size := settings.get("size")) and list(size) != [row.size, row.size]:
        parts.append(f"at {row.size}×{row.size} pixels, not {size[0]}×{size[1]}")
    if settings.get("loras"):
        parts.append("without the additions (LoRA)")
    if settings.get("negative_prompt"):
        parts.append("without the negative prompt")
    return f"it would draw {', '.join(parts)}" if parts else "it would draw as told"


def _quoted(word: str) -> str:
    """Quote a word for a shell; letters that act on a terminal are written as escapes ($'…')."""
    if word.isprintable():
        return shlex.quote(word)
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + "".join(c if c.isprintable() else _escape(c) for c in escaped) + "'"


def _escape(letter: str) -> str:
    code = ord(letter)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
