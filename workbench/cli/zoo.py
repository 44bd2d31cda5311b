"""``workbench zoo``: list, fetch, add, show and verify checkpoints."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from workbench import catalogue
from workbench.catalogue import add, download, presets, toml
from workbench.catalogue.download import Plan
from workbench.cli import doctor, terminal
from workbench.cli.options import CHECKPOINTS, SHELVES
from workbench.paths import data_folder, expanded, user_folder
from workbench.text import shown
from workbench.weights import loading, memory
from workbench.weights.checkpoint import DTYPES, PACKAGE, Checkpoint, is_downloaded
from workbench.weights.repository import digest_of

Answer = TypeVar("Answer")
NARROW = 100
"""Columns of a terminal up to which `zoo list` leaves out the classes."""
zoo = typer.Typer(
    help="Look at the models of the catalogue, fetch and add some.", no_args_is_help=True
)


@zoo.command("list")
def zoo_list(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A preset, a zoo, a role or a checkpoint; all if left out.",
            autocompletion=SHELVES,
        ),
    ] = None,
) -> None:
    """List checkpoints: first what is here, then what fits this machine, then the rest.

    The licence is told, and where it is to be accepted before weights can be fetched.
    """
    from rich.table import Column, Table

    with terminal.answering():
        if name in catalogue.ROLES:
            rows = list(catalogue.rows_of(str(name)).values())
        else:
            rows = presets.members(name) if name else list(catalogue.all_rows().values())
        if not rows:
            raise LookupError(f"there are no checkpoints of the role {name}")
        out = terminal.results()
        head = ["name", "role", "GiB", "fits", "licence", "where"]
        head += ["class"] if out.width > NARROW else []  # `zoo show` tells it too
        columns = [
            Column(title, no_wrap=title in ("name", "GiB", "where"), overflow="fold")
            for title in head
        ]
        columns[2].justify = "right"
        table = Table(*columns, box=None, pad_edge=False)
        with terminal.working("look at the catalogue"):
            listed = [(row, *doctor.weight(row), _where(row)) for row in rows]
        for row, size, fits, where in sorted(listed, key=_nearness):
            kind = row.class_name.rpartition(".")[2] or row.plugin.rpartition(".")[2]
            licence = [x for x in (row.licence, "to accept" if row.gated else "") if x]
            terms = ", ".join(licence) or "?"
            table.add_row(*(row.name, row.role, size, fits, terms, where, kind)[: len(head)])
        out.print(table)
        print()
        terminal.say(f"GiB and fits are of this machine: {doctor.described()}.")
        terminal.say(
            "A licence is as the model's page named it when it was looked up, ? where none was "
            "seen: read the page before you fetch it. One to accept is accepted there first."
        )
        if any(row.status == "mirror" for row in rows):
            terminal.say("A mirror is somebody's copy of what its owner removed.")
        for row in rows:
            for module, what in doctor.lacking([row]).items():
                print(f"{row.name} needs {module}: pip install {what}")
        _tell_presets(name)


@zoo.command("download")
def zoo_download(
    name: Annotated[
        str, typer.Argument(help="A preset, a zoo or a checkpoint.", autocompletion=SHELVES)
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before fetching.")] = False,
    revision: Annotated[
        str, typer.Option(help="The commit to pin (one checkpoint); the newest if left out.")
    ] = "",
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Fetch what does not fit this machine, for another.")
    ] = False,
) -> None:
    """Fetch weights and pin them: sizes first, resumed where it stopped, every digest checked.

    What this machine could never hold is not fetched, unless --anyway asks for it.
    """
    with terminal.answering():
        rows = presets.members(name)
        if revision and len(rows) > 1:
            raise ValueError(f"--revision is of one checkpoint; {name} stands for {len(rows)}")
        rows = [row for row in rows if revision or not download.settled(row)]
        if not rows:
            print(f"{name}: nothing is left to fetch.")
            return
        # a fault of one keeps none of the others
        refusals = {row.name: "" if anyway else loading.refusal(row) for row in rows}
        faults = [fault for fault in refusals.values() if fault]
        rows = [row for row in rows if not refusals[row.name]]
        plans = [plan for row in rows for plan in _tried(download.plan, faults, row, revision)]
        for fault in faults:
            more = "; --anyway fetches it for another" if fault in refusals.values() else ""
            terminal.tell(f"workbench: {fault}{more}")
        reported = len(faults)
        if plans:
            _show_plans(plans)
        left = sum(plan.left for plan in plans)
        if left and not yes and not _agreed(left):
            raise typer.Exit(1)
        download.room_for(plans)
        with terminal.bytes_bar(left) as tick:
            done = [p.row for p in plans if _tried(download.download, faults, p, tick)]
        for row in done:
            print(f"{row.name}: here")
        for fault in faults[reported:]:
            terminal.tell(f"workbench: {fault}")
        if faults:
            raise typer.Exit(2)
        terminal.note(f"Pinned in {user_folder()}. {_next(name)}")


def _tried(do: Callable[..., Answer], faults: list[str], *arguments: Any) -> list[Answer]:
    """Return [result] of a call for one row, or [] with its error appended to `faults`."""
    try:
        return [do(*arguments)]
    except (KeyError, IndexError):
        raise
    except (LookupError, ValueError) as error:
        faults.append(str(error))
        return []


@zoo.command("add")
def zoo_add(
    sources: Annotated[
        list[str],
        typer.Argument(help="A folder, or a hub id (org/name); of a cascade its stages, in order."),
    ],
    name: Annotated[str | None, typer.Option(help="Its name; the source's last part.")] = None,
    size: Annotated[
        int | None, typer.Option(min=1, help="Native side in pixels, if not told.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Default steps of a generator.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Default guidance.")] = None,
    family: Annotated[str | None, typer.Option(help="The family in tables and figures.")] = None,
    dtype: Annotated[
        str | None, typer.Option(help="On a GPU: float32, float16 or bfloat16; as its files tell.")
    ] = None,
) -> None:
    """Write a checkpoint into your catalogue; of a hub id only configs and heads are asked for."""
    with terminal.answering():
        name = name or expanded(sources[0]).name.lower().replace(".", "-")
        _check_name(name)
        options = {"steps": steps, "guidance": guidance}
        options = {key: value for key, value in options.items() if value is not None}
        if dtype not in (None, *DTYPES):
            raise ValueError(f"there is no dtype {dtype!r}; there are: {', '.join(DTYPES)}")
        given = {"size": size, "family": family, "dtype": dtype, "options": options or None}
        role, fields = add.row_of(*sources, **given)
        if options and role != "generator":
            raise ValueError(f"--steps and --guidance are of a generator, and {name} is an {role}")
        catalogue.row_of(role, name, fields)  # a row that cannot be read is not written
        file = toml.write(f"{catalogue.ROLES[role]}.toml", name, fields)
        kind = shown(fields.get("class") or fields["plugin"])
        precision = f", {fields['dtype']} on a GPU" if "dtype" in fields else ""
        print(f"{name}: {role}, {kind}, {fields['size']} px{precision}")
        then = f"zoo verify {name}" if "revision" not in fields else f"zoo download {name}"
        terminal.note(f"Written into {file}. Next: `workbench {then}`")


def _check_name(name: str) -> None:
    """Raise ValueError for a name that cannot be typed, or that means something already."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(
            f"a name is of letters, digits, - _ and . alone; seen {name!r}; give another --name"
        )
    there = dict.fromkeys(catalogue.all_rows(), "checkpoint")
    there |= dict.fromkeys(catalogue.zoos(), "zoo") | dict.fromkeys(presets.read(), "preset")
    there |= dict.fromkeys(catalogue.ROLES, "role")
    there |= {other: role for role in catalogue.ROLES for other in catalogue.names(role)} | there
    if name in there:
        raise ValueError(f"the name {name!r} is taken ({there[name]}); give another --name")


