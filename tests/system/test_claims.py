"""No winner is named that was not tested: in the pages, the notebooks, and what is printed."""

from __future__ import annotations

import ast
import functools
import json
import re
from pathlib import Path

import nbformat
import pytest

from tests.support.claims import unproven
from tests.support.pages import pages
from workbench import catalogue

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TALKING = ("experiments", "evaluation", "attribution", "figures", "widgets")
MODULES = sorted(path for room in TALKING for path in (ROOT / "workbench" / room).glob("*.py"))


def test_claims_are_found():
    told = "No. A outperforms B in 83.2% (79.0% to 87.2%, n = 400). Its hardest pair is C."
    assert unproven(told) == [
        "A outperforms B in 83.2% (79.0% to 87.2%, n = 400).", "Its hardest pair is C.",
    ]  # fmt: skip
    assert unproven("A beats B by +3.0 points (+1.0 to +5.0, p = 0.004).") == []
    assert unproven("| What survives an attack? | Its best drawing comes closest. |") == []


@functools.cache
def of_earlier_revisions() -> list[str]:
    """Return what references told that were made by an earlier revision of their experiment."""
    found = []
    for path in sorted((ROOT / "data" / "reference").glob("*/provenance.json")):
        kept = json.loads(path.read_text())
        now = catalogue.plugin_class(path.parent.name, "experiment").revision
        if kept.get("revision", 1) != now:
            found.append(kept["answer"])
    return found


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_a_page_names_no_winner_without_a_test(page):
    """Sentences that are to be measured anew are left to that: a new one is held to the rule."""
    text = page.read_text(encoding="utf-8")
    for answer in of_earlier_revisions():
        text = text.replace(answer, "")
    assert unproven(text) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_names_no_winner_without_a_test(path):
    cells = nbformat.read(path, as_version=4).cells
    prose = [cell.source for cell in cells if cell.cell_type == "markdown"]
    printed = [text for cell in cells if cell.cell_type == "code" for text in spoken(cell.source)]
    assert [claim for text in [*prose, *printed] for claim in unproven(text)] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_no_sentence_of_the_code_has_a_winner_without_a_test(path):
    texts = spoken(path.read_text(encoding="utf-8"))
    assert [claim for text in texts for claim in unproven(text)] == []


def spoken(code: str) -> list[str]:
    """Return the texts of a program that are no docstrings, a 0 where a template fills in.

    What it fills in from a function that tells tested differences is a p value.
    """
    lines = [line for line in code.splitlines() if not line.startswith(("%", "!"))]
    nodes = list(ast.walk(ast.parse("\n".join(lines))))
    templates = [node for node in nodes if isinstance(node, ast.JoinedStr)]
    silent = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    silent |= {id(part) for node in templates for part in node.values}
    plain = [
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent
    ]
    filled = ["".join(map(_filled, node.values)) for node in templates]
    return [text for text in [*plain, *filled] if " " in text]


def _filled(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    called = re.search(r"\b(told|sentence)\(", ast.unparse(part))
    return "p = 0" if called else "0"
