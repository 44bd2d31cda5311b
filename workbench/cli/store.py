"""``workbench store``: show, verify and clean the store."""

from __future__ import annotations

import typer

from workbench.cli import terminal
from workbench.store.store import Store

store = typer.Typer(help="Look after the store.", no_args_is_help=True)


@store.command("info")
def store_info() -> None:
    """Show where the store is and what it holds."""
    with terminal.answering():
        for key, value in Store().info().items():
            print(f"{key:16} {terminal.shown(value)}")


@store.command("verify")
def store_verify() -> None:
    """Look for missing and damaged pictures and rows; exit 1 if there are any."""
    with terminal.answering():
        with terminal.working("read every picture and row"):
            problems = Store().verify()
        for problem in problems:
            print(terminal.shown(problem))
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
        with terminal.working("look for what no row needs"):
            removed = Store().gc()
        for key, value in removed.items():
            print(f"{key:16} {terminal.shown(value)}")
