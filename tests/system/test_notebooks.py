"""Notebooks run top to bottom, offline; they call, do not define, and tell their runtime."""

from __future__ import annotations

import ast
import base64
import re
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient.exceptions import CellExecutionError

from tests.support import viewers
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
    assert [int(path.stem[:2]) for path in NOTEBOOKS] == list(range(len(NOTEBOOKS)))
    assert NOTEBOOKS[0].name == RUN["START"]


def test_they_are_chained_and_the_map_names_them_all():
    """Links above and below each, and the map: `python notebooks/run.py --links` renews them."""
    books = {path.name: read(path) for path in NOTEBOOKS}
    before = {name: [cell.source for cell in book.cells] for name, book in books.items()}
    RUN["chain"](books)
    for name, book in books.items():
        assert before[name] == [cell.source for cell in book.cells], name
    for place, name in enumerate(books):
        near = [*books][max(place - 1, 0) : place] + [*books][place + 1 : place + 2]
        for at in (0, -1):
            links = re.findall(r"\(([^)]+\.ipynb)\)", before[name][at].splitlines()[-1])
            assert set(near) <= set(links), name
    (mapped,) = [
        cell.source for cell in read(NOTEBOOKS[0]).cells if "map" in cell.metadata.get("tags", [])
    ]
    assert [f"({path.name})" in mapped for path in NOTEBOOKS[1:]] == [True] * len(NOTEBOOKS[1:])


def outdated(path: Path) -> str:
    """Say why the outputs of a notebook are not held to the present form; "" where they are."""
    kept = read(path).metadata.get("workbench", {})
    form = kept.get("form")
    return "" if form == RUN["FORM"] else f"its outputs are of form {form}: make notebooks"


@EACH
def test_it_lasts_as_long_as_it_promises(path):
    """Within a factor of 1.5 of what its last run took, see `timed` in notebooks/run.py."""
    if outdated(path):
        pytest.skip(outdated(path))
    took = read(path).metadata["workbench"]
    seconds = min(took["seconds on the clock"], took["seconds of processor time"])
    promised = RUN["promised"](read(path).cells[0].source)
    assert promised <= max(1.5 * seconds, 5)
    assert seconds <= 1.5 * promised


@EACH
def test_what_it_keeps_needs_no_style_sheet(path):
    """Hold kept HTML to what JupyterLab leaves of a notebook before it is trusted, and GitHub."""
    if outdated(path):
        pytest.skip(outdated(path))
    outputs = [each for cell in code(path) for each in cell.outputs if "data" in each]
    for data in (each.data for each in outputs):
        html = data.get("text/html", "")
        assert re.findall(r"<(?:style|script|link|iframe|svg)\b", html) == []
        assert set(re.findall(r'class="([^"]*)"', html)) <= {"dataframe"}
        for image in re.findall(r"<img [^>]*>", html):
            assert re.search(r'width="\d+"', image)
            assert 'alt="' in image
        assert re.sub(r"<[^>]+>", "", viewers.github(html)).strip() or "<img" in html or not html
    for each in outputs:
        if "image/png" in each.data:  # twice the pixels of the page
            wide = int.from_bytes(base64.b64decode(each.data["image/png"])[16:20], "big")
            assert each.metadata["image/png"]["width"] == wide // 2


def test_styles_of_a_pandas_table_go_into_its_cells():
    table = pd.DataFrame({"a": [1.0, 2.0], "b": [4.0, 3.0]}).style.highlight_max(
        props="font-weight: bold; color: red"
    )
    html = RUN["unstyled"](table.to_html())
    assert "<style" not in html
    assert html.count('style="font-weight: bold; color: red"><b>') == 2
    assert re.findall(r"<b>(\S+)</b>", viewers.github(html)) == ["4.000000", "2.000000"]


def test_progress_is_told_in_the_cell_and_not_kept():
    """Run stages without a callback after `wb.notebook`; a line tells them, and goes."""
    cells = [
        "import workbench as wb\nwb.notebook()\nfrom workbench.pipeline.progress import ticker",
        "tick = ticker('draw', 4, None)\ntick(1)\ntick(4)\nprint('done')",
        "import matplotlib.pyplot as plt\nplt.figure(figsize=(2, 1)).add_subplot();",
    ]
    made = execute(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(x) for x in cells]))
    line, printed = made.cells[1].outputs
    assert (line.metadata, line.data["text/plain"]) == ({"workbench": "progress"}, "")
    assert printed.text == "done\n"
    (figure,) = made.cells[2].outputs
    assert set(figure.metadata["image/png"]) == {"width"}
    assert [len(cell.outputs) for cell in tidy(made).cells] == [0, 1, 1]


@pytest.mark.slow
@pytest.mark.usefixtures("warm_kernels")
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


def test_no_picture_of_a_gallery_is_kept():
    """Only cells so tagged open one, and nothing that they show is in the file."""
    (path,) = [path for path in NOTEBOOKS if "GALLERY = " in path.read_text()]
    shown = [cell for cell in code(path) if RUN["NOT_KEPT"] in cell.metadata.get("tags", [])]
    assert [cell.outputs for cell in shown] == [[]]
    opening = [
        cell.id for cell in code(path) if "imshow" in cell.source or "pictures(" in cell.source
    ]
    assert opening == [cell.id for cell in shown]
    run = nbformat.v4.new_code_cell("x", metadata={"tags": [RUN["NOT_KEPT"]]})
    run.outputs = [nbformat.v4.new_output("display_data", {"image/png": "a picture"})]
    assert tidy(nbformat.v4.new_notebook(cells=[run])).cells[0].outputs == []
