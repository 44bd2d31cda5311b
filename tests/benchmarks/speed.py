"""Seconds of one picture, ratios to a naive loop: ``python -m tests.benchmarks.speed --n 20``.

One picture: the median of five runs, each in a process of its own, beyond the imports; cold is an
empty store and nothing loaded, warm a store that holds everything. Many pictures: both ways side by
side in one run, models loaded before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import os
import pkgutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks import naive
from tests.support.imports import POCKET
from workbench import pipeline
from workbench.attribution.attribute import attribute
from workbench.catalogue import presets
from workbench.catalogue.setting import settle
from workbench.store.store import Store

ROOT = Path(__file__).parents[2]
COLD, WARM = 15.0, 1.0
"""Budgets of one picture in seconds, for a quiet two-core machine."""


def once(paths: Sequence[str | Path], folder: str | Path, **options: Any) -> dict[str, Any]:
    """Attribute pictures with a store: seconds, pictures made, and the rankings, best first."""
    store = Store(folder)
    before, started = store.info()["generations"], time.perf_counter()
    result = attribute(paths, store=store, **options)
    rankings = [[row["generator"] for row in record["ranking"]] for record in result.records()]
    seconds = time.perf_counter() - started
    made = store.info()["generations"] - before
    return {"seconds": seconds, "made": made, "rankings": rankings}


def fresh(path: Path, folder: Path) -> dict[str, Any]:
    """Attribute one picture in a new process, beyond the imports."""
    command = [sys.executable, "-m", "tests.benchmarks.speed", "--once", str(path), str(folder)]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return dict(json.loads(child.stdout))


def single(path: Path, folder: Path, times: int = 5) -> list[str]:
    """Time one picture, cold and warm."""
    cold = [fresh(path, folder / f"cold-{number}") for number in range(times)]
    warm = [fresh(path, folder / "cold-0") for _ in range(times)]
    return [
        f"one picture, {cold[0]['made']} candidate images, median of {times}",
        _line("cold", _median(cold), f"budget {COLD:.0f} s"),
        _line("warm", _median(warm), f"budget {WARM:.0f} s, made {max(x['made'] for x in warm)}"),
    ]


def against_naive(n: int, folder: Path) -> list[str]:
    """Time n pictures beside a naive loop, and a model that joins the zoo later."""
    paths, names = pictures(n, folder / "pictures"), list(settle().zoo)
    naive.attribute(paths[:1])
    started = time.perf_counter()
    expected = naive.attribute(paths)
    loop = time.perf_counter() - started
    once(paths[:1], folder / "loading")
    cold = once(paths, folder / "whole")
    warm = [once(paths, folder / "whole") for _ in range(5)]
    once(paths, folder / "growing", zoo=",".join(names[:-1]))
    added = once(paths, folder / "growing")
    pairs = list(zip(cold["rankings"], expected, strict=True))
    same, first = sum(a == b for a, b in pairs), sum(a[0] == b[0] for a, b in pairs)
    again = max(each["made"] for each in warm)
    return [
        f"{n} pictures, {cold['made']} candidate images, {os.cpu_count()} cores, models loaded",
        _line("naive loop", loop, "1 ×"),
        _line("cold", cold["seconds"], f"{loop / cold['seconds']:.1f} ×"),
        _line("warm", _median(warm), f"{loop / _median(warm):.0f} ×, made {again}"),
        _line(
            f"{names[-1]} added",
            added["seconds"],
            f"{loop / added['seconds']:.1f} ×, made {added['made']}",
        ),
        f"  equal ranking {same} of {n}, equal first place {first} of {n}",
    ]


def pictures(n: int, folder: Path) -> list[Path]:
    """Let the models of the preset take turns at drawing n evaluation prompts, as files.

    No prompt comes twice, so that the store saves nothing within the first run.
    """
    zoo, row = settle().zoo, presets.preset("pocket")
    texts = presets.draw(presets.prompts(row, "evaluation"), n)
    folder.mkdir()
    with Store.temporary() as store:
        for place, (name, model) in enumerate(zoo.items()):
            drawn, _ = pipeline.make_queries(texts[place :: len(zoo)], {name: model}, store)
            for number, digest in enumerate(drawn["image_id"]):
                store.picture(digest).save(folder / f"{number:02d}-{name}.png")
    return sorted(folder.iterdir())


def _median(runs: Sequence[dict[str, Any]]) -> float:
    return statistics.median(run["seconds"] for run in runs)


def _line(name: str, seconds: float, note: str) -> str:
    return f"  {name:20} {seconds:8.2f} s   {note}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.speed")
    parser.add_argument("--n", type=int, default=20, help="pictures beside the naive loop")
    parser.add_argument("--once", nargs=2, metavar=("PICTURE", "STORE"), help="one run, as JSON")
    given = parser.parse_args()
    if given.once:
        for name in POCKET:
            pkgutil.resolve_name(name)
        sys.stdout.write(json.dumps(once(given.once[:1], given.once[1])) + "\n")
        return
    with tempfile.TemporaryDirectory() as folder:
        sample = ROOT / "data" / "samples" / "sample-01.png"
        lines = [*single(sample, Path(folder)), *against_naive(given.n, Path(folder))]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
