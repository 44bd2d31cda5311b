"""The pages of this repository: their blocks of code, their commands, their links and headings."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def pages() -> list[Path]:
    """Return the README, how to contribute, and every page of docs."""
    first = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    return [*first, *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, *kinds: str) -> list[tuple[str, str]]:
    """Return the blocks of code of these kinds, each as (kind, body)."""
    return [match for match in BLOCK.findall(page.read_text(encoding="utf-8")) if match[0] in kinds]


def prose(page: Path) -> str:
    """Return the text of a page, or of a notebook's cells, without its blocks of code."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = nbformat.reads(text, as_version=4).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[str]:
    """Return every line of a block, and every code in a sentence, that calls `workbench`."""
    text = page.read_text(encoding="utf-8")
    lines = re.findall(r"^ *(workbench .*)$", text, re.MULTILINE)
    return [*lines, *re.findall(r"`(workbench [^`\n]+)`", prose(page))]


def targets(page: Path) -> list[str]:
    """Return every target of make that a page names."""
    text = page.read_text(encoding="utf-8")
    lines = re.findall(r"^ *make ([a-z]+)", text, re.MULTILINE)
    return [*lines, *re.findall(r"`make ([a-z]+)[^`\n]*`", prose(page))]


def misused(line: str, command: Any) -> list[str]:
    """Return the words of a command line that the command does not know: names and options."""
    words = [word.split("=")[0] for word in shlex.split(line)[1:]]
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        name = words.pop(0)
        if name not in command.commands:
            return [name]
        command = command.commands[name]
    options = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    return [word for word in words if word.startswith("--") and word not in {*options, "--help"}]


def slugs(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as a forge makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"\]\([^)]*\)", "]", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in plain}


def broken(page: Path) -> list[str]:
    """Return the links of a page, to files and headings here, that lead nowhere."""
    lost = []
    for link in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", prose(page)):
        name, _, anchor = link.partition("#")
        place = page.parent / name if name else page
        known = slugs(place) if anchor and place.is_file() else set()
        if not place.exists() or (anchor and anchor not in known):
            lost.append(link)
    return lost
