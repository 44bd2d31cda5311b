"""Every ratio of speed and memory side by side: ``python -m tests.benchmarks.bench``.

Each measure stands beside what it is compared with, both taken in this process one after the other,
models loaded before the clock starts; a ratio below 1 is the better. ``--out`` writes bench.json,
which names the machine. Run it where nothing else runs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from tests.benchmarks import naive, scale, speed
from workbench import pipeline
from workbench.catalogue.setting import settle
from workbench.keys import candidate_seed, prompt_id
from workbench.store.store import Store, versions
from workbench.weights import device, inference

SIDE = 1024
"""Side of the pictures whose saving is measured."""


@dataclass(frozen=True)
class Row:
    """A measure, what it stands beside, both in `unit`, and how many of what were measured."""

    name: str
    value: float
    beside: str
    other: float
    unit: str
    n: int
    of: str

    @property
    def ratio(self) -> float:
        """The measure as a multiple of what it stands beside."""
        return self.value / self.other if self.other else float("nan")


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    pictures: int = 20
    drawn: int = 64
    saved: int = 24
    repeats: int = 5
    gamma: int = 16
    rows: int = scale.IMAGES
    few: int = 504
    many: int = 5_000


SMALL = Size(pictures=2, drawn=4, saved=2, repeats=1, gamma=4, rows=16, few=16, many=32)
"""What shows in seconds that every measure can be taken."""


def overhead(size: Size, folder: Path) -> Iterator[Row]:
    """Compare plug-in, pipeline and an empty store with bare calls of diffusers, same pictures.

    Of the runs in turns, the pair of the median ratio.
    """
    name, model = next(
        (name, x) for name, x in settle().zoo.items() if type(x).__name__ == "Diffusers"
    )
    row, (pipe, *_) = model.checkpoint, model.loaded()
    texts = [f"a red circle, number {i}" for i in range(size.drawn)]
    seeds = [candidate_seed(0, text, 0) for text in texts]
    settings = model._settings(pipe, 0)
    table = pd.DataFrame({"prompt_id": list(map(prompt_id, texts)), "prompt": texts})
    bare, ours = [], []

    def plain() -> None:
        import torch

        with inference.fixed_threads(row.threads), torch.inference_mode():
            for start in range(0, size.drawn, row.batch):
                some = slice(start, start + row.batch)
                noise = [torch.Generator("cpu").manual_seed(seed) for seed in seeds[some]]
                pipe(prompt=texts[some], generator=noise, **settings)

    plain()
    for number in range(size.repeats):  # in turns, so that both meet the same machine
        bare.append(_seconds(plain))
        with Store(folder / f"overhead-{number}") as store:
            ours.append(_seconds(lambda s=store: pipeline.generate(table, {name: model}, 1, 0, s)))
    pairs = sorted(zip(ours, bare, strict=True), key=lambda pair: pair[0] / pair[1])
    yield Row(
        f"drawing by {name} into a store",
        pairs[len(pairs) // 2][0],
        "bare diffusers",
        pairs[len(pairs) // 2][1],
        "s",
        size.drawn,
        "pictures",
    )


@dataclass(frozen=True)
class Still:
    """A generator that hands out pictures it holds already, by their seeds."""

    pictures: dict[int, Any] = field(repr=False, hash=False)

    def __call__(self, prompts: Any, seeds: Any) -> list[Any]:
        return [self.pictures[seed] for seed in seeds]


def grainy(seed: int, side: int) -> Any:
    """Paint smooth colours with fine grain: what a PNG of a photograph has to hold."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((side, side)), dtype=np.int16)
    grain = rng.integers(-4, 5, smooth.shape, dtype=np.int16)
    return Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8))


def saving(size: Size, folder: Path) -> Iterator[Row]:
    """Measure what saving costs the thread that generates, and the writer beside it."""
    texts = [f"saved {i}" for i in range(size.saved)]
    seeds = [candidate_seed(0, text, 0) for text in texts]
    table = pd.DataFrame({"prompt_id": list(map(prompt_id, texts)), "prompt": texts})
    side = SIDE if size.saved > SMALL.saved else 64
    still = Still({seed: grainy(seed, side) for seed in seeds})
    with Store(folder / "saving") as store:
        started, whole = time.thread_time(), time.process_time()
        pipeline.generate(table, {"still": still}, 1, 0, store)
        own = time.thread_time() - started
        writer = time.process_time() - whole - own
    each = 1000 / size.saved
    yield Row(
        f"saving a picture of {side} px, in the thread that generates",
        own * each,
        "in the thread that writes",
        writer * each,
        "ms",
        size.saved,
        "pictures",
    )


