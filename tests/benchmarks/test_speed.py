"""Budgets of speed, on one picture; `speed` measures in full."""

from __future__ import annotations

import pytest

from tests.benchmarks import naive, speed
from workbench.catalogue.setting import settle

SAMPLE = speed.ROOT / "data" / "samples" / "sample-03.png"
pytestmark = [pytest.mark.benchmark, pytest.mark.slow]


@pytest.mark.alone
def test_one_picture_stays_within_three_times_its_budget(tmp_path):
    cold, warm = speed.fresh(SAMPLE, tmp_path / "store"), speed.fresh(SAMPLE, tmp_path / "store")
    assert (cold["made"], warm["made"]) == (16, 0)
    assert cold["rankings"] == warm["rankings"]
    assert cold["seconds"] < 3 * speed.COLD
    assert warm["seconds"] < 3 * speed.WARM


def test_a_model_added_makes_its_own_pictures_only_and_the_naive_loop_agrees(tmp_path):
    names = list(settle().zoo)
    three = speed.once([SAMPLE], tmp_path / "store", zoo=",".join(names[:-1]))
    four = speed.once([SAMPLE], tmp_path / "store")
    assert (three["made"], four["made"]) == (12, 4)
    assert naive.attribute([SAMPLE])[0][0] == four["rankings"][0][0]
