"""The filter box: what rows meet a filter, and what it can be set to."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.widgets._filters import Filters

TABLE = pd.DataFrame(
    {
        "kind": ["test", "candidate", "candidate", None],
        "prompt": [f"A red {thing}" for thing in ("cat", "cart", "dog", "Cat on a mat")],
        "margin": [0.1, 0.2, np.nan, 0.4],
        "tags": ["", "odd", "odd; sharp", ""],
    }
)


@pytest.fixture
def calls():
    return []


@pytest.fixture
def filters(calls):
    return Filters(TABLE.copy(), lambda: calls.append(1))


@pytest.mark.parametrize(
    ("wanted", "met"),
    [
        ({}, [0, 1, 2, 3]),
        ({"kind": ["candidate"]}, [1, 2]),
        ({"kind": "test"}, [0]),
        ({"kind": ["–"]}, [3]),
        ({"tags": "ODD"}, [1, 2]),
        ({"tags": "sharp odd"}, [2]),
        ({"margin": (0.15, 0.4)}, [1, 3]),
        ({"margin": (0.1, 0.4)}, [0, 1, 2, 3]),
        ({"margin": (0.0, 0.39)}, [0, 1]),
        ({"margin": (0.15, 1), "kind": ["candidate"]}, [1]),
    ],
)
def test_rows_meet_every_filter(filters, calls, wanted, met):
    filters.set(wanted)
    assert list(np.flatnonzero(filters.mask())) == met
    assert set(filters.value) == set(wanted)
    assert calls == [1]


def test_a_column_of_many_texts_is_filtered_by_words():
    many = Filters(pd.DataFrame({"prompt": [f"thing {place}" for place in range(40)]}), list)
    many.set({"prompt": "thing 39"})
    assert list(np.flatnonzero(many.mask())) == [39]


def test_a_control_is_added_used_and_taken_away(filters, calls):
    filters._add.value = "margin"
    assert filters.mask().all()
    label, slider, drop = filters.children[0].children
    assert label.value == "margin"
    slider.value = (0.3, 0.4)
    assert list(np.flatnonzero(filters.mask())) == [3]
    assert "margin" not in filters._add.options
    drop.click()
    assert filters.value == {}
    assert filters.mask().all()
    assert "margin" in filters._add.options
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"size": 1}, "no column 'size' to filter by; there are: kind, prompt, margin, tags"),
        ({"kind": ["no"]}, "kind has no value 'no'; there are: candidate, test, –"),
        ({"margin": 0.3}, r"margin is filtered by \(lowest, highest\); seen 0.3"),
    ],
)
def test_mistakes_are_told_and_change_nothing(filters, wanted, sentence):
    filters.set({"kind": ["test"]})
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        filters.set(wanted)
    assert filters.value == {"kind": ["test"]}
