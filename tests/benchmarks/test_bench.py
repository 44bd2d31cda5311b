"""A smoke of the benchmark: every measure can be taken, and names what it is of."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from tests.benchmarks import bench

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rows(tiny_data):
    """Take every measure once, of the tiny models and a handful of pictures."""
    from workbench import paths

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "PLACES", [tiny_data])
        return bench.run(bench.SMALL)


def test_every_measure_has_a_ratio(rows):
    names = " | ".join(row.name for row in rows)
    for words in ("into a store", "saving", "cold", "warm", "added", "adaptive", "bank", "twice"):
        assert words in names
    for row in rows:
        assert row.n > 0
        assert math.isfinite(row.ratio), row
        assert row.ratio >= 0
    assert len({row.name for row in rows}) == len(rows)
    seconds = {row.name: row.value for row in rows}
    assert seconds["warm"] < seconds["cold"]


def test_what_is_written_names_the_machine_and_no_path_of_it(rows, tmp_path):
    file = bench.save(rows, tmp_path / "bench")
    found = json.loads(file.read_text())
    assert len(found["rows"]) == len(rows)
    assert found["machine"]["cores"] >= 1
    assert {"processor", "memory", "gpu", "versions"} <= set(found["machine"])
    assert str(Path.home()) not in file.read_text()
    assert bench.table(rows).count("\n") == len(rows) - 1
