"""The course: solutions pass, student versions fail only where they should, graders agree."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
COURSE = ROOT / "notebooks" / "exercises"
UNITS = ["unit1", "unit2", "unit3", "unit4"]
SMALL = {"N": 2, "GAMMA": 1}  # enough to run every cell
STUB = "not solved yet: put your code here, run this cell, then the check"
EACH = pytest.mark.parametrize("unit", UNITS)


def module():
    spec = importlib.util.spec_from_file_location("course_build", COURSE / "build.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def read(folder: Path, unit: str) -> nbformat.NotebookNode:
    return nbformat.read(folder / unit / f"{unit}.ipynb", as_version=4)


def source(unit: str) -> nbformat.NotebookNode:
    return read(COURSE / "source", unit)


def code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def mark(cell: nbformat.NotebookNode, name: str) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get(name))


def checks(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in code(notebook) if mark(cell, "grade")]


def solved(released: nbformat.NotebookNode, unit: str) -> nbformat.NotebookNode:
    """Hand in what the source has in its solution cells."""
    answers = {
        c.metadata.nbgrader.grade_id: c.source for c in source(unit).cells if mark(c, "solution")
    }
    for cell in released.cells:
        if mark(cell, "solution"):
            cell.source = answers[cell.metadata.nbgrader.grade_id]
    return released


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> Path:
    """Copy the sources, with fewer pictures."""
    few = tmp_path_factory.mktemp("sources")
    for unit in UNITS:
        notebook = source(unit)
        (parameters,) = [c for c in code(notebook) if "parameters" in c.metadata.get("tags", [])]
        for name, value in SMALL.items():
            parameters.source = re.sub(
                rf"(?m)^{name} = \d+", f"{name} = {value}", parameters.source
            )
        (few / unit).mkdir()
        nbformat.write(notebook, few / unit / f"{unit}.ipynb")
    return few


@pytest.fixture(scope="module")
def course(few, tmp_path_factory) -> Path:
    """Build the course; its solutions are not run here, but graded below."""
    out = tmp_path_factory.mktemp("course")
    assert module().build(out, few, execute=False) == UNITS
    return out


@pytest.fixture(scope="module")
def graded(course, warm_kernels):
    """Let two students hand in every unit, one all solutions and one nothing; grade them."""
    from nbgrader.converters import Autograde

    for unit in UNITS:
        for student in ("solved", "untouched"):
            folder = course / "submitted" / student / unit
            folder.mkdir(parents=True)
            notebook = read(course / "release", unit)
            if student == "solved":
                notebook = solved(notebook, unit)
            nbformat.write(notebook, folder / f"{unit}.ipynb")
            root, config = module().opened(course, unit)
            root.student_id = student
            Autograde(coursedir=root, config=config).start()
    return course


def grades(course: Path, unit: str, student: str):
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}", "attribution") as book:
        found = book.find_submission_notebook(unit, unit, student).grades
        return {g.name: (g.auto_score, g.max_score, g.needs_manual_grade) for g in found}


def errors(course: Path, unit: str, student: str) -> dict[str, str]:
    cells = code(read(course / "autograded" / student, unit))
    return {
        c.id: f"{o.ename}: {o.evalue}" for c in cells for o in c.outputs if o.output_type == "error"
    }


@EACH
def test_the_source_obeys_the_rules_of_notebooks(unit):
    notebook = source(unit)
    nbformat.validate(notebook)
    assert re.search(r"\*\*Runs in about \d+ seconds\*\*", notebook.cells[0].source)
    first = code(notebook)[0]
    assert first.metadata["tags"] == ["parameters"]
    assert {type(node) for node in ast.parse(first.source).body} == {ast.Assign}
    given = [cell for cell in code(notebook) if not mark(cell, "solution")]
    assert [c.id for c in given if len(c.source.splitlines()) > 15] == []
    defined = (ast.FunctionDef, ast.ClassDef)
    nodes = [node for cell in given for node in ast.walk(ast.parse(cell.source))]
    assert [node.name for node in nodes if isinstance(node, defined)] == []
    assert [c.id for c in code(notebook) if c.outputs or c.execution_count] == []


@EACH
def test_the_source_keeps_the_conventions_of_nbgrader(unit):
    notebook = source(unit)
    names = [
        cell.metadata.nbgrader.grade_id for cell in notebook.cells if "nbgrader" in cell.metadata
    ]
    assert len(names) == len(set(names))
    for cell in code(notebook):
        assert cell.metadata.nbgrader.schema_version == 3
        assert cell.metadata.nbgrader.locked != mark(cell, "solution")
        assert mark(cell, "solution") == ("### BEGIN SOLUTION" in cell.source)
    essays = [
        cell for cell in notebook.cells if cell.cell_type == "markdown" and mark(cell, "grade")
    ]
    assert [mark(cell, "solution") for cell in essays] == [True]  # one free text, graded by hand


@EACH
def test_every_exercise_has_a_hint_and_checks_with_sentences(unit):
    notebook = source(unit)
    answers = [cell for cell in code(notebook) if mark(cell, "solution")]
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert text.count("<summary>Hint</summary>") == len(answers)
    assert 5 <= len(re.findall(r"^## (Exercise|Question) \d", text, re.MULTILINE)) <= 8
    for cell in checks(notebook):
        found = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Assert)]
        assert found
        assert [ast.unparse(node) for node in found if node.msg is None] == []


@EACH
def test_the_release_holds_neither_solution_nor_hidden_test(course, unit):
    notebook, original = read(course / "release", unit), source(unit)
    text = "\n".join(cell.source for cell in notebook.cells)
    secret = r"### BEGIN (?:SOLUTION|HIDDEN TESTS)\n(.*?)### END"
    regions = [r for c in original.cells for r in re.findall(secret, c.source, re.DOTALL)]
    lines = {line.strip() for region in regions for line in region.splitlines()}
    lines |= set(
        next(
            c.source for c in original.cells if c.cell_type != "code" and mark(c, "solution")
        ).split("\n")
    )
    assert sorted(line for line in lines if len(line) > 12 and line in text) == []
    assert not re.search("BEGIN|END (SOLUTION|HIDDEN)", text)
    assert [STUB in c.source for c in code(notebook) if mark(c, "solution")].count(False) == 0
    assert text.count("YOUR ANSWER HERE") == 1
    assert [cell.id for cell in notebook.cells] == [cell.id for cell in original.cells]


def secrets() -> set[str]:
    """Return the lines of all solutions, hidden tests and model answers."""
    secret = r"### BEGIN (?:SOLUTION|HIDDEN TESTS)\n(.*?)### END"
    lines: set[str] = set()
    for unit in UNITS:
        for cell in source(unit).cells:
            parts = re.findall(secret, cell.source, re.DOTALL)
            if cell.cell_type != "code" and mark(cell, "solution"):
                parts.append(cell.source)
            lines |= {line.strip() for part in parts for line in part.splitlines()}
    return {line for line in lines if len(line) > 30}


def test_the_handout_is_a_checkout_without_any_solution(course, tmp_path):
    root = tmp_path / "checkout"
    shutil.copytree(COURSE, root / "notebooks" / "exercises")
    shutil.copytree(Path(__file__).parent, root / "tests" / "course")
    for name in ("Makefile", "out/course/solutions.txt", ".git/config", "tests/other.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    found = module().handout(course, root / "out" / "handout", root)
    files = {str(path.relative_to(found)) for path in found.rglob("*") if path.is_file()}
    released = {f"notebooks/exercises/{unit}/{unit}.ipynb" for unit in UNITS}
    assert files == {"Makefile", "tests/other.py", *released}
    text = "\n".join(cell.source for unit in UNITS for cell in read(course / "release", unit).cells)
    assert len(secrets()) > 100
    assert [line for line in secrets() if line in text] == []
    again = module().handout(course, root / "out" / "handout", root)
    assert {str(p.relative_to(found)) for p in again.rglob("*") if p.is_file()} == files


@EACH
def test_the_solutions_are_plain_notebooks(course, unit):
    notebook = read(course / "solutions", unit)
    assert not any("nbgrader" in cell.metadata for cell in notebook.cells)
    assert not re.search(r"### (BEGIN|END)", "\n".join(cell.source for cell in notebook.cells))
    assert "NotImplementedError" not in "\n".join(cell.source for cell in code(notebook))
    for cell in code(notebook):
        ast.parse(cell.source)


@pytest.mark.slow
@EACH
def test_solutions_pass_every_check_and_get_full_marks(graded, unit):
    assert errors(graded, unit, "solved") == {}
    marks = grades(graded, unit, "solved")
    by_hand = {name for name, (_, _, manual) in marks.items() if manual}
    assert len(by_hand) == 1
    assert {n: auto for n, (auto, _, _) in marks.items() if n not in by_hand} == {
        n: most for n, (_, most, _) in marks.items() if n not in by_hand
    }


@pytest.mark.slow
@EACH
def test_an_untouched_unit_fails_in_its_checks_alone(graded, unit):
    found, notebook = errors(graded, unit, "untouched"), source(unit)
    waiting = [c.id for c in code(notebook) if "uses-answer" in c.metadata.get("tags", [])]
    assert set(found) == {c.id for c in checks(notebook)} | set(waiting)
    first = found[checks(notebook)[0].id]
    assert first == f"NotImplementedError: {STUB}"
    assert set(found.values()) == {first}


@pytest.mark.slow
@EACH
def test_an_error_shows_its_own_line_of_the_check_and_not_the_next_ones(graded, unit):
    for cell in code(read(graded / "autograded" / "untouched", unit)):
        for output in cell.outputs:
            if output.output_type == "error" and mark(cell, "grade"):
                text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(output.traceback))
                lines = {line.strip() for line in cell.source.splitlines()}
                assert len([line for line in lines if len(line) > 12 and line in text]) <= 1


@pytest.mark.slow
@EACH
def test_an_untouched_unit_gets_nothing(graded, unit):
    assert {auto for auto, _, _ in grades(graded, unit, "untouched").values()} <= {0, None}


@pytest.mark.slow
def test_building_again_keeps_the_grades(graded, few):
    before = grades(graded, "unit1", "solved")
    module().build(graded, few, execute=False)
    assert grades(graded, "unit1", "solved") == before


def points(unit: str) -> int:
    return sum(c.metadata.nbgrader.points for c in source(unit).cells if mark(c, "grade"))


@EACH
def test_the_guide_tells_the_points_of_a_unit(unit):
    guide = (COURSE / "README.md").read_text(encoding="utf-8")
    assert f"{points(unit)} points" in re.search(rf"(?m)^\| `{unit}` .*$", guide).group()


@EACH
def test_a_heading_tells_the_points_of_its_exercise(unit):
    told, found = {}, {}
    for cell in source(unit).cells:
        heading = re.search(r"(?m)^## (?:Exercise|Question) .*\((\d+) points\)$", cell.source)
        if heading and cell.cell_type == "markdown":
            current = heading.group()
            told[current], found[current] = int(heading.group(1)), 0
        if mark(cell, "grade"):
            found[current] += cell.metadata.nbgrader.points
    assert told == found
