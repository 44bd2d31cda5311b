"""The commands ``workbench zoo`` and ``workbench store``: what is here, and is it good?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench import catalogue, terminal
from workbench.checkpoints import Checkpoint
from workbench.store import Store

zoo = typer.Typer(help="Look at the models of the catalogue.", no_args_is_help=True)
store = typer.Typer(help="Look after the store.", no_args_is_help=True)


@zoo.command("list")
def zoo_list() -> None:
    """List every checkpoint of the catalogue, and the zoos made of them."""
    from rich.table import Table

    with terminal.answering():
        table = Table("name", "role", "class", "licence", "where", box=None, pad_edge=False)
        for row in _rows():
            where = "here" if _is_here(row) else ("missing" if row.folder else "hub")
            kind = row.class_name.rpartition(".")[2]
            table.add_row(row.name, row.role, kind, row.licence or "?", where)
        terminal.results().print(table)
        for name, models in catalogue.zoos().items():
            print(f"zoo {name}: {', '.join(models)}")


@zoo.command("show")
def zoo_show(name: Annotated[str, typer.Argument(help="A checkpoint's name.")]) -> None:
    """Show one checkpoint: its row of the catalogue and its card."""
    import dataclasses

    with terminal.answering():
        row = catalogue.checkpoint(name)
        card = _manifest().get(name, {})
        facts = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
        facts["options"] = ", ".join(f"{key}={value}" for key, value in row.options)
        facts |= {key: value for key, value in card.items() if key != "sha256"}
        if _is_here(row):
            facts["weights sha256"] = row.digest()
        for key, value in facts.items():
            if value not in ("", (), None):
                print(f"{key:16} {value}")


@zoo.command("verify")
def zoo_verify(
    name: Annotated[str | None, typer.Argument(help="One checkpoint; all that are here.")] = None,
) -> None:
    """Check the checksums of models, load them, and let each do one picture."""
    with terminal.answering():
        rows = [catalogue.checkpoint(name)] if name else [row for row in _rows() if _is_here(row)]
        failed = False
        for row in rows:
            fault = _fault(row)
            failed |= fault is not None
            print(f"{row.name}: {fault or 'good'}", flush=True)
        if failed:
            raise typer.Exit(1)


@store.command("info")
def store_info() -> None:
    """Tell where the store is and what it holds."""
    with terminal.answering():
        for key, value in Store().info().items():
            print(f"{key:16} {value}")


@store.command("verify")
def store_verify() -> None:
    """Look for missing and damaged pictures; exit 1 if there are any."""
    with terminal.answering():
        problems = Store().verify()
        for problem in problems:
            print(problem)
        if problems:
            terminal.tell(
                "`workbench store gc` removes what is damaged; it is then made again when needed."
            )
            raise typer.Exit(1)
        print("good")


@store.command("gc")
def store_gc() -> None:
    """Remove what no row needs; what was paid for always stays."""
    with terminal.answering():
        for key, value in Store().gc().items():
            print(f"{key:16} {value}")


def _rows() -> list[Checkpoint]:
    return [row for role in catalogue.ROLES for row in catalogue.rows(role).values()]


def _is_here(row: Checkpoint) -> bool:
    return row.folder is not None and row.folder.is_dir()


def _manifest() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in catalogue.data_folder().glob("*/manifest.json"):
        found |= json.loads(path.read_text(encoding="utf-8"))
    return found


def _fault(row: Checkpoint) -> str | None:
    """Find what is wrong with a checkpoint; None when it works and is what was published."""
    import hashlib

    known = _manifest().get(row.name, {}).get("sha256", {})
    for file, sha in known.items():
        path = (row.folder or Path()) / file
        if not path.is_file():
            return f"the file {file} is missing"
        if hashlib.sha256(path.read_bytes()).hexdigest() != sha:
            return f"the file {file} is not the one that was published: its sha256 differs"
    from PIL import Image

    grey = Image.new("RGB", (row.size, row.size), "grey")
    try:
        tool = catalogue.load(row.name)
        answer = tool(["a red circle"], [0]) if row.role == "generator" else tool([grey])
    except (LookupError, ValueError, OSError, RuntimeError) as error:
        return str(error)
    return str(getattr(answer[0], "reason", "")) or None
