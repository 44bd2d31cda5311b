"""The tables between the stages: their columns, keys and validation; and the seeds.

Every stage takes a frame and returns a frame. `SCHEMAS` says which columns it has, and `check`
holds a frame to it before hours are spent. Vectors live in `Features`, never in cells. What is
written here cannot be changed after the first stored picture: it enters every key and every seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench import paths

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Schema:
    """The columns of one table, in order, and which of them are its key.

    `columns` maps a name to "str", "float64", "int64" or "bool". A "str" or "float64" cell
    outside the key may be missing (NaN); every other cell has a value. A column in `later` came
    after the first tables were kept: where one lacks it, all of its cells are missing.
    """

    key: tuple[str, ...]
    columns: dict[str, str]
    later: tuple[str, ...] = ()


SCHEMAS: dict[str, Schema] = {
    "images": Schema(
        ("image_id",),
        {
            "image_id": "str",
            "path": "str",
            "source": "str",
            "prompt": "str",
            "split": "str",
            "parent_id": "str",
            "attack": "str",
            "intensity": "float64",
            "failure": "str",
        },
    ),
    "prompts": Schema(
        ("image_id", "inverter"),
        {
            "image_id": "str",
            "inverter": "str",
            "prompt_id": "str",
            "prompt": "str",
            "score": "float64",
            "truncated": "bool",
            "failure": "str",
            "seconds": "float64",
        },
    ),
    "candidates": Schema(
        ("prompt_id", "generator", "index"),
        {
            "prompt_id": "str",
            "generator": "str",
            "index": "int64",
            "run_seed": "int64",
            "seed": "int64",
            "candidate_id": "str",
            "failure": "str",
            "seconds": "float64",
            "unread": "float64",
        },
        later=("unread",),
    ),
    "similarities": Schema(
        ("image_id", "prompt_id", "generator", "index", "similarity"),
        {
            "image_id": "str",
            "prompt_id": "str",
            "generator": "str",
            "index": "int64",
            "similarity": "str",
            "value": "float64",
        },
    ),
    "scores": Schema(
        ("image_id", "attributor", "generator"),
        {"image_id": "str", "attributor": "str", "generator": "str", "score": "float64"},
    ),
    "rankings": Schema(
        ("image_id", "attributor", "generator"),
        {
            "image_id": "str",
            "attributor": "str",
            "generator": "str",
            "score": "float64",
            "rank": "int64",
        },
    ),
    "attributions": Schema(
        ("image_id", "attributor"),
        {
            "image_id": "str",
            "attributor": "str",
            "predicted": "str",
            "margin": "float64",
            "accepted": "bool",
        },
    ),
    "evaluations": Schema(
        ("attributor", "attack", "intensity", "metric", "slice"),
        {
            "attributor": "str",
            "attack": "str",
            "intensity": "float64",
            "metric": "str",
            "slice": "str",
            "value": "float64",
            "low": "float64",
            "high": "float64",
            "n": "int64",
        },
    ),
}


def schema(name: str) -> Schema:
    """Return the schema of the table `name`; ValueError if there is none."""
    if name not in SCHEMAS:
        raise ValueError(f"no table named {name!r}; there are: {', '.join(SCHEMAS)}")
    return SCHEMAS[name]


def empty(name: str) -> pd.DataFrame:
    """Return the table `name` without rows.

    >>> list(empty("scores").columns)
    ['image_id', 'attributor', 'generator', 'score']
    """
    return build(name, [])


def build(name: str, rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the table `name` made from rows; a "str" or "float64" cell left out is missing.

    A left-out "int64" or "bool" cell, or one of the key, is a ValueError (see `check`).

    >>> build("scores", [{"image_id": "a", "attributor": "b", "generator": "c"}]).score.isna().all()
    np.True_
    """
    import pandas as pd

    columns = schema(name).columns
    table = list(rows)
    strange = sorted({column for row in table for column in row} - set(columns))
    if strange:
        raise ValueError(
            f"the {name} table has no column {', '.join(map(repr, strange))}; "
            f"there are: {', '.join(columns)}"
        )
    cells = {column: [row.get(column) for row in table] for column in columns}
    return check(pd.DataFrame({c: pd.Series(v, dtype=object) for c, v in cells.items()}), name)


