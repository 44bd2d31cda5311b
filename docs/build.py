"""Build the documentation: what `make docs` does.

    python docs/build.py [--out DIR]

The pages are gathered into DIR/source as they lie in the checkout, so that every link among them
holds there as here: the README as the front page, the notebooks with the outputs they hold, the
pages of `docs`, the data card. The pages of single experiments, of the command line and of the
modules are written beside them, out of data/reference, the command's own help and the docstrings.
Then Sphinx builds DIR/html, warnings being errors. Nothing is run of a notebook, and nothing is
asked of a network.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import re
import shutil
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import nbformat
from measured import command

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "data" / "reference"
PAGES = (
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md", "docs/*.md",
    "docs/howto/*.md", "notebooks/*.ipynb", "notebooks/exercises/README.md",
)  # fmt: skip
HOME = {"README.md": "index.md"}
"""A page → its name in the documentation, where that is another."""
LINK = re.compile(r"(!?\[([^\]]*)\])\((?!https?:|#)([^)#\s]+)(#[^)\s]+)?\)")
"""A link to a file or folder: its text in brackets, the text, the place, the anchor."""
FIRST = ("docs/howto/install.md", "docs/howto/your_pictures_your_models.md")
"""The how-tos that are listed before the others."""
FRONT = {
    "tutorials": "Tutorials",
    "howto": "How to",
    "docs/findings": "Findings",
    "api/index": "API",
    "background": "Background",
}


def pages() -> list[Path]:
    """Return the pages as they lie in the checkout."""
    return [path for pattern in PAGES for path in sorted(ROOT.glob(pattern))]


def linked(page: Path) -> list[Path]:
    """Return the files of the checkout that a page links to or shows."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = nbformat.reads(text, as_version=4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    places = [(page.parent / name).resolve() for _, _, name, _ in LINK.findall(text)]
    return [place for place in places if place.is_file()]


def home(place: Path) -> str | None:
    """Return where a file or folder of the checkout is found in the documentation, from its top.

    None for a folder that no page stands for.
    """
    name = place.relative_to(ROOT).as_posix()
    if place.is_file():
        return HOME.get(name, name)
    if place == REFERENCE:
        return "docs/findings.md"
    if place.parent == REFERENCE and (place / "provenance.json").exists():
        return f"findings/{place.name}.md"
    if place.parent == ROOT / "workbench":
        return f"api/workbench.{place.name}.rst"
    return None


