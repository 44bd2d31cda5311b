"""Build the course from its sources: `python notebooks/exercises/build.py [FOLDER]`.

The folder (out/course when left out) becomes a course of nbgrader, for the lecturer: `source`,
`release` (solutions cleared, hidden tests removed), `gradebook.db`, and besides `solutions`,
executed, to look at and to show. What students get is another folder beside it, `handout`: this
checkout with the released units, without sources, solutions, guide and the tests of the course. No
server and no network are needed.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config, PyFileConfigLoader

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OURS = ("notebooks/exercises", "tests/course", "out", ".git", ".venv")
"""What students do not get of a checkout, beside caches."""
CACHES = ("__pycache__", ".*_cache", ".ipynb_checkpoints", "*.egg-info")
MARKS = re.compile(r"^ *### (BEGIN|END) (SOLUTION|HIDDEN TESTS)\n?", re.MULTILINE)


def build(out: Path, source: Path = HERE / "source", *, execute: bool = True) -> list[str]:
    """Build every unit of `source` into `out`; answer their names.

    A gradebook that lies there already is kept, with the grades in it. With `execute` the
    solutions are run, and a check that fails raises nbclient's CellExecutionError.
    """
    units = sorted(path.name for path in source.iterdir() if path.is_dir())
    shutil.copytree(source, out / "source", dirs_exist_ok=True)
    shutil.copy(HERE / "nbgrader_config.py", out)
    for unit in units:
        release(out, unit)
        for path in sorted((source / unit).glob("*.ipynb")):
            solved = solution(nbformat.read(path, as_version=4))
            folder = out / "solutions" / unit
            folder.mkdir(parents=True, exist_ok=True)
            if execute:
                run(solved, folder)
            nbformat.write(solved, folder / path.name)
    return units


def run(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Run every cell in a kernel of its own."""
    NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--log-level=ERROR"],
    ).execute()


def release(out: Path, unit: str) -> None:
    """Make the students' version of a unit, and enter its cells into the gradebook."""
    course, config = opened(out, unit)
    GenerateAssignment(coursedir=course, config=config, force=True).start()


def handout(out: Path, to: Path, root: Path = ROOT) -> Path:
    """Copy a checkout for students, with the released units of a course in it; answer the folder.

    Args:
        out: the course, built.
        to: the folder to write; what lies there under the same names is replaced.
        root: the checkout.
    """
    caches, ours = shutil.ignore_patterns(*CACHES), {root / name for name in OURS} | {to, out}

    def left(folder: str, names: list[str]) -> set[str]:
        return caches(folder, names) | {name for name in names if Path(folder, name) in ours}

    shutil.copytree(root, to, ignore=left, dirs_exist_ok=True)
    shutil.copytree(out / "release", to / "notebooks" / "exercises", dirs_exist_ok=True)
    return to


def opened(out: Path, unit: str) -> tuple[CourseDirectory, Config]:
    """Open the course in `out` at a unit, for any converter of nbgrader."""
    beside = str(Path(sys.executable).parent)  # nbgrader calls alembic, and looks for it in PATH
    if beside not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([beside, os.environ.get("PATH", "")])
    config = Config(PyFileConfigLoader(str(out / "nbgrader_config.py")).load_config())
    config.CourseDirectory.root = str(out.resolve())
    config.CourseDirectory.assignment_id = unit
    return CourseDirectory(config=config), config


def solution(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Turn a source into a plain notebook: without nbgrader's marks and metadata."""
    for cell in notebook.cells:
        cell.source = MARKS.sub("", cell.source).rstrip("\n")
        cell.metadata.pop("nbgrader", None)
    return notebook


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    where = Path(sys.argv[1] if len(sys.argv) > 1 else "out/course")
    print(f"Building the course into {where}; running its solutions takes two minutes or so.")
    for name in build(where):
        print(f"  {where / 'release' / name}  as students see it;  {where / 'solutions' / name}")
    students = handout(where.resolve(), where.resolve().with_name("handout"))
    print(f"For you alone: {where}. For students, the whole of it: {students}")
