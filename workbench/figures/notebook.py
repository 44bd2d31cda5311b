"""Figures in a notebook: sharp, and seen on a light page and on a dark one."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

SCALE = 2
"""Pixels of a figure for each pixel of a page, for screens of double density."""
INK = 0.475
"""The grey whose contrast with a white page and with a black one is the same, over 4 to 1."""
FAINT = 0.35
"""Opacity of a light line in that grey: of a grid, of what is not there."""

LOOKS = ("color", "alpha", "path_effects", "is_mapped")
"""Parts of the names under which artists keep what is changed for a while."""


def notebook() -> Any:
    """Let the figures of this notebook be shown by `png`; return its shell, None outside of one."""
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    shell = get_ipython()
    if shell is None:
        return None
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    plt.switch_backend(plt.get_backend())  # now: it registers a formatter of its own
    shell.display_formatter.formatters["image/png"].for_type(Figure, png)
    return shell


def png(figure: Any) -> tuple[bytes, dict[str, int]]:
    """Draw a figure on clear ground, at double density, its blacks and greys in one middle grey.

    Numbers in the cells of a heatmap stay as they are, as do white rims and every colour.

    Args:
        figure: a matplotlib Figure; it is left as it was.

    Returns:
        the PNG, and its width in pixels of a page, as the metadata of an output. The height is
        left to the page, which may have less room.
    """
    import struct

    buffer = io.BytesIO()
    with _clear(figure):
        figure.savefig(
            buffer,
            format="png",
            dpi=SCALE * figure.dpi,
            bbox_inches="tight",
            transparent=True,
        )
    data = buffer.getvalue()
    (width,) = struct.unpack(">I", data[16:20])
    return data, {"width": width // SCALE}


@contextmanager
def _clear(figure: Any) -> Iterator[None]:
    """Bring the blacks and greys of a figure to one grey, for a while."""
    from matplotlib.collections import Collection
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.text import Text

    kept = _written_in_cells(figure)
    grounds = {id(figure.patch), *(id(ax.patch) for ax in figure.axes)}
    with ExitStack() as undo:
        for artist in figure.findobj():
            undo.callback(_restore, artist, _state(artist))
            change = partial(_change, artist)
            if isinstance(artist, Text) and id(artist) not in kept:
                change("color")
                if artist.get_path_effects():
                    change("path_effects", lambda _: [])
            elif isinstance(artist, Line2D):
                for name in ("color", "markeredgecolor", "markerfacecolor"):
                    change(name)
            elif isinstance(artist, Legend):
                frame = artist.get_frame()
                undo.callback(_restore, frame, _state(frame))
                _change(frame, "facecolor", lambda _: "none")
            elif isinstance(artist, Patch) and id(artist) not in grounds:
                for name in ("facecolor", "edgecolor"):
                    change(name)
            elif isinstance(artist, Collection) and artist.get_array() is None:
                change("facecolor")
                change("edgecolor")
        yield


def _written_in_cells(figure: Any) -> set[int]:
    """Return the ids of the texts that stand on the coloured cells of a heatmap."""
    from matplotlib.collections import QuadMesh

    heatmaps = [
        ax for ax in figure.axes if any(isinstance(each, QuadMesh) for each in ax.collections)
    ]
    return {id(text) for ax in heatmaps for text in ax.texts}


def _state(artist: Any) -> dict[str, Any]:
    """Return what an artist keeps of its looks."""
    return {name: value for name, value in vars(artist).items() if any(x in name for x in LOOKS)}


def _restore(artist: Any, state: dict[str, Any]) -> None:
    """Give an artist back its looks."""
    vars(artist).update(state)
    artist.stale = True


def _change(artist: Any, name: str, to: Callable[[Any], Any] | None = None) -> None:
    """Set a property of an artist to what is made of it."""
    before = getattr(artist, f"get_{name}")()
    after = (to or _greyed)(before)
    if after is not before:
        getattr(artist, f"set_{name}")(after)
        if isinstance(after, tuple) and after[3] < 1 and artist.get_alpha() is not None:
            artist.set_alpha(None)  # or it would stand for the colour's own


def _greyed(colours: Any) -> Any:
    """Return colours, blacks and greys among them in the middle grey; the same where none is."""
    import numpy as np
    from matplotlib.colors import to_rgba_array

    if isinstance(colours, str) and colours in ("auto", "none", "face"):
        return colours
    table = to_rgba_array(colours)
    if not len(table):
        return colours
    rgb, light = table[:, :3], table[:, :3].mean(axis=1)
    grey = (np.ptp(rgb, axis=1) < 0.08) & (light < 0.97) & (table[:, 3] > 0)
    if not grey.any():
        return colours
    changed = table.copy()
    changed[grey, :3] = INK
    changed[grey & (light >= 0.8), 3] *= FAINT
    return changed if len(changed) > 1 or np.ndim(colours) == 2 else tuple(changed[0])