@zoo.command("show")
def zoo_show(
    name: Annotated[str, typer.Argument(help="A checkpoint's name.", autocompletion=CHECKPOINTS)],
) -> None:
    """Show one checkpoint: its row of the catalogue and its card."""
    import dataclasses

    with terminal.answering():
        row = catalogue.checkpoint(name)
        card = _manifest().get(name, {})
        facts = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
        facts["options"] = ", ".join(f"{key}={value}" for key, value in row.options)
        facts |= {key: value for key, value in card.items() if key not in ("sha256", "training")}
        if is_downloaded(row):
            facts["weights sha256"] = row.digest()
        for key, value in facts.items():
            if value not in ("", (), None):
                print(f"{key:16} {shown(value)}")


@zoo.command("verify")
def zoo_verify(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A preset, a zoo or a checkpoint; all that are here.", autocompletion=SHELVES
        ),
    ] = None,
) -> None:
    """Check the checksums of models, load them, and let each do one picture."""
    with terminal.answering():
        there = filter(is_downloaded, catalogue.all_rows().values())
        failed = False
        for row in presets.members(name) if name else there:
            with terminal.working(f"try {row.name}"):
                fault = _fault(row)
            failed |= fault is not None
            print(f"{row.name}: {shown(fault or 'good')}", flush=True)
        if failed:
            raise typer.Exit(1)


