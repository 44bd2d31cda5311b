"""Notebooks run top to bottom, offline; they call, do not define, and tell their runtime."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = [path for path in sorted(FOLDER.rglob("*.ipynb")) if path.parent.name[0] != "."]
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
EACH = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def execute(notebook: nbformat.NotebookNode) -> None:
    """Run every cell in a kernel of its own, which inherits the blocked network."""
    where = {"metadata": {"path": str(FOLDER)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where).execute()


def code(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.slow
@EACH
def test_it_runs_top_to_bottom_offline(path):
    execute(read(path))


def test_a_kernel_has_no_network():
    reach_out = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=2)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(reach_out)])
    with pytest.raises(CellExecutionError, match=r"tests run offline: no connection to '192\.0"):
        execute(notebook)


@EACH
def test_no_cell_defines_a_function_or_a_class(path):
    trees = [ast.parse(cell.source) for cell in code(path)]
    found = [node for tree in trees for node in ast.walk(tree) if isinstance(node, DEFINITIONS)]
    assert [node.name for node in found] == []


@EACH
def test_the_first_cell_names_the_runtime(path):
    first = read(path).cells[0]
    assert first.cell_type == "markdown"
    assert re.search(r"Runs in about (a|\d+) (seconds|minutes?)\b", first.source)


@EACH
def test_it_is_kept_without_outputs(path):
    nbformat.validate(read(path))
    assert [cell.source for cell in code(path) if cell.outputs or cell.execution_count] == []
