"""The command that serves one page for people without notebooks: app."""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.catalogue.setting import settle
from workbench.cli import terminal
from workbench.cli.options import PresetName, Seed
from workbench.paths import expanded
from workbench.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "127.0.0.1"
TRIED = 50
"""Ports that are tried, from the one asked for."""
MISSING = (
    "workbench app needs Voilà, which is not installed; pip install 'attribution-workbench[app]'"
)
EXTENSIONS = [
    "@jupyter-widgets/jupyterlab-manager",
    "@voila-dashboards/widgets-manager8",
    "anywidget",
]
"""What the page loads of JupyterLab's extensions: those of widgets."""
INTRODUCTION = """# Which model made this picture?

Hand over a picture. Read what its file says itself; see which of {count} candidate models the
picture is narrowed to, and why; read what that does not prove; and keep the report.

The candidates are {models}. A photograph, or a picture of any other model, gets a first place
among them too. Nothing leaves this computer; what is made is kept in `{store}`.
"""
OPEN = """<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url=http://{host}:{port}/?token={token}"><title>Attribution</title>
"""
"""Page that opens the other: only who can read this file has the key."""
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' ws://{host}:{port}",
        "frame-ancestors 'none'",
        "object-src 'none'",
    )
)
"""What the page may load: nothing but from this server."""


def serve(
    preset: PresetName = "pocket",
    port: Annotated[int, typer.Option(help="Port, on this computer alone; the next if taken.")] = (
        8866
    ),
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    seed: Seed = 0,
) -> None:
    """Serve one page for people without notebooks: hand over a picture, read, keep the report.

    It listens on this computer alone, and only to who has its key: the file that opens the page
    holds it, and no log does. Needs the extra `app` (Voilà). Ctrl-C ends it.
    """
    with terminal.answering():
        try:
            from voila.app import Voila
        except ImportError:
            raise LookupError(MISSING) from None
        models = list(settle(preset, seed=seed).zoo)
        place = free(port)
        token = secrets.token_urlsafe(32)
        with tempfile.TemporaryDirectory(prefix="workbench-app-") as folder:
            book = Path(folder, "app.ipynb")
            write_notebook(book, preset, seed, models)
            door = Path(folder, "open.html")
            door.touch(mode=0o600)
            door.write_text(OPEN.format(host=HOST, port=place, token=token), encoding="utf-8")
            server = Voila(**settings(book, place, token))
            server.launch_browser = opener(door, place, browser)
            server.initialize([])
            server.template_paths.insert(0, str(Path(__file__).parent / "page"))
            server.start()
        terminal.tell("The page is closed.")


def free(port: int) -> int:
    """Return the first free port from one on.

    Raises:
        ValueError: it is no port, or none of the next is free.
    """
    if not 1 <= port <= 65535:
        raise ValueError(f"a port lies between 1 and 65535; seen {port}")
    for place in range(port, min(port + TRIED, 65536)):
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((HOST, place))
            except OSError:
                continue
            return place
    raise ValueError(f"no port from {port} to {place} is free; name another by --port")


def write_notebook(path: Path, preset: str, seed: int, models: list[str]) -> None:
    """Write the notebook that the page is made of: an introduction, and the widget."""
    named = ", ".join(f"`{name}`" for name in models)
    store = expanded(os.environ.get("WORKBENCH_STORE") or Store.DEFAULT)
    words = INTRODUCTION.format(count=len(models), models=named, store=store)
    code = (
        f"import os\nos.chdir({str(Path.cwd())!r})\n"
        "from workbench.widgets import AttributePicture\n"
        f"AttributePicture({preset!r}, seed={seed})"
    )
    empty: dict[str, Any] = {"outputs": [], "execution_count": None}
    parts = {"markdown": {"source": words}, "code": {"source": code, **empty}}
    book = {
        "cells": [
            {"cell_type": kind, "id": kind, "metadata": {}, **part} for kind, part in parts.items()
        ],
        "metadata": {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "title": "Which model made this picture?",
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(book), encoding="utf-8")


def settings(book: Path, port: int, token: str) -> dict[str, Any]:
    """Return what the server is told: this computer alone, a key, nothing of a user's own files."""
    from traitlets.config import Config

    page = {
        "template": "lab",
        "theme": "light",
        "file_allowlist": [],
        "extension_allowlist": EXTENSIONS,
    }
    headers = {
        "Content-Security-Policy": POLICY.format(host=HOST, port=port),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return {
        "notebook_path": str(book),
        "root_dir": str(book.parent),
        "connection_dir_root": str(book.parent),
        "ip": HOST,
        "port": port,
        "port_retries": 0,
        "token": token,
        "open_browser": True,
        "log_level": logging.ERROR,
        "config_file_paths": [],
        "config": Config(
            {"VoilaConfiguration": page, "KernelManager": {"transport_encryption": "auto"}}
        ),
        "tornado_settings": {
            "headers": headers,
            "allow_remote_access": False,
            "ws_ping_timeout": 30_000,  # milliseconds: no longer than between two pings
            "log_function": lambda handler: None,  # a request's line would hold the key
        },
    }


def opener(door: Path, port: int, browser: bool) -> Callable[[], None]:
    """Return what is called when the server listens: it opens the page, or says how to."""

    def ready() -> None:
        opened = browser and webbrowser.open(door.as_uri())
        terminal.tell(f"The page is served at http://{HOST}:{port}/ for this computer alone.")
        if not opened:
            terminal.tell(f"Open this file in a browser, which holds its key: {door}")
        terminal.tell("Ctrl-C ends it.")

    return ready
