"""Save a figure as PDF and PNG, with its numbers as CSV."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

KINDS = (".pdf", ".png", ".csv")
DOTS = 300
"""Dots an inch of a PNG."""


def save(figure: Any, path: str | Path) -> list[Path]:
    """Write a figure as PDF (letters as TrueType inside), PNG (300 dpi) and the CSV drawn from.

    The size is the figure's own to the point: nothing is trimmed. Each file is written aside and
    renamed, so that none is ever half there. The same figure gives the same PDF.

    Args:
        figure: a matplotlib Figure, or Axes, whose figure is meant.
        path: of the files, with or without one of their endings; folders are made.

    Returns:
        the files written. Without a frame behind it, a figure of one's own has no CSV. The rows of
        several Axes stand in one table, told apart by the column ``panel``: the Axes' title, or its
        number.

    Raises:
        OSError: they cannot be written.
    """
    import matplotlib as mpl

    from workbench.figures._canvas import settle

    figure = getattr(figure, "figure", figure)
    path = Path(path)
    stem = path.with_suffix("") if path.suffix in KINDS else path
    table = drawn(figure)
    settle(figure)
    written = []
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        with mpl.rc_context({"pdf.fonttype": 42, "savefig.bbox": "standard"}):
            for kind in KINDS:
                if kind == ".csv" and table is None:
                    continue
                file = stem.with_name(stem.name + kind)
                with _aside(file) as aside:
                    if table is not None and kind == ".csv":
                        table.to_csv(aside, index=False)
                    else:
                        dated = {"CreationDate": None} if kind == ".pdf" else None
                        figure.savefig(aside, format=kind[1:], dpi=DOTS, metadata=dated)
                written.append(file)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"the figure cannot be written to {str(stem)!r}: {reason}") from None
    return written


def drawn(figure: Any) -> pd.DataFrame | None:
    """Return the frame a figure was drawn from; None where no Axes remembers one."""
    import pandas as pd

    from workbench.figures._canvas import SOURCES

    parts = [(ax, SOURCES[ax]) for ax in figure.axes if ax in SOURCES]
    if len(parts) < 2:
        return parts[0][1] if parts else None
    titles = [ax.get_title(loc="left") for ax, _ in parts]
    whole = all(titles) and len(set(titles)) == len(titles)
    names = titles if whole else [str(place + 1) for place in range(len(parts))]
    tables = [part.assign(panel=name) for name, (_, part) in zip(names, parts, strict=True)]
    table = pd.concat(tables, ignore_index=True)
    return table[["panel", *(column for column in table.columns if column != "panel")]]


@contextmanager
def _aside(file: Path) -> Iterator[Path]:
    """Return a path beside a file; what was written there takes the file's place at the end."""
    aside = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}")
    try:
        yield aside
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)
