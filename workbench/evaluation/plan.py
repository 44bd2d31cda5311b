"""The plan of the measurements, fixed before any run: question, sample size, test.

It lies in ``data/reference/plan.toml``. Experiments take their prompts, seeds, tests and families
from it where nothing else is said, so what is reported is what was announced.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.catalogue.toml import make
from workbench.paths import data_folder

TESTS = ("sign-flip", "none")
"""How a family is tested: by sign-flips over scenes (`statistics.sign_flip`), or not at all."""


@dataclass(frozen=True)
class Question:
    """The question of one experiment.

    ``primary`` tells in words what is compared; ``first`` and ``against`` name attributors, where
    one is compared with each of several. ``n`` counts prompts, drawn anew with each of ``seeds``.
    The p-values of one ``family`` are corrected together (Holm).
    """

    name: str
    question: str
    primary: str
    n: int = 100
    seeds: tuple[int, ...] = (0,)
    test: str = "sign-flip"
    family: str = ""
    first: str = ""
    against: tuple[str, ...] = ()


def read(path: Path | None = None) -> dict[str, Question]:
    """Return the plan by the names of the experiments; {} where there is none.

    Args:
        path: a TOML file with a table of each experiment, whose fields are those of `Question`,
            and a table ``families``, name → what its tests are about; the shipped plan when left
            out.

    Raises:
        ValueError: it cannot be read, or names a test or a family that is not there.
    """
    table = _parsed(path or data_folder() / "reference" / "plan.toml")
    families = table.pop("families", {})
    questions = {}
    for name, row in table.items():
        where = f"[{name}] of the plan"
        question = make(Question, row, where, name=name)
        question = replace(question, seeds=tuple(question.seeds), against=tuple(question.against))
        if question.test not in TESTS:
            raise ValueError(f"{where} has a test {question.test!r}; there are: {', '.join(TESTS)}")
        if (question.test == "none") == bool(question.family):
            raise ValueError(f"{where} has a family where it has a test, and only there")
        if question.family and question.family not in families:
            there = ", ".join(families)
            raise ValueError(f"{where} has a family {question.family!r}; there are: {there}")
        if question.n < 1 or not question.seeds:
            raise ValueError(f"{where} needs a prompt and a seed at least")
        questions[name] = question
    return questions


def of(experiment: str) -> Question:
    """Return the question of an experiment; 100 prompts and seed 0 where the plan has none.

    >>> of("an experiment of one's own").n
    100
    """
    return read().get(experiment, Question(experiment, "", ""))


def _parsed(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except (OSError, ValueError) as error:
        raise ValueError(f"the plan {str(path)!r} cannot be read: {error}") from error
