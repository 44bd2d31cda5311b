"""What differs between two runs is found, and nothing else."""

from __future__ import annotations

import pandas as pd

from workbench.evaluation.replication import differences

FRAME = pd.DataFrame({"what": ["a", "b"], "value": [0.5, None], "n": [3, 4], "seconds": [1.0, 2.0]})


def test_equal_frames_have_no_difference_whatever_the_machine_took():
    table, compared = differences({"x": FRAME}, {"x": FRAME.assign(seconds=9.0)})
    assert table.empty
    assert compared == 6


def test_six_digits_are_enough_and_five_are_not():
    close = FRAME.assign(value=[0.5 * (1 + 4e-6), None])
    assert differences({"x": FRAME}, {"x": close})[0].empty
    far = FRAME.assign(value=[0.5 * (1 + 4e-5), None])
    table, _ = differences({"x": FRAME}, {"x": far})
    assert table.to_numpy().tolist() == [["x", 0, "value", 0.5, 0.5 * (1 + 4e-5)]]


def test_a_value_within_any_interval_of_before_still_counts_as_another():
    before = pd.DataFrame({"value": [0.5], "low": [0.4], "high": [0.6]})
    table, _ = differences({"results": before}, {"results": before.assign(value=0.51)})
    assert table[["column", "reference", "again"]].to_numpy().tolist() == [["value", 0.5, 0.51]]


def test_what_only_one_of_them_has_is_told():
    one = {"lost": FRAME, "x": FRAME, "y": FRAME}
    two = {"new": FRAME, "x": FRAME[:1], "y": FRAME.drop(columns="n").assign(more=1)}
    table, _ = differences(one, two)
    assert table[["frame", "column", "reference", "again"]].to_numpy().tolist() == [
        ["lost", "", "there", "missing"], ["new", "", "missing", "there"],
        ["x", "", "2 rows", "1 rows"], ["y", "n", "there", "missing"],
        ["y", "more", "missing", "there"],
    ]  # fmt: skip


def test_missing_values_and_texts_are_compared_as_such():
    other = FRAME.assign(value=[None, 0.5], what=["a", "c"])
    table, _ = differences({"x": FRAME}, {"x": other})
    assert table[["row", "column"]].to_numpy().tolist() == [[1, "what"], [0, "value"], [1, "value"]]


def test_metrics_of_the_machine_are_left_out():
    rows = pd.DataFrame({"metric": ["seconds a picture", "accuracy"], "value": [1.0, 0.5]})
    table, compared = differences({"x": rows}, {"x": rows.assign(value=[2.0, 0.5])})
    assert (len(table), compared) == (0, 2)