def attributing(size: Size, folder: Path) -> Iterator[Row]:
    """Compare attributions with the loop one writes first: cold, warm, grown, adaptive, bank."""
    paths = speed.pictures(size.pictures, folder / "pictures")
    names = list(settle().zoo)
    naive.attribute(paths[:1])
    loop = _seconds(lambda: naive.attribute(paths))
    deep = _seconds(lambda: naive.attribute(paths, gamma=size.gamma))
    speed.once(paths[:1], folder / "loading")
    speed.once(paths, folder / "growing", zoo=",".join(names[:-1])) if len(names) > 2 else None
    bank = {"attributor": "reference_bank"}
    adaptive = {"attributor": "adaptive", "gamma": size.gamma}
    runs = [
        ("cold", "whole", {}, loop),
        ("warm", "whole", {}, loop),
        (f"{names[-1]} added", "growing", {}, loop),
        (f"adaptive, at most {size.gamma} candidates", "adaptive", adaptive, deep),
        ("a bank, filled for the first picture", "bank", bank, loop),
    ]
    speed.once(paths[:1], folder / "bank", **bank)
    for name, store, options, other in runs:
        run = speed.once(paths, folder / store, **options)
        beside = "naive loop" if other is loop else f"naive loop, {size.gamma} candidates"
        yield Row(name, run["seconds"], beside, other, "s", len(paths), "pictures")


def growth(size: Size, folder: Path) -> Iterator[Row]:
    """Compare twice as many pictures, models and candidates with once: 2 is proportional."""
    paths = speed.pictures(2 * size.pictures, folder / "grown")
    names = list(settle().zoo)
    half = ",".join(names[: max(len(names) // 2, 2)])
    gamma = settle().gamma
    base = speed.once(paths[::2], folder / "base", zoo=half)["seconds"]
    more = {
        "twice the pictures": (paths, {"zoo": half}),
        "all models": (paths[::2], {}),
        "twice the candidates": (paths[::2], {"zoo": half, "gamma": 2 * gamma}),
    }
    for number, (name, (some, options)) in enumerate(more.items()):
        seconds = speed.once(some, folder / f"more-{number}", **options)["seconds"]
        yield Row(name, seconds, "once", base, "s", len(some), "pictures")


def scales(size: Size, folder: Path) -> Iterator[Row]:
    """Measure a table of a million similarities, and the memory of many pictures."""
    table, *others = scale.million(size.rows)
    started = time.process_time()
    scale.ranked_and_measured(table, *others)
    seconds = time.process_time() - started
    name = "rows ranked and evaluated"
    yield Row(name, seconds, "budget", 3.0, "s of CPU", len(table), "rows")
    side = 128
    few, many = (scale.peak(n, side, folder / f"peak-{n}")[0] for n in (size.few, size.many))
    pixels = (size.many - size.few) * side * side * 3 / 2**20
    name = f"memory more than for {size.few} pictures"
    yield Row(name, max(many - few, 0), "their pixels", pixels, "MiB", size.many, "pictures")


MEASURES: tuple[Callable[[Size, Path], Iterator[Row]], ...] = (
    overhead,
    saving,
    attributing,
    growth,
    scales,
)


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def machine() -> dict[str, Any]:
    """Name the machine: processor, cores, memory, accelerator, system and versions."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    gpu = ""
    if device.kind() != "cpu":
        import torch

        gpu = torch.cuda.get_device_name()
    return {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory": f"{pages / 2**30:.0f} GiB",
        "gpu": gpu or "none",
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions(),
    }


def run(size: Size) -> list[Row]:
    """Take every measure, one after the other."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for measure in MEASURES:
            rows += measure(size, Path(folder))
            sys.stderr.write(f"{measure.__name__}: done\n")
    return rows


def table(rows: list[Row]) -> str:
    """Write the rows below one another: the measure, its ratio, and what both were."""
    return "\n".join(
        f"{row.name:52} {row.ratio:7.3f} × {row.beside:26} {row.value:9.3f} | {row.other:.3f} "
        f"{row.unit}, n = {row.n} {row.of}"
        for row in rows
    )


def save(rows: list[Row], folder: Path) -> Path:
    """Write bench.json, which names the machine; return where it lies."""
    folder.mkdir(parents=True, exist_ok=True)
    found = [asdict(row) | {"ratio": row.ratio} for row in rows]
    made = time.strftime("%Y-%m-%d")
    text = json.dumps({"made": made, "machine": machine(), "rows": found}, indent=2)
    file = folder / "bench.json"
    file.write_text(text + "\n", encoding="utf-8")
    return file


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.bench")
    parser.add_argument("--small", action="store_true", help="only show that all can be measured")
    parser.add_argument("--out", type=Path, help="folder for bench.json")
    given = parser.parse_args()
    rows = run(SMALL if given.small else Size())
    sys.stdout.write(table(rows) + "\n")
    if given.out:
        sys.stdout.write(f"{save(rows, given.out)}\n")


if __name__ == "__main__":
    main()