def gather(source: Path) -> None:
    """Copy the pages, and what they link to, to where they lie in the checkout."""
    listed = pages()
    for path in {*listed, *(place for page in listed for place in linked(page))}:
        target = source / str(home(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    for page in listed:
        target = source / str(home(page))

        def follow(link: re.Match[str], page: Path = page, target: Path = target) -> str:
            bracket, text, name, anchor = link.groups()
            place = (page.parent / name).resolve()
            if not place.exists():
                return link[0]  # no link, but code
            if (there := home(place)) is None:
                return text
            return f"{bracket}({os.path.relpath(source / there, target.parent)}{anchor or ''})"

        text = page.read_text(encoding="utf-8")
        target.write_text(LINK.sub(follow, text), encoding="utf-8")


def toctree(names: Iterable[str], hidden: bool = False) -> str:
    """Write a table of contents of pages, each named from the top, or ``Title <name>``."""
    lines = ["", "```{toctree}", *([":hidden:"] if hidden else [":maxdepth: 1"]), "", *names, "```"]
    return "\n".join([*lines, ""])


def names(source: Path, *patterns: str) -> list[str]:
    """Return the pages of the staged folder that match, by name, each once, without its ending."""
    paths = dict.fromkeys(path for pattern in patterns for path in sorted(source.glob(pattern)))
    return [f"/{path.relative_to(source).with_suffix('').as_posix()}" for path in paths]


def contents(source: Path) -> None:
    """Write the pages that list others, and hang them below the front page."""
    front = source / "index.md"
    entries = [f"{title} <{name}>" for name, title in FRONT.items()]
    front.write_text(front.read_text(encoding="utf-8") + toctree(entries, hidden=True), "utf-8")
    (source / "tutorials.md").write_text(
        "# Tutorials\n\nNotebooks, shown with the outputs they hold; `make lab` opens them. They "
        "run offline from top to bottom and tell their runtime at the top; the first cell of each "
        "switches from the pocket zoo to checkpoints of a hub, and names what else depends on the "
        "models.\n" + toctree(names(source, "notebooks/*.ipynb")),
        encoding="utf-8",
    )
    (source / "howto.md").write_text(
        "# How to\n\nOne task a page, with commands that run as they stand.\n"
        + toctree([*names(source, *FIRST, "docs/howto/*.md"), "/notebooks/exercises/README"]),
        encoding="utf-8",
    )
    rest = [name for name in names(source, "docs/*.md") if name != "/docs/findings"]
    more = ["/commands", "/data/README", *names(source, "CONTRIBUTING.md", "CHANGELOG.md")]
    (source / "background.md").write_text(
        "# Background\n\nHow it is built, what it may be used for, and what lies in it.\n"
        + toctree([*rest, *more]),
        encoding="utf-8",
    )


def experiments(source: Path) -> None:
    """Write a page for every reference of an experiment, and hang them below the findings."""
    plan = tomllib.loads((REFERENCE / "plan.toml").read_text(encoding="utf-8"))
    for path in sorted(REFERENCE.glob("*/provenance.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        line, folder = command(told), path.parent
        name = folder.name
        files = sorted(f for f in folder.iterdir() if f.suffix in {".csv", ".png", ".json", ".tex"})
        kept = source / "data" / "reference" / name
        kept.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copyfile(file, kept / file.name)
        question = plan.get(name, plan.get(name.replace("_", "-"), {})).get("question", "")
        figure = f"![{told['answer']}](../data/reference/{name}/{name}.png)"
        shown = [figure] if (folder / f"{name}.png").exists() else []
        links = ", ".join(f"[{f.name}](../data/reference/{name}/{f.name})" for f in files)
        again = name.replace("_", "-") + " --data gallery" * (" --data " in line)
        parts = [
            f"# {name.replace('_', ' ').capitalize()}",
            *([f"*{question}*"] if question else []),
            told["answer"],
            *shown,
            f"Made by\n\n```text\n{line}\n```",
            f"on {told['date']}, seed {told['seed']}; `workbench reproduce {again}` asks for the "
            f"same frames, value by value. Kept: {links}.",
        ]
        page = source / "findings" / f"{name}.md"
        page.parent.mkdir(exist_ok=True)
        page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    page = source / "docs" / "findings.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(text + toctree(names(source, "findings/*.md"), hidden=True), encoding="utf-8")


def commands(source: Path) -> None:
    """Write the page of the command line, out of its own help."""
    import typer.main
    from typer.cli import get_docs_for_click

    from workbench.cli.app import app

    command = typer.main.get_command(app)
    with command.make_context("workbench", [], resilient_parsing=True) as context:
        text = get_docs_for_click(obj=command, ctx=context, name="workbench", title="Commands")
    summaries = re.compile(r"\*\*Commands\*\*:\n\n(?:\* .*\n)+\n?")  # cut short; each stands below
    (source / "commands.md").write_text(summaries.sub("", text), encoding="utf-8")


def api(source: Path) -> None:
    """Write a page for every package at the top of `workbench`, its modules one after another."""
    import workbench

    folder = source / "api"
    folder.mkdir()
    groups: dict[str, list[str]] = {"workbench": ["workbench"]}
    for module in pkgutil.walk_packages(workbench.__path__, "workbench."):
        parts = module.name.split(".")
        if not any(part.startswith("_") for part in parts) and parts[1] != "pocket":
            groups.setdefault(".".join(parts[:2]), []).append(module.name)
    for group, modules in groups.items():
        lines = [group, "=" * len(group), ""]
        for module in modules:
            if module != group:
                lines += [module, "-" * len(module), ""]
            lines += [f".. automodule:: {module}", *_apart(module), ""]
        (folder / f"{group}.rst").write_text("\n".join(lines), encoding="utf-8")
    (folder / "index.md").write_text(
        "# API\n\nEvery public module, from its docstrings; `import workbench as wb` reaches what "
        "is used most.\n" + toctree(f"/api/{group}" for group in sorted(groups)),
        encoding="utf-8",
    )


def _apart(module: str) -> list[str]:
    """Return the options of a module whose members are documented in another place.

    `workbench` itself hands on what its modules hold, and a module of `figures` has the name of the
    function that the package hands on.
    """
    package, _, name = module.rpartition(".")
    if not package:
        return ["   :no-members:"]
    if callable(getattr(importlib.import_module(package), name, None)):
        return ["   :no-index:", f"   :exclude-members: {name}"]
    return []


def build(out: Path) -> int:
    """Gather, write and build; answer Sphinx's exit status."""
    from sphinx.cmd.build import main as sphinx

    source = out / "source"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    gather(source)
    experiments(source)
    commands(source)
    api(source)
    contents(source)
    words = ["-b", "html", "-c", str(ROOT / "docs"), "-W", "--keep-going", "-q", "-d"]
    return sphinx([*words, str(out / "doctrees"), str(source), str(out / "html")])


def main() -> int:
    """Build into the folder that is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "docs")
    out = parser.parse_args().out.resolve()
    status = build(out)
    if status == 0:
        print(f"Open {out / 'html' / 'index.html'} in a browser.")
    return status


if __name__ == "__main__":
    sys.exit(main())
