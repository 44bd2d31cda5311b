"""The command line that would draw a picture again from what its file tells."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from workbench.catalogue.rows import rows_of
from workbench.evidence import Evidence
from workbench.weights.checkpoint import resolve_class

SUFFIXES = re.compile(r"(?i)\.(safetensors|ckpt|gguf|sft|pth?|bin)$")
IDLE = re.compile(
    r"(?i)[-_. ](pruned|emaonly|ema|only|fp16|fp8|bf16|fp32|f16|diffusers|q\d\w*|vae)\b"
)
"""Part of a file's name that says how weights are kept, not which."""
LARGEST_SEED = 2**63 - 1


def command(found: Evidence) -> tuple[str | None, str]:
    """Return the command that would draw again, or None, and what is to be said of it.

    A candidate fits where its name, or that of its weights, is what the file names as the model.
    """
    told = found.settings or {}
    if not found.prompt:
        return None, "no prompt is told, so nothing can be drawn again"
    row = next((row for name in names(found) if (row := candidate(name))), None)
    if row is None:
        return None, f"no candidate of the catalogue is the model {found.source!r}"
    fields = {}
    if row.plugin.endswith(".Diffusers") and len(row.stages) < 2:
        fields = {key: told[key] for key in ("steps", "guidance") if key in told}
        fields |= {"guidance": float(fields["guidance"])} if "guidance" in fields else {}
    generator = repr(resolve_class(row.plugin)(row, **fields)) if fields else row.name
    words = ["workbench", "generate", "--generator", generator, "--prompt", found.prompt]
    seed = told.get("seed")
    seeded = isinstance(seed, int) and row.seedable and 0 <= seed <= LARGEST_SEED
    words += ["--seeds", str(seed)] if seeded else []
    return " ".join(map(_quoted, [*words, "--out", "redrawn"])), _differences(told, row, seeded)


def names(found: Evidence) -> list[str]:
    """List the models that a file names, each as it may be called elsewhere too."""
    source = found.source or ""
    return list(dict.fromkeys([source, *source.split(", ")]))


def candidate(name: str) -> Any:
    """Return the catalogue's generator of this name, or of these weights; None for none.

    >>> candidate("sd_xl_base_1.0.safetensors").name, candidate("v1-5-pruned-emaonly.ckpt").name
    ('sdxl', 'sd-1-5')
    """
    wanted = _plain(name)
    if not wanted:
        return None
    for row in rows_of("generator").values():
        known = {_plain(row.name), _plain(row.source)}
        if wanted in known or (f"sd{wanted}" in known and wanted[-1].isdigit()):
            return row
    return None


def _plain(name: str) -> str:
    """Write the name of weights without folder, suffix, marks and what says how they are kept."""
    text = SUFFIXES.sub("", PurePosixPath(name.replace("\\", "/")).name)
    text = IDLE.sub("", re.sub(r"(?i)stable[-_ ]?diffusion", "sd", text))
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _differences(told: Mapping[str, Any], row: Any, seeded: bool) -> str:
    """Say in what a drawing by the candidate would differ from the one told."""
    parts = []
    if not seeded:
        parts.append("without the seed")
    if sampler := told.get("sampler"):
        parts.append(f"by the candidate's own sampler, not {sampler!r}")
    if (size := told.get("size")) and list(size) != [row.size, row.size]:
        parts.append(f"at {row.size}×{row.size} pixels, not {size[0]}×{size[1]}")
    if told.get("loras"):
        parts.append("without the additions (LoRA)")
    if told.get("negative_prompt"):
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
