"""What every widget shares: its frames, its thumbnails, and a still picture for exported HTML."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import ipywidgets

from workbench import images
from workbench.store import Store, StoreError

if TYPE_CHECKING:
    import pandas as pd

SIDE = 96
"""Pixels along the longer side of a thumbnail."""


class Panel(ipywidgets.VBox):
    """Lay out the parts of a widget; where no kernel answers, `still` stands in for it."""

    def still(self) -> str:
        """Answer HTML that shows the widget's present state without a kernel; texts escaped."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = super()._repr_mimebundle_(**kwargs)
        return bundle | {"text/html": self.still()}


def gather(result: Any, *needed: str) -> dict[str, pd.DataFrame]:
    """Take the frames out of what a widget was given.

    Args:
        result: an `attribution.Attribution`, an `experiment.Evaluation`, or frames by name, as
            `evaluate` answers them.
        *needed: the frames that must be there, with at least one row.

    Raises:
        ValueError: one of them is absent or empty; the sentence tells what there is.
    """
    import pandas as pd

    found = result if isinstance(result, Mapping) else getattr(result, "frames", None)
    if not isinstance(found, Mapping):
        found = getattr(result, "__dict__", {})
    tables = {name: each for name, each in found.items() if isinstance(each, pd.DataFrame)}
    absent = [name for name in needed if name not in tables]
    if absent:
        raise ValueError(
            f"this widget needs the frames {', '.join(needed)}; {', '.join(absent)} missing, there "
            f"are: {', '.join(tables) or 'none'}. wb.evaluate answers them"
        )
    bare = [name for name in needed if tables[name].empty]
    if bare:
        raise ValueError(f"there is nothing to show: the frame {bare[0]} has no rows")
    return tables


def store_of(result: Any, store: Store | None) -> Store:
    """Answer the store given, else the result's own, else the user's."""
    return store or getattr(result, "store", None) or Store()


def thumbnail(store: Store, picture: str, side: int = SIDE) -> str | None:
    """Answer a picture of the store as a data URI, None where the store has it no longer."""
    return _thumbnail(store, picture, side)


@lru_cache(maxsize=30_000)
def _thumbnail(store: Store, picture: str, side: int) -> str | None:
    try:
        return images.data_uri(store.picture(picture), side)
    except StoreError:
        return None
