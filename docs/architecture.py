"""Draw the packages of `workbench` as their imports have them, and print circles between modules.

    python docs/architecture.py            prints the circles, and exits 1 if there are any
    python docs/architecture.py --draw     also draws docs/architecture.png

Imports inside functions count; those for type checking alone do not, since they tie nothing at run
time. The rows of the picture are the layers of pyproject.toml, which `lint-imports` holds.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import grimp
import numpy as np
from scipy.sparse.csgraph import connected_components

ROOT = Path(__file__).parents[1]
WIDTH, HEIGHT = 9.0, 8.0


def circles(graph: grimp.ImportGraph) -> list[list[str]]:
    """Return the groups of modules that import one another in a circle."""
    modules = sorted(graph.modules)
    place = {name: i for i, name in enumerate(modules)}
    ties = np.zeros((len(modules), len(modules)), dtype=bool)
    for name in modules:
        for other in graph.find_modules_directly_imported_by(name):
            ties[place[name], place[other]] = True
    _, label = connected_components(ties, connection="strong")
    groups = [[modules[i] for i in np.flatnonzero(label == each)] for each in np.unique(label)]
    return [group for group in groups if len(group) > 1]


def layers() -> list[list[str]]:
    """Read the layers of the import contract, the highest first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = settings["tool"]["importlinter"]["contracts"][0]
    return [re.findall(r"\w+", layer) for layer in contract["layers"]]


def package_imports(graph: grimp.ImportGraph) -> set[tuple[str, str]]:
    """Return which package, or module, at the top of `workbench` imports which other."""
    pairs = set()
    for name in graph.modules:
        for other in graph.find_modules_directly_imported_by(name):
            one, two = name.split(".")[1:2], other.split(".")[1:2]
            if one and two and one != two:
                pairs.add((one[0], two[0]))
    return pairs


def needed(pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Leave out each import that a longer way leads to as well (the transitive reduction)."""
    after: dict[str, set[str]] = {}
    for one, other in pairs:
        after.setdefault(one, set()).add(other)

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = list(after.get(start, ()))
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting += after.get(name, ())
        return seen

    beyond = {name: reached(name) for name in after}
    return {
        (one, other)
        for one, other in pairs
        if not any(other in beyond.get(via, ()) for via in after[one] - {other})
    }


def draw(graph: grimp.ImportGraph, path: Path) -> None:
    """Draw a row for every layer, and the arrows that no longer way stands for."""
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch

    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.subplots()
    rows = [[name for name in row if name != "__main__"] for row in layers()]
    place: dict[str, tuple[float, float]] = {}
    for depth, row in enumerate(rows):
        for i, name in enumerate(row):
            aside = 0.13 * (-1) ** depth if len(row) == 1 else 0.0  # so that arrows pass beside
            place[name] = ((i + 1) / (len(row) + 1) + aside, len(rows) - depth)
    for one, other in needed(package_imports(graph)):
        if one not in place or other not in place or place[one][1] == place[other][1]:
            continue
        bend = 0.12 if place[one][1] - place[other][1] > 1 else 0.0
        arrow = FancyArrowPatch(
            place[one], place[other], arrowstyle="-|>", mutation_scale=10, color="#5f7690",
            linewidth=1.0, shrinkA=14, shrinkB=14,
            connectionstyle=f"arc3,rad={bend if place[one][0] <= 0.5 else -bend}",
        )  # fmt: skip
        axes.add_patch(arrow)
    for name, (x, y) in place.items():
        box = {"boxstyle": "round,pad=0.35", "facecolor": "#ffffff", "edgecolor": "#22405f"}
        axes.text(x, y, name, ha="center", va="center", fontsize=9, bbox=box, color="#12263a")
    axes.set(xlim=(0, 1), ylim=(0.4, len(rows) + 0.6))
    axes.axis("off")
    figure.savefig(path, dpi=150, facecolor="white")


def main(arguments: list[str]) -> int:
    """Print the circles; draw the picture where it is asked for."""
    graph = grimp.build_graph("workbench", exclude_type_checking_imports=True)
    found = circles(graph)
    for group in found:
        print("circle:", " - ".join(group))
    print(f"{len(graph.modules)} modules, {len(found)} circles")
    if "--draw" in arguments:
        draw(graph, ROOT / "docs" / "architecture.png")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
