"""The course: solutions pass, student versions fail only where they should, graders agree."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
COURSE = ROOT / "notebooks" / "exercises"
UNITS = ["unit1", "unit2", "unit3"]
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
def graded(course):
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


MISTAKES = [
    ("unit1", "seeds-check", "def seed_of(r, p, i): return i", "the prompt must enter"),
    (
        "unit1",
        "seeds-check",
        "def seed_of(r, p, i): return int(wb.keys.digest(['candidate', r, p, i]), 16)",
        "the first 12 hexadecimal digits",
    ),
    (
        "unit1",
        "cosine-unit",
        "def unit(rows): return rows / np.linalg.norm(rows, axis=1, keepdims=True)",
        "you divide by its length 0",
    ),
    ("unit1", "cosine-toy", "def cosines(a, b): return a @ b.T", "scaled to length 1?"),
    ("unit1", "aggregate-toy", "def aggregate(t, how): return t.mean(0)", "go along the row"),
    (
        "unit1",
        "aggregate-holes",
        "def aggregate(t, how): return t.mean(1) if how == 'mean' else t.max(1)",
        "one failed image wiped out a model",
    ),
    (
        "unit1",
        "aggregate-holes",
        "def aggregate(t, how): return np.nan_to_num(t).mean(1)",
        "it does not count as 0",
    ),
    ("unit1", "ranks-toy", "def ranks(s, p): return np.argsort(-s) + 1", "the rank of each"),
    ("unit1", "ranks-toy", "def ranks(s, p): return np.argsort(np.argsort(s)) + 1", "upside down"),
    (
        "unit1",
        "ranks-ties",
        "def ranks(s, p): return [1 + int((s > x).sum()) for x in s]",
        "each rank is given once",
    ),
    ("unit1", "margin-toy", "def margin(s): return max(s) - min(s)", "wanted is the second best"),
    (
        "unit1",
        "margin-toy",
        "def margin(s): return np.sort(s)[-1] - np.sort(s)[-2]",
        "a missing score takes no part",
    ),
    (
        "unit1",
        "accept-toy",
        "def accept(m, t): return m > 0 and (t is None or m > t)",
        "≥, not >",
    ),
    ("unit1", "accept-toy", "def accept(m, t): return m >= (t or 0)", "a tie abstains"),
    (
        "unit2",
        "pool-toy",
        "def pool(t, how):\n"
        "    rows = t[:, 0] if how == 'cls' else t.mean(1)\n"
        "    return rows / np.linalg.norm(rows, axis=1, keepdims=True)",
        "leave CLS out",
    ),
    (
        "unit2",
        "gaps-toy",
        "def gaps(s, own): return s[range(len(s)), own] - s.min(1)",
        "you took the worst",
    ),
    ("unit2", "accuracy-toy", "def accuracy(g): return np.mean(g[~np.isnan(g)] > 0)", "a miss"),
    (
        "unit2",
        "interval-toy",
        "def interval(c, p, draws=2000, seed=0):\n"
        "    rng = np.random.default_rng(seed)\n"
        "    drawn = rng.choice(np.asarray(c, float), (draws, len(c))).mean(1)\n"
        "    return tuple(np.quantile(drawn, [.025, .975]))",
        "Do you draw pictures?",
    ),
    (
        "unit2",
        "choose-toy",
        "def choose(s, e): return e.idxmax(), s[e.idxmax()], e.max()",
        "you peeked",
    ),
    (
        "unit2",
        "confusion-toy",
        "def confusion(t, p, names):\n"
        "    return np.array([[sum(x == a and y == b for x, y in zip(p, t)) "
        "for b in names] for a in names])",
        "transposed",
    ),
    (
        "unit3",
        "psnr-toy",
        "def psnr(x, y): return -10 * np.log10(max(np.mean((x - y) ** 2) / 255**2, 1e-10))",
        "pixels in [0, 1]?",
    ),
    (
        "unit3",
        "changes-toy",
        "def changes(b, a, h):\n"
        "    t = b.assign(heir=b['image_id'].map(h)).merge(\n"
        "        a.rename(columns={'image_id': 'heir', 'value': 'later'}),\n"
        "        on=['heir', 'generator', 'index'])\n"
        "    return t.assign(change=t['later'] - t['value'])",
        "a row for each of the 3 rows",
    ),
    (
        "unit3",
        "framed-toy",
        "def framed(t, b, a, p):\n    k = [s for m, s in zip(t, a) if m != p]\n"
        "    return k.count(p), len(k)",
        "laundering did not do that",
    ),
    ("unit3", "upper-toy", "def upper(e, n, c=.95): return e / max(n, 1)", "that is 4.95 %"),
    (
        "unit3",
        "threshold-toy",
        "def threshold(m, c, error=.05, confidence=.95):\n"
        "    m, c = np.asarray(m), np.asarray(c)\n"
        "    return next((t for t in np.unique(m) if (~c[m >= t]).mean() <= error), np.inf)",
        "58 right ones do not bound it",
    ),
    (
        "unit3",
        "quantile-toy",
        "def quantile(d, c): return float(np.quantile(list(d), c))",
        "so n + 1 enters",
    ),
    (
        "unit3",
        "members-toy",
        "def members(s, q): return s >= np.max(s) - q",
        "a model without a score is not in",
    ),
    (
        "unit3",
        "known-toy",
        "def p_known(s, own): return max(np.mean(o <= x) for x, o in zip(s, own))",
        "Where is the + 1?",
    ),
]


@pytest.mark.parametrize(
    ("unit", "check", "wrong", "sentence"),
    MISTAKES,
    ids=[f"{m[0]}-{m[1]}-{m[3]}" for m in MISTAKES],
)
def test_a_typical_mistake_is_told_in_a_sentence(unit, check, wrong, sentence):
    import numpy as np
    import pandas as pd

    import workbench as wb

    known = {"np": np, "pd": pd, "wb": wb, "SEED": 0}
    cells = {cell.id: cell.source for cell in source(unit).cells}
    answers = [cell.source for cell in code(source(unit)) if mark(cell, "solution")]
    for text in answers:
        exec(text, known)
    exec(cells[check], known)  # the solution passes
    with np.errstate(all="ignore"):
        exec(wrong, known)
        with pytest.raises(AssertionError, match=re.escape(sentence)):
            exec(cells[check], known)
