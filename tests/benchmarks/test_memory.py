"""Peak memory of a process that attributes one picture, then again with more candidate images."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.benchmarks import speed

SAMPLE = speed.ROOT / "data" / "samples" / "sample-03.png"
ATTRIBUTE = """
import sys
import workbench as wb
from tests.support.memory import peak
for gamma in sys.argv[2:]:
    wb.attribute(sys.argv[1], gamma=int(gamma), store=wb.Store.temporary())
    print(peak())
"""
BUDGET = 1400
"""MiB for one picture by the preset pocket; 1 303 were seen at γ = 16."""
pytestmark = [pytest.mark.benchmark, pytest.mark.slow]


def peaks(*gammas: int) -> list[float]:
    """Return the peak resident memory of a new process in MiB, after each attribution in turn."""
    command = [sys.executable, "-c", ATTRIBUTE, str(SAMPLE), *map(str, gammas)]
    done = subprocess.run(command, cwd=speed.ROOT, capture_output=True, text=True, check=True)
    return [float(line) for line in done.stdout.split()]


def test_memory_does_not_grow_with_the_candidate_images():
    few, many = peaks(1, 8)
    print(f"γ = 1: {few:.0f} MiB, γ = 8: {many:.0f} MiB")  # noqa: T201
    assert many < 1.2 * few
    assert many < 3 * BUDGET
