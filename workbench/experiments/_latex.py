"""A results frame as a LaTeX table: metrics side by side, one precision a column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = ("value", "low", "high", "n")
"""The columns of a results frame that are not its key."""
COLUMN = 4
"""Columns of a table from which on it goes over the whole text, not over a column."""
LEAST = 0.001
"""What p is at least; less is told so."""


def latex(
    results: pd.DataFrame, caption: str, name: str = "", order: pd.DataFrame | None = None
) -> str:
    r"""Write a results frame as a booktabs table; needs ``\usepackage{booktabs}``.

    Metrics stand side by side where there is such a column; a cell is the value with its interval,
    and n a range where they were not measured on equally many. Plug-ins are told in words. Each
    column has one number of decimals.

    Args:
        results: keys, then value, low, high and n.
        caption: of the table.
        name: what ``\label{tab:…}`` refers to it by; without one there is no label.
        order: the frame that a figure was drawn from: what it shows comes first, in its order.
    """
    import pandas as pd

    from workbench.catalogue.wording import in_words, readable

    frame = _sorted(results, order)
    keys = [column for column in frame.columns if column not in NUMBERS]
    split = "metric" in keys and len(keys) > 1
    index = [column for column in keys if column != "metric" or not split]
    kinds = frame["metric"] if split else pd.Series("value", index=frame.index)
    frame["cell"] = ""
    for kind, part in frame.groupby(kinds, sort=False):
        frame.loc[part.index, "cell"] = _cells(part, kind.startswith(("p of", "McNemar's p of")))
    counts = frame.groupby(index, dropna=False)["n"]
    ends = zip(counts.transform("min"), counts.transform("max"), strict=True)
    frame["n"] = [f"{least:g}" if least == most else f"{least:g}–{most:g}" for least, most in ends]
    places = frame.groupby(index, dropna=False, sort=False).ngroup()
    wide = frame.drop_duplicates([*index, "n"])[[*index, "n"]]
    for kind in pd.unique(kinds):
        own = frame.loc[kinds == kind, "cell"].set_axis(places[kinds == kind])
        wide[kind] = places[wide.index].map(own).fillna("–")
    cells = [
        [*map(readable, row[: len(index)]), *row[len(index) :]] for row in wide.values.tolist()
    ]
    lines = [" & ".join(_escaped(_text(value)) for value in row) + r" \\" for row in cells]
    head = " & ".join(_escaped(str(column)) for column in wide.columns)
    star = "*" * (len(wide.columns) > COLUMN)
    label = f"\\label{{tab:{name.replace('_', '-')}}}\n" if name else ""
    body = "\n".join([rf"{head} \\", r"\midrule", *lines])
    layout = "l" * len(index) + "r" * (len(wide.columns) - len(index))
    return (
        f"\\begin{{table{star}}}\n\\centering\n\\caption{{{_escaped(in_words(caption))}}}\n{label}"
        f"\\begin{{tabular}}{{{layout}}}\n\\toprule\n{body}\n\\bottomrule\n"
        f"\\end{{tabular}}\n\\end{{table{star}}}\n"
    )


def _sorted(results: pd.DataFrame, order: pd.DataFrame | None) -> pd.DataFrame:
    """Return the results in the order in which a figure shows their keys, the others after them."""
    frame = results.reset_index(drop=True)
    if order is None:
        return frame
    keys = [x for x in frame.columns if x not in (*NUMBERS, "metric") and x in order.columns]
    if not keys:
        return frame
    shown = list(dict.fromkeys(map(tuple, order[keys].astype(str).to_numpy())))
    place = {key: number for number, key in enumerate(shown)}
    rank = [place.get(key, len(place)) for key in map(tuple, frame[keys].astype(str).to_numpy())]
    return frame.assign(rank=rank).sort_values("rank", kind="stable").drop(columns="rank")


def _cells(rows: pd.DataFrame, chances: bool) -> list[str]:
    """Return the cells of one column: all with as many decimals as the column needs."""
    values = [x for column in ("value", "low", "high") for x in rows[column].dropna()]
    digits = 3 if chances else decimals(values)
    cells = []
    for row in rows.itertuples():
        if row.value != row.value:
            cells.append("–")
        elif chances and 0 <= row.value < LEAST:
            cells.append(f"< {LEAST}")
        else:
            value, low, high = (f"{x:,.{digits}f}" for x in (row.value, row.low, row.high))
            cells.append(value if row.low != row.low else f"{value} ({low} to {high})")
    return cells


def decimals(values: Sequence[float]) -> int:
    """Return the decimals of a column: none for whole numbers, else three digits of the largest.

    >>> decimals([0.25, 0.8]), decimals([3.0, 12.0]), decimals([0.4, 23.5])
    (3, 0, 1)
    """
    if all(float(value).is_integer() for value in values):
        return 0 if any(abs(value) > 1 for value in values) else 3
    largest = max(abs(value) for value in values)
    return 3 if largest <= 1 else 2 if largest < 10 else 1 if largest < 100 else 0


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}" if value == value else "–"
    return "–" if str(value) == "nan" else str(value)


def _escaped(text: str) -> str:
    for letter in "\\&%$#_{}":
        text = text.replace(letter, r"\textbackslash " if letter == "\\" else f"\\{letter}")
    pairs = {"γ": r"$\gamma$", "≤": r"$\le$", "<": "$<$", "↔": r"$\leftrightarrow$", "–": "--"}
    for letter, command in pairs.items():
        text = text.replace(letter, command)
    return text
