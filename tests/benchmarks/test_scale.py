"""A million similarity rows are ranked and evaluated at once; many pictures fit in memory.

Budgets: 3 s of CPU time for the rows, flat memory for the pictures, 1 GiB to inspect a folder.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.benchmarks import scale

SECONDS = 3.0
FEW, MANY, SIDE = 104, 1_504, 192
"""Pictures of the memory test, and their side: those that `MANY` has more are 148 MiB of pixels."""
pytestmark = [pytest.mark.benchmark, pytest.mark.slow]


def test_a_million_similarities_are_ranked_and_evaluated_within_budget():
    table, ids, names, truth = scale.million()
    assert len(table) == 1_000_000
    taken = []
    for _ in range(3):
        started = time.process_time()
        found = scale.ranked_and_measured(table, ids, names, truth)
        taken.append(time.process_time() - started)
    means = table.groupby(["image_id", "generator"])["value"].mean().unstack()
    first = means.loc[ids].idxmax(axis=1).to_numpy()
    accuracy = found[found["metric"] == "accuracy"]["value"].iloc[0]
    assert accuracy == pytest.approx((first == truth["truth"].to_numpy()).mean())
    assert statistics.median(taken) < 3 * SECONDS


def test_memory_stays_flat_over_many_pictures(tmp_path):
    few, many = (scale.peak(n, SIDE, tmp_path / str(n)) for n in (FEW, MANY))
    pixels = (MANY - FEW) * SIDE * SIDE * 3 / 2**20
    print(f"{FEW} pictures: {few[0]} MiB, {MANY}: {many[0]} MiB")  # noqa: T201
    assert many[0] - few[0] < pixels / 3  # the frames grow, some 11 kB a picture
    assert many[1] <= 8 * 4 * 2  # the inverter knows eight words: attacks share their candidates


INSPECT = """
import sys
import workbench as wb
from tests.support.memory import peak
found = wb.inspect(sys.argv[1])
print(round(peak()), found["path"].nunique())
"""
FEW_FILES, FILES, EDGE = 20, 400, 256
PEAK_OF_INSPECT, GROWTH = 1024, 32
"""MiB that the process may take in all, and more for `FILES` than for `FEW_FILES`."""


def test_inspecting_a_large_folder_takes_no_more_memory_than_a_small_one(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(FILES):
        note = PngInfo()
        note.add_text("parameters", f"a kettle\nSteps: 20, Sampler: Euler, Seed: {number}")
        pixels = np.kron(rng.integers(0, 256, (8, 8, 3), np.uint8), np.ones((32, 32, 1), np.uint8))
        folder = tmp_path / ("few" if number < FEW_FILES else "many")
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number}.png", pnginfo=note, compress_level=1)

    def peak(folder: Path) -> tuple[int, int]:
        code = [sys.executable, "-c", INSPECT, str(folder)]
        done = subprocess.run(code, capture_output=True, text=True, check=True, env=os.environ)
        memory, files = done.stdout.split()
        return int(memory), int(files)

    few, many = peak(tmp_path / "few"), peak(tmp_path)
    assert (few[1], many[1]) == (FEW_FILES, FILES)
    print(f"{FEW_FILES} files: {few[0]} MiB, {FILES}: {many[0]} MiB")  # noqa: T201
    assert EDGE * EDGE * 3 * FILES / 2**20 > 2 * GROWTH  # what would grow, were pixels kept
    assert many[0] < PEAK_OF_INSPECT
    assert many[0] - few[0] < GROWTH