def check(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return `frame` checked against the schema of `name`: its columns in order, index 0…n-1.

    Harmless differences of dtype are mended (integers stored as floats, None for NaN); columns
    beyond the schema are dropped.

    Raises ValueError: a column is absent, a cell has the wrong kind or is missing where it may
    not be, or two rows have the same key.
    """
    import pandas as pd

    shape = schema(name)
    if added := [column for column in shape.later if column not in frame.columns]:
        frame = frame.assign(**dict.fromkeys(added))
    absent = [column for column in shape.columns if column not in frame.columns]
    if absent:
        raise ValueError(
            f"the {name} table lacks the column {', '.join(map(repr, absent))}; "
            f"it has: {', '.join(map(str, frame.columns)) or 'none'}"
        )
    table = pd.DataFrame(
        {
            column: _column(frame[column], dtype, f"the column {column!r} of the {name} table")
            for column, dtype in shape.columns.items()
        }
    ).reset_index(drop=True)
    for column in shape.key:
        if table[column].isna().any():
            raise ValueError(
                f"the column {column!r} of the {name} table is part of its key, "
                f"but {int(table[column].isna().sum())} of its {len(table)} cells are missing"
            )
    twice = table[table.duplicated(list(shape.key))]
    if len(twice):
        seen = ", ".join(f"{column}={twice.iloc[0][column]!r}" for column in shape.key)
        raise ValueError(f"the {name} table has two rows with the same key: {seen}")
    return table


def without_folders(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose texts tell no folder: see `paths.names_only`; prompts stay."""
    copied = frame.copy()
    for name in copied.columns.difference(["prompt"]):
        texts = [each for each in copied[name].unique() if isinstance(each, str)]
        shorter = {each: paths.names_only(each) for each in texts}
        if any(new != old for old, new in shorter.items()):
            copied[name] = copied[name].replace(shorter)
    return copied


def _column(series: pd.Series, dtype: str, where: str) -> pd.Series:
    """Return one column cast to `dtype`; raise ValueError where that changes a value."""
    import pandas as pd

    if str(series.dtype) == dtype:
        return series
    known = series.dropna()
    for value in known:
        plain = value.item() if hasattr(value, "item") else value
        if not _fits(plain, dtype):
            raise ValueError(f"{where} must hold {dtype}, but it holds {plain!r}")
    if dtype in ("int64", "bool") and len(known) < len(series):
        raise ValueError(
            f"{where} must hold {dtype}, but "
            f"{len(series) - len(known)} of its {len(series)} cells are missing"
        )
    if dtype == "float64":
        return pd.to_numeric(series).astype("float64")
    return series.astype(dtype)


def _fits(value: object, dtype: str) -> bool:
    if dtype == "str":
        return isinstance(value, str)
    if dtype == "bool" or isinstance(value, bool):
        return dtype == "bool" and isinstance(value, bool)
    if dtype == "int64":
        return isinstance(value, (int, float)) and float(value).is_integer()
    return isinstance(value, (int, float))


@dataclass(frozen=True, eq=False)
class Features:
    """Feature vectors of pictures: `matrix[i]`, (N, D) float32, belongs to `ids[i]`.

    `encoder` is the repr of what made them. ValueError if the shapes disagree or an id is twice.
    """

    ids: tuple[str, ...]
    matrix: np.ndarray = field(repr=False)
    encoder: str
    _row: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        import numpy as np

        object.__setattr__(self, "ids", tuple(self.ids))
        object.__setattr__(self, "matrix", np.asarray(self.matrix, dtype=np.float32))
        object.__setattr__(self, "_row", {name: i for i, name in enumerate(self.ids)})
        if self.matrix.ndim != 2 or len(self.matrix) != len(self.ids):
            raise ValueError(
                f"{len(self.ids)} ids need a matrix of shape ({len(self.ids)}, D), "
                f"not {self.matrix.shape}"
            )
        if len(self._row) != len(self.ids):
            twice = next(name for i, name in enumerate(self.ids) if self._row[name] != i)
            raise ValueError(f"the id {twice!r} is there twice")

    def rows(self, ids: Iterable[str]) -> np.ndarray:
        """Return the vectors of `ids`, (n, D) float32, in that order; LookupError if one lacks."""
        names = list(ids)
        absent = [name for name in names if name not in self._row]
        if absent:
            raise LookupError(
                f"no features of {self.encoder} for {len(absent)} of {len(names)} pictures, "
                f"the first is {absent[0]!r}"
            )
        return self.matrix[[self._row[name] for name in names]]
