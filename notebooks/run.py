"""Run notebooks and keep their outputs: what `make notebooks` does.

    python notebooks/run.py [NOTEBOOK…] [--out DIR]

Each runs in a kernel of its own, in the folder it lies in, and is written back with its outputs.
Widgets are kept as their still pictures: without a kernel they could not answer. Paths of this
checkout are written relative to it.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).resolve().parent
LIMIT = 2_000_000
"""Bytes a notebook may have with its outputs."""
LIVE = "application/vnd.jupyter.widget-view+json"


def execute(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Run every cell, top to bottom; CellExecutionError where one fails."""
    where = {"metadata": {"path": str(FOLDER)}}
    client = NotebookClient(
        notebook,
        timeout=900,
        kernel_name="python3",
        resources=where,
        store_widget_state=False,
        record_timing=False,
    )
    return client.execute()


def tidy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Leave stills of widgets, neither progress nor warnings, and no path of this machine."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]
        for output in cell.outputs:
            data = output.get("data", {})
            if data.pop(LIVE, None) is not None and "text/html" in data:
                data["text/plain"] = "a widget: run the cell to use it"
            for kind, value in data.items():
                if kind.startswith("text/"):
                    data[kind] = relative(value)
            if "text" in output:
                output["text"] = relative(output["text"])
    return notebook


def relative(text: str) -> str:
    """Write paths of the checkout, and of the user's home, without what is above them."""
    text = text.replace(f"{FOLDER.parent}/", "").replace(f"{Path.home()}/", "~/")
    return re.sub(r"/tmp/[\w.-]+", "…", text)  # noqa: S108


def write(path: Path, folder: Path | None = None) -> float:
    """Run a notebook and write it, beside itself or into a folder; answer the seconds it took.

    Raises ValueError where its outputs are too large to be kept.
    """
    started = time.perf_counter()
    notebook = tidy(execute(nbformat.read(path, as_version=4)))
    text = nbformat.writes(notebook)
    if len(text.encode()) > LIMIT:
        raise ValueError(
            f"{path.name} would have {len(text.encode()):,} bytes, more than {LIMIT:,}"
        )
    target = path if folder is None else folder / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text + "\n", encoding="utf-8")
    return time.perf_counter() - started


def main() -> int:
    """Run the notebooks named, all numbered ones by default."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, help="write there instead of in place")
    given = parser.parse_args()
    failed = 0
    for path in given.notebooks or sorted(FOLDER.glob("[0-9]*.ipynb")):
        print(f"{path.name} …", end=" ", flush=True)
        try:
            print(f"{write(path, given.out):.0f} s")
        except (CellExecutionError, ValueError) as error:
            failed += 1
            print(f"failed: {error}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
