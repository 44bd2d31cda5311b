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
SLOTS, STEPS = 9, 4_000
"""Places for boxes in a row, and exchanges tried."""
X = np.linspace(0.07, 0.93, SLOTS)


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


def lay_out(rows: list[list[str]], arrows: list[tuple[str, str]]) -> dict[str, tuple[float, float]]:
    """Return name → (x, y): a row a layer, in an order in which arrows pass beside boxes.

    A local search, always the same: exchange two places of a row where that costs less. Behind
    a box counts most, then crossings, then length.
    """
    rng = np.random.default_rng(0)
    names = [name for row in rows for name in row]
    row_of = np.array([depth for depth, row in enumerate(rows) for _ in row])
    starts, ends = np.array([[names.index(name) for name in arrow] for arrow in arrows]).T
    half = np.array([0.016 + 0.0048 * len(name) for name in names])
    slots = np.stack([rng.permutation(SLOTS) for _ in rows])
    places = np.array([i for row in rows for i in range(len(row))])
    along = np.linspace(0, 1, 30)[:, None]

    def cost(slots: np.ndarray) -> float:
        x, y = X[slots[row_of, places]], -row_of.astype(float)
        at_x = x[starts] + along * (x[ends] - x[starts])
        at_y = y[starts] + along * (y[ends] - y[starts])
        inside = (abs(at_x[..., None] - x) < half + 0.01) & (abs(at_y[..., None] - y) < 0.25)
        hidden = inside.any(axis=0)
        hidden[np.arange(len(starts)), starts] = hidden[np.arange(len(ends)), ends] = False
        one, two = np.stack([x[starts], y[starts]]), np.stack([x[ends], y[ends]])
        way = (two - one)[:, :, None]

        def side(points: np.ndarray) -> np.ndarray:
            off = points[:, None, :] - one[:, :, None]
            return np.sign(way[0] * off[1] - way[1] * off[0])

        across = side(one) * side(two)
        crossings = ((across < 0) & (across.T < 0)).sum() / 2
        return float(10 * hidden.sum() + crossings + 3 * abs(x[starts] - x[ends]).sum())

    least = cost(slots)
    for _ in range(STEPS):
        depth, (one, two) = rng.integers(len(rows)), rng.choice(SLOTS, 2, replace=False)
        tried = slots.copy()
        tried[depth, [one, two]] = slots[depth, [two, one]]
        if (now := cost(tried)) <= least:
            slots, least = tried, now
    x = X[slots[row_of, places]]
    return {name: (x[i], float(len(rows) - row_of[i])) for i, name in enumerate(names)}


def draw(graph: grimp.ImportGraph, path: Path) -> None:
    """Draw a row for every layer, and the arrows that no longer way stands for."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch

    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.subplots()
    rows = [[name for name in row if name != "__main__"] for row in layers()]
    known = {name for row in rows for name in row}
    arrows = [arrow for arrow in sorted(needed(package_imports(graph))) if known >= {*arrow}]
    place = lay_out(rows, arrows)
    axes.set(xlim=(0, 1), ylim=(0.4, len(rows) + 0.6))
    axes.axis("off")
    boxes = {}
    for name, (x, y) in place.items():
        box = {"boxstyle": "round,pad=0.35", "facecolor": "#ffffff", "edgecolor": "#22405f"}
        text = axes.text(
            x, y, name, ha="center", va="center", fontsize=9, bbox=box, color="#12263a", zorder=3
        )
        boxes[name] = text.get_bbox_patch()
    FigureCanvasAgg(figure).draw()  # now every box has its size, and arrows end at its edge
    for one, other in arrows:
        level = place[one][1] == place[other][1]
        arrow = FancyArrowPatch(
            place[one], place[other], patchA=boxes[one], patchB=boxes[other], shrinkA=0, shrinkB=1,
            arrowstyle="-|>", mutation_scale=10, color="#5f7690", linewidth=1.0,
            connectionstyle=f"arc3,rad={0.25 if level else 0}",
        )  # fmt: skip
        axes.add_patch(arrow)
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
