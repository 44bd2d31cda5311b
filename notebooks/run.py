"""Run notebooks and keep their outputs: what `make notebooks` does.

    python notebooks/run.py [NOTEBOOK…] [--out DIR]
    python notebooks/run.py --links

Each runs in a kernel of its own, in the folder it lies in, with an empty store, and is written back
with its outputs, the time it took, and the links that chain the notebooks; `--links` renews these
alone. Widgets are kept as their still pictures: without a kernel they could not answer. What is
kept needs no style sheet, which a notebook loses until it is trusted, and on GitHub for good. Paths
of this checkout are written relative to it.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).resolve().parent
LIMIT = 3_000_000
"""Bytes a notebook may have with its outputs."""
NOT_KEPT = "own-pictures"
"""Tag of cells that show pictures which nobody may pass on: their outputs are dropped."""
LIVE = "application/vnd.jupyter.widget-view+json"
FORM = 2
"""Of kept outputs: grows when notebooks have to be run again to look as they should."""
START = "00_start_here.ipynb"
PROMISE = re.compile(r"Runs in about (a|\d+) (second|minute)s?\b")
LINKS = re.compile(r"\n\n\[(?:← |the map|next: )[^\n]*\.ipynb\)$")
RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")


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
        cell.outputs = [each for each in cell.outputs if not passing(each)]
        if NOT_KEPT in cell.metadata.get("tags", []):
            cell.outputs = []
        for output in cell.outputs:
            data = output.get("data", {})
            if data.pop(LIVE, None) is not None and "text/html" in data:
                data["text/plain"] = "a widget: run the cell to use it"
            if "text/html" in data:
                data["text/html"] = unstyled(data["text/html"])
            for kind, value in data.items():
                if kind.startswith("text/"):
                    data[kind] = relative(value)
            if "text" in output:
                output["text"] = relative(output["text"])
    return notebook


def passing(output: nbformat.NotebookNode) -> bool:
    """Say whether an output is of the moment alone: progress, or a warning."""
    progress = output.get("metadata", {}).get("workbench") == "progress"
    return progress or output.get("name") == "stderr"


def unstyled(html: str) -> str:
    """Write what style sheets say of a pandas table into its cells; bold also as an element.

    >>> unstyled('<style>#a {font-weight: bold}</style><table><tr><td id="a">1</td></tr></table>')
    '<table><tr><td style="font-weight: bold"><b>1</b></td></tr></table>'
    """
    if "<style" not in html:
        return html
    from bs4 import BeautifulSoup

    page = BeautifulSoup(html, "html.parser")
    for sheet in page.find_all("style"):
        for selectors, rules in RULE.findall(sheet.get_text()):
            inline = "; ".join(rule.strip() for rule in rules.split(";") if rule.strip())
            for selector in selectors.split(","):
                name = selector.strip().removeprefix("#")
                for cell in page.find_all(id=name) if selector.strip().startswith("#") else []:
                    cell["style"] = "; ".join(filter(None, [cell.get("style"), inline]))
                    if "font-weight: bold" in inline:
                        cell.string.wrap(page.new_tag("b"))
        sheet.decompose()
    for element in page.find_all(True):
        element.attrs.pop("id", None)
        if element.get("class") != ["dataframe"]:
            element.attrs.pop("class", None)
    return str(page).strip()


def relative(text: str) -> str:
    """Write paths of the checkout, and of the user's home, without what is above them."""
    text = text.replace(f"{FOLDER.parent}/", "").replace(f"{Path.home()}/", "~/")
    return re.sub(r"/tmp/[\w.-]+", "…", text)  # noqa: S108


