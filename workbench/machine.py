"""What this machine can run: the facts behind ``workbench doctor``."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from workbench import checkpoints, hub, intake, memory, presets, tables
from workbench.generators.glide import PACKAGE
from workbench.store import Store

DISTRIBUTION = "attribution-workbench"
OPTIONAL = {
    f"'{DISTRIBUTION}[evidence]'": ("c2pa", "sd_parsers", "imwatermark"),
    f"'{DISTRIBUTION}[hosted]'": ("openai",),
    f"'{DISTRIBUTION}[dalle-mini]'": ("min_dalle",),
    f"'{DISTRIBUTION}[chat]'": ("num2words",),
    f"'{DISTRIBUTION}[ray]'": ("ray",),
    PACKAGE: ("glide_text2im",),
}
"""What may be installed besides, as pip is told it, and the modules that each brings."""


@dataclass(frozen=True)
class Fact:
    """One line of the doctor: what, how it is, and what to do where it is not well ("": well)."""

    what: str
    found: str
    todo: str = ""


def described() -> str:
    """Name where models run and its memory: ``the CPU, 23.5 GiB``."""
    where = checkpoints.device()
    if where == "cpu":
        return f"the CPU, {memory.gib(memory.total(where))} of memory, float32"
    import torch

    return f"{torch.cuda.get_device_name()}, {memory.gib(memory.total(where))} of memory"


def facts() -> list[Fact]:
    """Find out what this machine has; the hub is asked whether it answers."""
    import torch
    from huggingface_hub import constants, get_token

    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("diffusers", "transformers")
    )
    found = [
        Fact("python", f"{platform.python_version()} on {platform.system()}"),
        Fact("torch", f"{torch.__version__}, {versions}"),
        Fact("models run on", described()),
        Fact("memory free", memory.gib(memory.free(checkpoints.device()))),
        _disk("store", Path(os.environ.get("WORKBENCH_STORE") or Store.DEFAULT).expanduser()),
        _disk("hub's cache", Path(constants.HF_HUB_CACHE)),
        Fact("your catalogue", str(tables.user_folder())),
    ]
    for what, modules in OPTIONAL.items():
        absent = any(importlib.util.find_spec(name) is None for name in modules)
        state = "not installed" if absent else "here"
        found.append(Fact(", ".join(modules), state, f"pip install {what}" if absent else ""))
    found.append(Fact("hub", hub.reachable() or f"{constants.ENDPOINT} answers"))
    found.append(Fact("hub log-in", "yes" if get_token() else "none (gated models need one)"))
    return found


def readiness() -> list[Fact]:
    """Tell of each preset whether it is ready, and the command that makes it so."""
    found = []
    for name in presets.read():
        rows = intake.members(name)
        away = [row for row in rows if not row.hosted and not checkpoints.here(row)]
        gated = [row.name for row in away if row.gated]
        state = "ready" if not away else f"{len(away)} of {len(rows)} checkpoints not here"
        if gated:
            state += f", licences to accept for {', '.join(gated)}"
        found.append(
            Fact(f"preset {name}", state, f"workbench zoo download {name}" if away else "")
        )
    return found


def next_command(states: list[Fact]) -> str:
    """Choose the command to type next: use what is ready; else fetch."""
    ready = [fact.what.removeprefix("preset ") for fact in states if not fact.todo]
    if not ready:
        return states[0].todo
    real = [name for name in ready if not name.startswith("pocket")]
    return f"workbench attribute PICTURE --preset {(real or sorted(ready))[0]}"


def _disk(what: str, folder: Path) -> Fact:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    todo = "free some space, or choose another folder" if free < 2 * 2**30 else ""
    return Fact(what, f"{folder}, {memory.gib(free)} free", todo)
