"""The README does what it says: commands run, links lead somewhere, numbers are measured.

``python tests/system/test_readme.py`` writes what was measured anew from data/reference.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workbench import catalogue
from workbench.catalogue.setting import settle

ROOT = Path(__file__).parents[2]
README, REFERENCE = ROOT / "README.md", ROOT / "data" / "reference" / "accuracy.json"
FOUND = {
    "**Which inverter** for which model? (the paper's first open question)": "inverters",
    "Does PEZ favour the model whose text encoder it searches with?": "bias",
    "**How many candidate images**, γ? (its second)": "gamma",
    "**A similarity** for the models at hand? (its third)": "similarities",
    "What does a better prompt bring?": "prompt_quality",
    "Who stands beside it, on equal pictures?": "rivals",
    "What does it bring as a plug-in of a trained attributor?": "plugin",
    "What survives an attack?": "robustness",
    "And a source outside the zoo?": "openset",
    "What does one more candidate model cost?": "scalability",
}
"""Question → the experiment whose sentence answers it."""
BLOCKS = re.findall(r"^```(bash|python)\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
FILES = {body.split()[1]: body for kind, body in BLOCKS if body.startswith("# workbench/")}
PROGRAMS = [(kind, body) for kind, body in BLOCKS if body not in FILES.values()]
CONTROLS = {
    "natural prompt, known beforehand": "natural",
    "matched bank, nothing regenerated": "matched_bank",
    "arbitrary bank, nothing regenerated": "arbitrary_bank",
    "chance": "chance",
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """Copy the checkout, and put the README's own plug-ins in their places."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("workbench", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "data").symlink_to(ROOT / "data")
    for path, body in FILES.items():
        assert not (folder / path).exists()
        (folder / path).write_text(body)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "body"), PROGRAMS, ids=[body.split("\n")[0] for _, body in PROGRAMS]
)
def test_every_block_runs_as_written(kind, body, checkout):
    targets = re.findall(r"^make (\S+)$", body, re.MULTILINE)
    assert [f for f in targets if f"\n{f}: " not in (ROOT / "Makefile").read_text()] == []
    body = re.sub(r"^make .*$", "", body, flags=re.MULTILINE)
    program = ["bash", "-euo", "pipefail", "-c"] if kind == "bash" else [sys.executable, "-c"]
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(checkout), os.environ["PYTHONPATH"]]),
    }
    done = subprocess.run(
        [*program, body], cwd=checkout, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("name", ["accuracy", "answers"])
def test_what_the_readme_tells_is_what_was_measured(name):
    text = README.read_text()
    assert written(text, name) == text


def test_what_was_measured_are_the_presets_and_weights_that_are_shipped():
    for name, found in reference().items():
        settings, now = found["settings"], settle(name)
        threshold = "inf" if now.threshold == math.inf else now.threshold
        assert settings["preset"] == name
        assert (settings["attributor"], settings["zoo"]) == (repr(now.attributor), list(now.zoo))
        assert settings["threshold"] == threshold
        kept = settings["weights"]
        assert kept == {each: catalogue.checkpoint(each).digest() for each in kept}


def reference() -> dict[str, Any]:
    """Read what was measured."""
    return json.loads(REFERENCE.read_text())


def table(reference: dict[str, Any]) -> str:
    """Write the accuracy table of the README from the summaries of `workbench evaluate --json`."""
    found, first = list(reference.values()), next(iter(reference.values()))
    settings, models = first["settings"], first["settings"]["zoo"]
    rows = {"**inverted prompt**": [_interval(each["accuracy"], "**") for each in found]}
    for label, kind in CONTROLS.items():
        rows[label] = [_interval(each["controls"][kind]) for each in found]
    for name in models:
        rows[f"inverted prompt, {name} alone"] = [_interval(x["per_model"][name]) for x in found]
    rows["inverted prompt, true model among the first two"] = [_percent(x["top2"]) for x in found]
    rows["inverted prompt, decided instead of forced"] = [_decided(each) for each in found]
    rows["taken for another most often"] = [_confused(each) for each in found]
    commands = [
        f"    workbench evaluate --preset {name} --n {settings['n']} "
        f"--gamma {settings['gamma']} --seed {settings['seed']} --json"
        for name in reference
    ]
    note = (
        f"n = {first['accuracy']['n']} fresh pictures: {settings['n']} evaluation prompts, each "
        f"drawn by {len(models)} models; γ = {settings['gamma']}; forced choice, a failed picture "
        "is a miss; in brackets the 95 % interval, bootstrap over prompts. Made by"
    )
    return "\n".join(
        [
            f"| accuracy | {' | '.join(f'preset `{name}`' for name in reference)} |",
            "|---|" + "---|" * len(found),
            *(f"| {label} | {' | '.join(cells)} |" for label, cells in rows.items()),
            *("", note, "", *commands, ""),
            "and kept, settings and digests of the weights included, in "
            "[data/reference/accuracy.json](data/reference/accuracy.json).",
            "",
        ]
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _interval(found: dict[str, Any] | None, strong: str = "") -> str:
    if found is None:
        return "–"
    text = f"{strong}{_percent(found['value'])}{strong}"
    return (
        f"{text} ({100 * found['low']:.1f} to {100 * found['high']:.1f})"
        if "low" in found
        else text
    )


def _decided(found: dict[str, Any]) -> str:
    if found["settings"]["threshold"] is None:
        return "not calibrated"
    if found["settings"]["threshold"] == "inf":
        return "always abstains"
    right = _percent(found["accuracy_accepted"])
    return f"{_percent(found['coverage'])} of the pictures, {right} of them right"


def _confused(found: dict[str, Any]) -> str:
    """Name the largest cell beside the diagonal."""
    labels, counts = found["confusion"]["labels"], found["confusion"]["counts"]
    pairs = [(i, j) for i in range(len(labels)) for j in range(len(labels)) if i != j]
    i, j = max(pairs, key=lambda pair: counts[pair[0]][pair[1]])
    true, taken, n = labels[i], labels[j], found["per_model"][labels[i]]["n"]
    return f"{true} for {taken}, {counts[i][j]} of {n}" if counts[i][j] else "none"


def answers() -> str:
    """Write the table of questions, each with the sentence of its experiment."""
    lines = [
        "| question | answer of the pocket zoo, γ = 4 where nothing else is said |",
        "|---|---|",
    ]
    for question, name in FOUND.items():
        folder = REFERENCE.parent / name
        told = json.loads((folder / "provenance.json").read_text())
        link = f"[{name.replace('_', '-')}, seed {told['seed']}](data/reference/{name})"
        lines.append(f"| {question} | {told['answer']} {link} |")
    return "\n".join([*lines, ""])


def written(text: str, name: str) -> str:
    """Return the README's text with one of its measured parts as it should be."""
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    before, mark, rest = text.partition(begin)
    assert mark, f"the README lacks {begin!r}"
    made = table(reference()) if name == "accuracy" else answers()
    return before + begin + made + end + rest.partition(end)[2]


if __name__ == "__main__":
    README.write_text(written(written(README.read_text(), "accuracy"), "answers"))