def timed(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Run a notebook with an empty store; keep its seconds, and promise as many in its first cell.

    A machine that does other work, too, takes longer on the clock; then the seconds of processor
    time are what it would take alone, at most.
    """
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as store:
        before = os.environ.get("WORKBENCH_STORE")
        os.environ["WORKBENCH_STORE"] = store
        try:
            notebook = tidy(execute(notebook))
        finally:
            os.environ.pop("WORKBENCH_STORE")
            if before is not None:
                os.environ["WORKBENCH_STORE"] = before
    clock = time.perf_counter() - started
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    notebook.metadata["workbench"] = {
        "form": FORM,
        "seconds on the clock": round(clock, 1),
        "seconds of processor time": round(processor, 1),
        "cores": cores(),
    }
    first = notebook.cells[0]
    first.source = PROMISE.sub(promise(min(clock, processor)), first.source)
    return notebook


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def promise(seconds: float) -> str:
    """Say about how long a notebook runs.

    >>> promise(31), promise(70), promise(170)
    ('Runs in about 30 seconds', 'Runs in about 70 seconds', 'Runs in about 3 minutes')
    """
    if seconds < 100:
        return f"Runs in about {max(5, 5 * round(seconds / 5))} seconds"
    return f"Runs in about {round(seconds / 60)} minutes"


def promised(text: str) -> float:
    """Return the seconds that the first cell of a notebook promises.

    >>> promised("**Runs in about a minute** on"), promised("Runs in about 20 seconds")
    (60.0, 20.0)
    """
    (number, unit), *_ = PROMISE.findall(text)
    return (1.0 if number == "a" else float(number)) * (60.0 if unit == "minute" else 1.0)


def title(notebook: nbformat.NotebookNode) -> str:
    """Return the title of a notebook: its first line, without the mark of a heading."""
    return str(notebook.cells[0].source.partition("\n")[0].lstrip("# "))


def chain(books: dict[str, nbformat.NotebookNode]) -> None:
    """Link each notebook, above and below, with its neighbours and the map; renew the map.

    Args:
        books: file name → notebook, in order.
    """
    names = list(books)
    for place, book in enumerate(books.values()):
        links = []
        if place:
            links.append(f"[← {short(title(books[names[place - 1]]))}]({names[place - 1]})")
        if place > 1:
            links.append(f"[the map]({START})")
        if place + 1 < len(names):
            links.append(f"[next: {short(title(books[names[place + 1]]))} →]({names[place + 1]})")
        for cell in (book.cells[0], book.cells[-1]):
            cell.source = LINKS.sub("", cell.source) + "\n\n" + " · ".join(links)
    for cell in books[START].cells if START in books else []:
        if "map" in cell.metadata.get("tags", []):
            lines = [
                f"| [{name[:2]}]({name}) | {title(book)} | {lasting(book)} |"
                for name, book in books.items()
                if name != START
            ]
            cell.source = "\n".join(["| notebook | | runs in about |", "|---|---|---|", *lines])


def lasting(notebook: nbformat.NotebookNode) -> str:
    """Return how long a notebook promises to run, in its own words."""
    (number, unit), *_ = PROMISE.findall(notebook.cells[0].source)
    return f"{number} {unit}" if number in ("a", "1") else f"{number} {unit}s"


def short(text: str) -> str:
    """Return a title up to its first colon, question mark or full stop that others follow."""
    return re.split(r"(?<=[?])\s|[:.]\s", text)[0]


def save(path: Path, notebook: nbformat.NotebookNode) -> None:
    """Write a notebook; ValueError where its outputs are too large to be kept."""
    text = nbformat.writes(notebook)
    if len(text.encode()) > LIMIT:
        raise ValueError(
            f"{path.name} would have {len(text.encode()):,} bytes, more than {LIMIT:,}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.rstrip("\n") + "\n", encoding="utf-8")


def link(folder: Path = FOLDER) -> None:
    """Renew the links and the map in the notebooks of a folder; others stay as they are."""
    paths = sorted(folder.glob("[0-9]*.ipynb"))
    books = {path.name: nbformat.read(path, as_version=4) for path in paths}
    before = {name: nbformat.writes(book) for name, book in books.items()}
    chain(books)
    for path in paths:
        if nbformat.writes(books[path.name]) != before[path.name]:
            save(path, books[path.name])


def main() -> int:
    """Run the notebooks named, all numbered ones by default."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, help="write there instead of in place")
    parser.add_argument("--links", action="store_true", help="renew links and the map, run nothing")
    given = parser.parse_args()
    failed = 0
    paths = given.notebooks or sorted(FOLDER.glob("[0-9]*.ipynb"))
    for path in [] if given.links else paths:
        print(f"{path.name} …", end=" ", flush=True)
        try:
            notebook = timed(nbformat.read(path, as_version=4))
            save(path if given.out is None else given.out / path.name, notebook)
            seconds = notebook.metadata["workbench"]
            print(", ".join(f"{value} {name}" for name, value in seconds.items() if name != "form"))
        except (CellExecutionError, ValueError) as error:
            failed += 1
            print(f"failed: {error}")
    if given.out is None:
        link()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
