"""Facts on what this machine can run, for ``workbench doctor``."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import get_token

from workbench import catalogue
from workbench.catalogue import hub, presets
from workbench.catalogue.setting import settle
from workbench.cli import terminal
from workbench.paths import data_folder, expanded, user_folder
from workbench.store.store import Store
from workbench.weights import device, loading, memory
from workbench.weights.checkpoint import Checkpoint, is_downloaded, resolve_class
from workbench.weights.repository import page_of

DISTRIBUTION = "attribution-workbench"
OPTIONAL = {
    f"'{DISTRIBUTION}[evidence]'": ("c2pa", "sd_parsers", "imwatermark"),
    f"'{DISTRIBUTION}[ray]'": ("ray",),
}
"""What may be installed besides, as pip is told it, and the modules that each brings.

What rows need, their plug-ins tell: see `packages`."""


@dataclass(frozen=True)
class Fact:
    """A fact of the doctor: its subject, its state, and the remedy ("" where all is well).

    What is not ``needed`` is for more than the presets of the pocket zoo, which come along.
    """

    what: str
    found: str
    todo: str = ""
    needed: bool = False

    @property
    def sign(self) -> str:
        """``!`` where something needed is amiss, ``+`` where something may be added."""
        return ("!" if self.needed else "+") if self.todo else ""


def described() -> str:
    """Return the device models run on and its memory: ``the CPU, 23.5 GiB``."""
    where = device.kind()
    if where == "cpu":
        return f"the CPU, {memory.gib(memory.total(where))} of memory, float32"
    import torch

    return f"{torch.cuda.get_device_name()}, {memory.gib(memory.total(where))} of memory"


def facts() -> list[Fact]:
    """Return the facts of this machine; asks the hub whether it answers."""
    import torch
    from huggingface_hub import constants

    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("diffusers", "transformers")
    )
    listed = [
        Fact("python", f"{platform.python_version()} on {platform.system()}"),
        Fact("torch", f"{torch.__version__}, {versions}"),
        Fact("models run on", described()),
        Fact("memory free", memory.gib(memory.free(device.kind()))),
        _disk("store", expanded(os.environ.get("WORKBENCH_STORE") or Store.DEFAULT)),
        _disk("hub's cache", Path(constants.HF_HUB_CACHE)),
        Fact("your catalogue", str(user_folder())),
    ]
    needed: dict[str, dict[str, list[str]]] = {}  # what pip calls it: its modules, for which rows
    for what, modules in OPTIONAL.items():
        needed[what] = {module: [] for module in modules}
    for row in catalogue.all_rows().values():
        for module, what in packages(row).items():
            needed.setdefault(what, {}).setdefault(module, []).append(row.name)
    for what, users in needed.items():
        away = any(importlib.util.find_spec(module) is None for module in users)
        names = ", ".join(name for rows in users.values() for name in rows)
        state = ("not installed" + (names and f", for {names}")) if away else "here"
        listed.append(Fact(", ".join(users), state, f"pip install {what}" if away else ""))
    listed.append(Fact("hub", hub.reachable() or f"{constants.ENDPOINT} answers"))
    listed.append(Fact("hub log-in", "yes" if get_token() else "none (gated models need one)"))
    return listed


def packages(row: Checkpoint) -> dict[str, str]:
    """Return the further modules a row's plug-in needs, and the name of each for pip."""
    try:
        tells = getattr(resolve_class(row.plugin), "packages", None)
    except ValueError:  # no such plug-in: who loads the row will tell
        return {}
    return dict(tells(row)) if tells else {}


def lacking(rows: Sequence[Checkpoint]) -> dict[str, str]:
    """Return the modules that rows need and that are missing, and the name of each for pip."""
    needed = {module: what for row in rows for module, what in packages(row).items()}
    return {module: x for module, x in needed.items() if importlib.util.find_spec(module) is None}


def weight(row: Checkpoint) -> tuple[str, str]:
    """Return the GiB that weights take on this machine, and whether they fit: two cells."""
    sizes, where = loading.needs(row), device.kind()
    if not sizes:
        return "?", "?"
    words = {"whole": "yes", "parts": "in parts", "groups": "in groups", "": "no"}
    fits = words[loading.fit(row, memory.total(where), memory.total("cpu"))]
    return f"{sum(sizes.values()) / 2**30:.1f}", fits


def smaller(name: str) -> list[str]:
    """Return the presets of a hub's models that this machine can hold, but one of a name."""
    others = {}
    for other in presets.read():
        with contextlib.suppress(LookupError, ValueError):
            others[other] = presets.members(other)
    return [
        other
        for other, rows in others.items()
        if other != name
        and any(row.repositories for row in rows)
        and not any(weight(row)[1] == "no" for row in rows)
    ]