def _where(row: Checkpoint) -> str:
    """Return where weights are: here, hosted, missing, withdrawn, or to fetch, and from where."""
    if row.hosted:
        return "hosted"
    if is_downloaded(row):
        return "here"
    if row.source.startswith(PACKAGE):
        return "package"
    if row.status == "withdrawn" or row.folder:
        return "withdrawn" if row.status == "withdrawn" else "missing"
    return "mirror" if row.status == "mirror" else "hub"


def _nearness(entry: tuple[Checkpoint, str, str, str]) -> tuple[bool, bool]:
    """Return what sorts a row: what is here first, then what fits this machine."""
    _, _, fits, where = entry
    return where not in ("here", "package"), fits in ("no", "?")


def _tell_presets(name: str | None) -> None:
    """Print the zoos, and for each preset whether it is ready, or the command that helps."""
    for zoo, models in catalogue.zoos().items():
        if name in (None, zoo):
            terminal.say(f"zoo {zoo}: {', '.join(models)}")
    for preset in presets.read():
        if name in (None, preset):
            with terminal.working(f"look at {preset}"):
                fact = doctor.readiness(preset)
            then = f". Next: {fact.todo}" if fact.todo else ""
            terminal.say(f"{fact.what}: {fact.found}{then}")


def _show_plans(plans: list[Plan]) -> None:
    """Show what a download would fetch, before anything is fetched."""
    from rich.table import Column, Table

    head = ("name", "from", "files", "size", "to fetch", "licence")
    table = Table(*(Column(x, overflow="fold") for x in head), box=None, pad_edge=False)
    for plan in plans:
        for place, files in zip(plan.repositories, plan.files, strict=True):
            licence = place.licence or "?"
            table.add_row(
                plan.row.name,
                f"{place.id}@{place.commit[:8]}" if place.commit else place.id,
                str(len(files)),
                memory.gib(sum(file.size for file in files)),
                memory.gib(plan.left_of(place, files)),
                f"{licence}, to accept at its page" if place.gated else licence,
            )
    terminal.results().print(table)


def _agreed(left: int) -> bool:
    """Ask before fetching; where nobody can answer, print the option to give."""
    import sys

    if not sys.stdin.isatty():
        terminal.tell(f"Nothing was fetched: give --yes to fetch {memory.gib(left)}.")
        return False
    return typer.confirm(f"Fetch {memory.gib(left)}?")


def _next(name: str) -> str:
    """Return the next command after a download."""
    if absent := doctor.lacking(presets.members(name)):
        return f"Next: `pip install {' '.join(absent.values())}`"
    if name in presets.read():
        return f"Next: `workbench attribute PICTURE --preset {name}`"
    return f"Next: `workbench zoo verify {name}`" if name not in catalogue.zoos() else ""


def _manifest() -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for path in data_folder().glob("*/manifest.json"):
        entries |= json.loads(path.read_text(encoding="utf-8"))
    return entries


def _fault(row: Checkpoint) -> str | None:
    """Return what is wrong with a checkpoint; None when it works and is what was published."""
    if row.hosted:
        return "hosted: there are no weights to check, and a picture would cost money"
    known = _manifest().get(row.name, {}).get("sha256", {})
    for file, sha in known.items():
        path = (row.folder or Path()) / file
        if not path.is_file():
            return f"the file {file} is missing"
        if digest_of(path, sha) != sha:
            return f"the file {file} is not the one that was published: its sha256 differs"
    if wrong := download.fault(row):
        return wrong
    from PIL import Image

    grey = Image.new("RGB", (row.size, row.size), "grey")
    try:
        tool = catalogue.load(row.name)
        answer = tool(["a red circle"], [0]) if row.role == "generator" else tool([grey])
    except (LookupError, ValueError, OSError, RuntimeError, MemoryError) as error:
        return str(error).partition("; `workbench zoo verify")[0]  # which was just done
    return str(getattr(answer[0], "reason", "")) or None
