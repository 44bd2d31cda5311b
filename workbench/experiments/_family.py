"""Shares, and families of paired tests: the rows that experiments make of them, and their words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.evaluation.prompts import scenes
from workbench.evaluation.statistics import (
    Interval,
    accuracy_interval,
    holm,
    influence_interval,
    mcnemar,
    mean_interval,
    minimal_detectable_difference,
    paired_outcomes,
    sign_flip,
)

if TYPE_CHECKING:
    import pandas as pd

Differences = tuple[Mapping[str, Any], np.ndarray, Sequence[str]]
"""A key, (N,) differences of the same pictures, and the scene of each."""


def share(table: pd.DataFrame, column: str = "correct") -> Interval:
    """Estimate the mean of a column of values in [0, 1] over scenes: exact where all are 0 or 1."""
    values = table[column].to_numpy(dtype=float)
    whole = np.isin(values[~np.isnan(values)], (0, 1)).all()
    return (accuracy_interval if whole else mean_interval)(values, scenes(table))


def single(value: float | None, n: int) -> dict[str, Any]:
    """Return a number without an interval, such as a p value, as the cells of a results frame."""
    return {"value": value, "low": None, "high": None, "n": n}


def paired(
    first: pd.DataFrame, second: pd.DataFrame, keys: Sequence[str] = ("image_id", "truth", "prompt")
) -> tuple[np.ndarray, list[str]]:
    """Return correct of the first less correct of the second, (N,), and the scene of each.

    Raises ValueError where their pictures, told apart by the keys, are not the same.
    """
    left, right, places = paired_outcomes(first, second, keys)
    return left.astype(float) - right, places


def family(
    differences: Iterable[Differences],
    name: str = "difference",
    bounds: tuple[float, float] = (-1.0, 1.0),
    deviation: float = 0.25,
) -> list[dict[str, Any]]:
    """Return the rows of a family of paired tests, which Holm's method corrects together.

    For each key: the ``name``, a mean with its interval over scenes; ``p of the …, Holm`` by
    sign-flips over scenes; ``McNemar's p of the …, Holm`` beside it, where every difference is −1,
    0 or 1, and pictures are taken for independent; ``detectable …``: what the test of one such mean
    finds with a power of 80 % where the means of scenes have that ``deviation``
    (`minimal_detectable_difference`), n its scenes.
    """
    kept = list(differences)
    if not kept:
        return []
    corrected = holm([sign_flip(values, places) for _, values, places in kept])
    counts = all(np.isin(values, (-1, 0, 1)).all() for _, values, _ in kept)
    beside = holm([mcnemar(values > 0, values < 0) for _, values, _ in kept]) if counts else []
    rows: list[dict[str, Any]] = []
    for place, (key, values, places) in enumerate(kept):
        n, groups = len(values), len(set(places))
        mean = float(np.mean(values))
        interval = influence_interval(mean, (values - mean) / n, places, bounds)
        rows.append({**key, "metric": name, **vars(interval)})
        rows.append({**key, "metric": f"p of the {name}, Holm", **single(corrected[place], n)})
        if beside:
            label = f"McNemar's p of the {name}, Holm"
            rows.append({**key, "metric": label, **single(beside[place], n)})
        if groups > 1:
            least = single(minimal_detectable_difference(groups, deviation), groups)
            rows.append({**key, "metric": f"detectable {name}", **least})
    return rows


def less(
    outcomes: pd.DataFrame,
    pairs: Sequence[tuple[str, str]],
    keys: Sequence[str] = ("image_id", "truth", "prompt"),
) -> list[dict[str, Any]]:
    """Return the rows of a family of pairs of attributors, under the name ``first less second``.

    Raises ValueError where two of a pair did not see the same pictures.
    """
    parts = dict(list(outcomes.groupby("attributor", sort=False)))
    return family(
        ({"attributor": f"{one} less {two}"}, *paired(parts[one], parts[two], keys))
        for one, two in pairs
    )


def compared(table: pd.DataFrame) -> str:
    """Say each difference of a family of pairs, how they were tested, and what could be found."""
    names = list(table.loc[table["metric"] == "difference", "attributor"])
    if not names:
        return "Nothing was compared."
    parts = []
    for name in names:
        p = chosen(table, "p of the difference, Holm", attributor=name)["value"]
        parts.append(
            f"{name} {told(table, attributor=name)}{', not told apart' if p > 0.05 else ''}"
        )
    return (
        f"In pairs, sign-flips over {detectable(table)}, Holm over {len(names)}: "
        f"{'; '.join(parts)}."
    )


def named(outcomes: pd.DataFrame, methods: Mapping[str, Any], column: str) -> pd.DataFrame:
    """Return the outcomes of each attributor with its short name in a column.

    Two short names of one attributor both have its outcomes.
    """
    import pandas as pd

    parts = [
        outcomes[outcomes["attributor"] == repr(method)].assign(**{column: short})
        for short, method in methods.items()
    ]
    return pd.concat(parts, ignore_index=True)


def chosen(table: pd.DataFrame, metric: str, **key: Any) -> Any:
    """Return the one row of a results frame with a metric and a key; LookupError without it."""
    rows = table[table["metric"] == metric]
    for name, value in key.items():
        rows = rows[rows[name] == value]
    if len(rows) != 1:
        raise LookupError(
            f"the results hold {len(rows)} rows {metric!r} of {key}: they are of another revision "
            "of the experiment, which has to be run anew"
        )
    return rows.iloc[0]


def told(table: pd.DataFrame, name: str = "difference", **key: Any) -> str:
    """Return a tested difference in words: ``+19.5 points (+14.0 to +25.0, p = 0.0012)``."""
    gain = chosen(table, name, **key)
    p = chosen(table, f"p of the {name}, Holm", **key)["value"]
    return (
        f"{100 * gain['value']:+.1f} points ({100 * gain['low']:+.1f} to "
        f"{100 * gain['high']:+.1f}, {'p < 1e-09' if p < 1e-9 else f'p = {p:.2g}'})"
    )


def detectable(table: pd.DataFrame, name: str = "difference") -> str:
    """Return what the tests of a family could have found: ``98 scenes, in which …``."""
    rows = table[table["metric"] == f"detectable {name}"]
    if not len(rows):
        return "one scene, in which nothing is detectable"
    row = rows.loc[rows["n"].idxmin()]
    points = 100 * row["value"]
    return f"{row['n']:.0f} scenes, in which a difference of {points:.0f} points is detectable"


def percent(row: Any) -> str:
    """Return a share and its interval: ``83.2 % (79.0 to 87.2 %)``; "–" for no information."""
    if row["low"] <= 0 and row["high"] >= 1:
        return f"{row['value']:.1%} (interval –)"
    return f"{row['value']:.1%} ({row['low']:.1%} to {row['high']:.1%})"