def readiness(name: str) -> Fact:
    """Return whether a preset is ready, and the command that makes it so."""
    try:
        rows = presets.members(name)
        if all(row.hosted or is_downloaded(row) for row in rows):
            settle(name)
    except (LookupError, ValueError) as error:
        edit = f"edit [presets.{name}] in {user_folder() / 'presets.toml'}"
        return Fact(f"preset {name}", str(error), edit, needed=True)
    away = [row for row in rows if not row.hosted and not is_downloaded(row)]
    lost = [row for row in away if row.folder is not None]
    gone = [row for row in away if row.status == "withdrawn"]
    far = [row for row in away if row not in (*lost, *gone)]
    gated = [row for row in far if row.gated]
    large = [row.name for row in rows if weight(row)[1] == "no"]
    absent = lacking(rows)
    states = [f"{row.name} is not in {row.folder}" for row in lost]
    states += [f"{row.name} was withdrawn" for row in gone]
    states += [f"{len(far)} of {len(rows)} checkpoints not here"] if far else []
    pages = ", ".join(page_of(row.source) for row in gated)
    states += [f"licences to accept at {pages}"] if gated else []
    states += [f"too large for this machine: {', '.join(large)}"] if large else []
    states += [loading.refusal(row) for row in rows if row.name in large[:1]]
    states += [f"needs {', '.join(absent)}"] if absent else []
    todo = [_restore(row) for row in lost]
    todo += [f"pip install {what}" for what in absent.values()]
    todo += ["hf auth login"] if gated and not get_token() else []
    todo += [f"workbench zoo download {name}"] if far else []
    if gone or large:
        fit = ", ".join(smaller(name))
        todo = [f"choose another zoo{f' ({fit})' if fit else ''}{' or machine' * bool(large)}"]
    state = "; ".join(states) or "ready"
    return Fact(f"preset {name}", state, " && ".join(todo), _shipped(rows))


def _shipped(rows: Sequence[Checkpoint]) -> bool:
    """Return whether all checkpoints come with the workbench, so that they have to be here."""
    return all(row.folder is not None for row in rows)


def _restore(row: Checkpoint) -> str:
    """Return how the folder of a row can be restored."""
    ours = data_folder().parent
    if row.folder is None or not row.folder.is_relative_to(ours):
        table = user_folder() / f"{catalogue.ROLES[row.role]}.toml"
        return f"restore the folder, or edit [{row.name}] in {table}"
    if (ours / ".git").exists():
        return f"git -C {ours} restore {row.folder.relative_to(ours)}"
    return f"install {DISTRIBUTION} anew"


def next_command(states: list[Fact]) -> str:
    """Return the command to type next: use what is ready, else fetch."""
    ready = [fact.what.removeprefix("preset ") for fact in states if not fact.todo]
    if not ready:
        return states[0].todo
    real = [name for name in ready if not name.startswith("pocket")]
    return f"workbench attribute PICTURE --preset {(real or sorted(ready))[0]}"


def _disk(what: str, folder: Path) -> Fact:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    todo = "free some space, or choose another folder" if free < 2 * 2**30 else ""
    if not (there.is_dir() and os.access(there, os.W_OK)):
        todo = f"choose another folder: {there} cannot be written"
    return Fact(what, f"{folder}, {memory.gib(free)} free", todo, needed=True)


def doctor() -> None:
    """Show what this machine can run, what is missing, and the next command to type.

    ! is needed even for the pocket zoo; + is for more: a larger zoo, a further format.
    """
    from rich.table import Column, Table

    with terminal.answering():
        with terminal.working("look at this machine"):
            states, out = [readiness(name) for name in presets.read()], terminal.results()
            rows = [*facts(), *states]
        columns = [Column(no_wrap=True), Column(max_width=22), Column(overflow="fold")]
        table = Table(*columns, box=None, pad_edge=False, show_header=False)
        for fact in rows:
            table.add_row(fact.sign, fact.what, fact.found)
        out.print(table)
        for sign, head in (("!", "Needed"), ("+", "For more")):
            if some := [fact for fact in rows if fact.sign == sign]:
                out.print(f"\n{head}:")
                for fact in some:  # in one line, however long, so that it can be copied
                    out.print(f"{sign} {fact.what}: {fact.todo}", soft_wrap=True)
        if not any(fact.sign == "!" for fact in rows):
            out.print("\nNothing that is needed is missing.")
        terminal.note(f"Next: `{next_command(states)}`")
