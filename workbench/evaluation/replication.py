"""Compare the frames of two runs of an experiment, value by value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

OF_THE_MACHINE = ("seconds", "peak memory")
"""Columns and metrics that another machine, or another minute, answers otherwise."""
COLUMNS = ["frame", "row", "column", "reference", "again"]


def differences(
    reference: Mapping[str, pd.DataFrame], again: Mapping[str, pd.DataFrame]
) -> tuple[pd.DataFrame, int]:
    """Return the differences of two sets of frames, value by value, and the count compared.

    With the same seed, models and machine an experiment makes the same values; a number counts as
    the same within 1e-5 of itself, since results.csv keeps six digits. What the machine decides
    (`OF_THE_MACHINE`) is left out.

    Args:
        reference: frames by name, as `experiments.read` answers them.
        again: likewise, of the second run.

    Returns:
        frame, row (its number), column, and the two values, for each that is not the same; a frame,
        a column or rows that only one of them has stand as such. And how many values were compared.
    """
    import pandas as pd

    rows: list[list[Any]] = []
    compared = 0
    for name in sorted(set(reference) | set(again)):
        there = [name in side for side in (reference, again)]
        if not all(there):
            rows.append([name, -1, "", *("there" if present else "missing" for present in there)])
            continue
        one, two = (_of_the_run(side[name]) for side in (reference, again))
        if len(one) != len(two):
            rows.append([name, -1, "", f"{len(one)} rows", f"{len(two)} rows"])
            continue
        for column in dict.fromkeys([*one.columns, *two.columns]):
            there = [column in side for side in (one, two)]
            if not all(there):
                rows.append([name, -1, column, *("there" if x else "missing" for x in there)])
                continue
            compared += len(one)
            left, right = one[column].to_numpy(dtype=object), two[column].to_numpy(dtype=object)
            other = [not _same(*pair) for pair in zip(left, right, strict=True)]
            rows += [
                [name, int(row), column, left[row], right[row]] for row in np.flatnonzero(other)
            ]
    return pd.DataFrame(rows, columns=COLUMNS), compared


def _of_the_run(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame without the values that depend on the machine, rows numbered anew."""
    frame = frame[[name for name in frame.columns if not str(name).startswith(OF_THE_MACHINE)]]
    if "metric" in frame:
        frame = frame[~frame["metric"].str.startswith(OF_THE_MACHINE)]
    return frame.reset_index(drop=True)


def _same(one: Any, two: Any) -> bool:
    """Return whether two cells agree; missing ones do, numbers within 1e-5 of themselves.

    >>> _same(0.1234564, 0.123456), _same(None, float("nan")), _same("1", 1), _same(1.0, 1.001)
    (True, True, False, False)
    """
    missing = [cell is None or cell != cell for cell in (one, two)]
    if any(missing):
        return all(missing)
    if isinstance(one, str) or isinstance(two, str):
        return isinstance(one, str) and isinstance(two, str) and one == two
    return bool(np.isclose(float(one), float(two), rtol=1e-5, atol=1e-9))
