"""Notebooks run top to bottom, offline; they call, do not define, and tell their runtime."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from tests.support.notebooks import FOLDER, RUN, execute, tidy

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
EACH = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
PROMPTS = 3
"""Prompts a notebook runs with here, at most; its own number in `make notebooks`."""


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def reduced(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Let a notebook with a parameter N run with fewer prompts."""
    (first,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    own = re.search(r"^N = (\d+)", first.source, flags=re.M)
    if own and int(own[1]) > PROMPTS:
        first.source = first.source.replace(own[0], f"N = {PROMPTS}")
    return notebook


def code(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def test_the_notebooks_are_numbered_without_a_gap():
    assert [int(path.stem[:2]) for path in NOTEBOOKS] == list(range(1, len(NOTEBOOKS) + 1))


@pytest.mark.slow
@EACH
def test_it_runs_top_to_bottom_offline(path):
    made = tidy(execute(reduced(read(path))))
    assert len(nbformat.writes(made).encode()) <= RUN["LIMIT"]


def test_a_kernel_has_no_network():
    reach_out = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=2)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(reach_out)])
    with pytest.raises(CellExecutionError, match=r"tests run offline: no connection to '192\.0"):
        execute(notebook)


@EACH
def test_cells_are_short_and_call_rather_than_define(path):
    sources = [cell.source for cell in code(path)]
    assert [text for text in sources if len(text.splitlines()) > 15] == []
    defined = [
        node
        for text in sources
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    assert [node.name for node in defined if node.end_lineno - node.lineno > 2] == []


@EACH
def test_the_first_cells_tell_the_runtime_and_the_parameters(path):
    first, second = read(path).cells[:2]
    assert first.cell_type == "markdown"
    assert re.search(r"Runs in about (a|\d+) (seconds|minutes?)\b", first.source)
    assert second.metadata.get("tags") == ["parameters"]
    kinds = {type(node) for node in ast.parse(second.source).body}
    assert kinds == {ast.Assign}


@EACH
def test_its_outputs_are_kept_without_widget_state_or_paths(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert path.stat().st_size <= RUN["LIMIT"]
    assert "widgets" not in notebook.metadata
    run = [cell for cell in code(path) if cell.source.strip()]
    assert [cell.source for cell in run if cell.execution_count is None] == []
    text = path.read_text()
    assert RUN["LIVE"] not in text
    assert str(FOLDER.parent) not in text
    assert str(Path.home()) not in text
    kinds = {each.output_type for cell in run for each in cell.outputs}
    assert "error" not in kinds
