"""The rules of the house, by the syntax of its files: what is short, private, called as before."""

from __future__ import annotations

import ast
import functools
import json
import re
from pathlib import Path

import pytest

import workbench as wb
from tests.support.pages import pages

ROOT = Path(__file__).parents[2]
FILES = sorted(path for folder in ("workbench", "tests") for path in (ROOT / folder).rglob("*.py"))
RECIPES = Path("workbench/pocket/recipes")
LINES, BODY = 450, 60
RENAMED = {
    *("Maker", "Passing", "carefully", "in_fixed_shape", "exhausted", "safely", "_sentences"),
    *("stock", "intake", "wording", "containers"),
}
"""Names of before that mean nothing else; those that are common words are not looked for."""
VAGUE = {"found", "made", "told", "asked"}
"""Names that no local bears: they say that something was done, not what it is."""
SPEAKS_OF_BEFORE = {Path("workbench/__init__.py"), Path("tests/system/test_old_names.py")}


def _private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def long_functions(tree: ast.AST) -> list[str]:
    """Return the functions whose body, its docstring left out, has more than `BODY` lines."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if body and (body[-1].end_lineno or 0) - body[0].lineno >= BODY:
                found.append(node.name)
    return found


def private_names(tree: ast.AST, package: str) -> list[str]:
    """Return the private names that a module of ``package`` takes from other modules.

    A helper module ``_name`` serves its own package.
    """
    taken, modules, nodes = [], set(), list(ast.walk(tree))
    for node in nodes:
        if not isinstance(node, ast.ImportFrom):
            continue
        home = node.module or ""
        modules |= {alias.asname or alias.name for alias in node.names}
        if home.partition(".")[0] != "workbench":
            continue
        if home.rpartition(".")[0] != package and any(map(_private, home.split("."))):
            taken.append(home)
        for name in (alias.name for alias in node.names if _private(alias.name)):
            helper = ROOT.joinpath(*home.split("."), f"{name}.py")
            if home != package or not helper.exists():
                taken.append(f"{home}.{name}")
    for node in nodes:
        owner = getattr(getattr(node, "value", None), "id", None)
        if isinstance(node, ast.Attribute) and owner in modules and _private(node.attr):
            taken.append(f"{owner}.{node.attr}")
    return taken


def old_names(tree: ast.AST) -> list[str]:
    """Return the modules and functions that are called as before the move."""
    called = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            called += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            called += [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            called.append(f"{node.value.id}.{node.attr}")
        names = {getattr(node, key, None) for key in ("id", "attr", "name")}
        called += [name for name in RENAMED if name in names]
    old = re.compile(rf"(wb|workbench)\.({'|'.join(wb._MOVED)})(\.|$)")
    return [name for name in called if name in RENAMED or old.match(name)]


def vague_locals(tree: ast.AST) -> list[str]:
    """Return the locals and arguments of functions that bear a name of `VAGUE`."""
    named = []
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            for node in ast.walk(function):
                stored = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
                name = node.id if stored else getattr(node, "arg", None)
                if name in VAGUE and not isinstance(node, ast.keyword):
                    named.append(f"{name}, line {node.lineno}")
    return sorted(set(named))


def test_no_file_is_too_long():
    counts = {path: path.read_bytes().count(b"\n") for path in FILES}
    assert [f"{path.name}: {count}" for path, count in counts.items() if count > LINES] == []


def test_no_function_is_too_long_but_in_the_recipes():
    found = {
        path.relative_to(ROOT): long_functions(_tree(path))
        for path in FILES
        if not path.is_relative_to(ROOT / RECIPES)
    }
    assert {path: names for path, names in found.items() if names} == {}


def test_no_module_takes_a_private_name_of_another():
    found = {}
    for path in FILES:
        place = path.relative_to(ROOT)
        if place.parts[0] == "workbench" and not place.is_relative_to(RECIPES):
            found[place] = private_names(_tree(path), ".".join(place.parent.parts))
    assert {path: names for path, names in found.items() if names} == {}


def test_locals_say_what_they_are():
    found = {
        path.relative_to(ROOT): vague_locals(_tree(path))
        for path in FILES
        if path.is_relative_to(ROOT / "workbench")
    }
    assert {path: names for path, names in found.items() if names} == {}


def test_nothing_is_called_as_before_the_move():
    found = {path.relative_to(ROOT): old_names(_tree(path)) for path in FILES}
    assert {p: n for p, n in found.items() if n and p not in SPEAKS_OF_BEFORE} == {}


@pytest.mark.parametrize("path", sorted(ROOT.glob("notebooks/**/*.ipynb")), ids=lambda p: p.stem)
def test_no_notebook_calls_a_module_as_before(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells)
    assert re.findall(rf"\b(?:wb|workbench)\.({'|'.join(wb._MOVED)})\b", text) == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_no_page_calls_a_module_as_before(page):
    text = page.read_text(encoding="utf-8")
    assert re.findall(rf"\b(?:wb|workbench)[./]({'|'.join(wb._MOVED)})\b", text) == []


def test_every_test_that_the_protocol_names_is_there():
    text = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert len(named) > 25
    for path, name in named:
        names = {node.name for node in _tree(ROOT / path).body if hasattr(node, "name")}
        assert name in names, f"{path} has no {name}"


def test_what_breaks_a_rule_is_seen():
    long = ast.parse("def f():\n    '''Doc.'''\n" + "    x = 1\n" * (BODY + 1))
    short = ast.parse("def f():\n    '''Doc.\n\n" + "    More.\n" * BODY + "    '''\n    x = 1\n")
    assert (long_functions(long), long_functions(short)) == (["f"], [])
    taken = ast.parse(
        "from workbench.store import store\nfrom workbench.images._png import chunks\n"
        "from workbench.images import _png\nfrom workbench.text import _cut\nstore._connect()\n"
    )
    assert private_names(taken, "workbench.store") == [
        "workbench.images._png", "workbench.images._png", "workbench.text._cut", "store._connect",
    ]  # fmt: skip
    assert private_names(ast.parse("from workbench.images import _png"), "workbench.images") == []
    vague = ast.parse(
        "found = 1\nclass C:\n    made: int\n    def told(self): return f(found=self.made)\n"
        "def f(told, *, x):\n    found, y = x\n    return [made for made in y], lambda asked: 1\n"
    )
    assert vague_locals(vague) == ["asked, line 7", "found, line 6", "made, line 7", "told, line 5"]
    before = ast.parse(
        "import workbench as wb\nimport workbench.hub\nfrom workbench import stock\n"
        "from workbench.running import x\nwb.decision\nMaker()\n"
    )
    assert sorted(old_names(before)) == sorted(
        ["workbench.hub", "workbench.stock", "stock", "workbench.running.x", "wb.decision", "Maker"]
    )
