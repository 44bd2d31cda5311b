"""The maps of the Explorer together: how they are laid out, and what happens on all at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.evaluation import projection
from workbench.store.store import Store
from workbench.widgets._map import Map
from workbench.widgets._umap import Background, in_turn

if TYPE_CHECKING:
    import pandas as pd

HEIGHTS = {1: 430, 2: 360}
"""Pixels of a map, by how many there are."""


class Maps(Sequence[Map]):
    """One or two maps of the same points, chosen and hovered alike.

    Args:
        table: a row a point, see `Map`.
        matrices: name of a space → (N, D) features.
        store: where the layouts are kept.
        seed: of UMAP.
        thumbnail: place → data URI of its picture, None where there is none.
        column: of the colours.
        palette: class of the column → colour.
        chosen: called with a map's number and the places chosen on it by hand.
        hovered: called with a map's number and the place under the pointer.
        failed: called with a sentence where UMAP failed.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        matrices: Mapping[str, np.ndarray],
        store: Store,
        *,
        seed: int,
        thumbnail: Callable[[int], str | None],
        column: str,
        palette: Mapping[str, str],
        chosen: Callable[[int, Any], None],
        hovered: Callable[[int, int], None],
        failed: Callable[[str], None],
    ) -> None:
        self._table, self._matrices, self._store = table, matrices, store
        self._seed, self._thumbnail = seed, thumbnail
        self._column, self._palette = column, palette
        self._chosen, self._hovered, self._failed = chosen, hovered, failed
        self._maps: list[Map] = []
        self._trust: dict[tuple[str, str], float] = {}
        self._linking, self._soon = False, in_turn()
        self.placed = ""
        self.background = Background()

    def __getitem__(self, place: Any) -> Any:
        """Return a map by its number."""
        return self._maps[place]

    def __len__(self) -> int:
        """Count the maps."""
        return len(self._maps)

    def lay_out(self, method: str) -> None:
        """Lay the maps out, in the background with PCA meanwhile where that takes its time."""
        self.background.cancel()
        ready = self._ready(method)
        now = method if ready else "pca"
        if now != self.placed:
            self._place(now)
        if not ready:
            matrices = list(self._matrices.values())
            self.background.start(matrices, self._seed, self._store, self._laid_out)

    def trust(self, plot: Map) -> float:
        """Return the trustworthiness of a map as it lies now, in [0, 1]."""
        key = (plot.name, self.placed)
        if key not in self._trust:
            matrix = self._matrices[plot.name]
            self._trust[key] = projection.trustworthiness(matrix, plot.places)
        return self._trust[key]

    def mark(self, places: np.ndarray) -> None:
        """Mark points as chosen on every map."""
        selection = np.asarray(places, dtype=np.uint32)
        for plot in self._quietly():
            plot.mark(selection)

    def show(self, places: np.ndarray | None) -> None:
        """Show these points alone on every map, all where None."""
        for plot in self._quietly():
            plot.show(places)

    def hover(self, place: int) -> None:
        """Highlight a point on every map."""
        picture = self._thumbnail(place)
        for plot in self._quietly():
            plot.hover(place, picture)

    def tie(self, start: int | None, ends: Sequence[int] = ()) -> None:
        """Draw a line on every map from a point to each of others; none where it is None."""
        for plot in self._maps:
            plot.tie(start or 0, [] if start is None else ends)

    def pin(self, place: int | None) -> None:
        """Draw a ring around a point, around none where it is None."""
        for plot in self._maps:
            plot.layer.pinned = place

    def draw_pictures(self, drawn: bool) -> None:
        """Draw thumbnails where a map is zoomed in, or none."""
        for plot in self._maps:
            plot.layer.pictures = drawn

    def _quietly(self) -> Iterator[Map]:
        """Yield every map; what it says meanwhile is no person's doing."""
        self._linking = True
        try:
            yield from self._maps
        finally:
            self._linking = False

    def _ready(self, method: str) -> bool:
        """Return whether maps are laid out at once."""
        every = list(self._matrices.values())
        return (
            method == "pca"
            or len(every[0]) < 4
            or all(
                projection.kept(matrix, method, seed=self._seed, store=self._store)
                for matrix in every
            )
        )

    def _laid_out(self, reason: str) -> None:
        if reason:
            self._failed(f"UMAP failed, so the map stays by PCA: {reason}")
        else:
            self._place("umap")

    def _place(self, method: str) -> None:
        """Put the points where a method puts them; the layout is in the store, or quick."""
        self.placed = method
        for number, (name, matrix) in enumerate(self._matrices.items()):
            at = projection.project(matrix, method, seed=self._seed, store=self._store)
            if number < len(self._maps):
                self._maps[number].move(at)
            else:
                self._maps.append(self._map(number, name, at))
        for plot in self._maps:
            plot.caption(self._trust.get((plot.name, method)), method)
        self._measuring = threading.Thread(target=self._measure, args=(method,), daemon=True)
        self._measuring.start()

    def _map(self, number: int, name: str, at: np.ndarray) -> Map:
        height = HEIGHTS[len(self._matrices)]
        plot = Map(
            self._table, name, at, self._thumbnail,
            column=self._column, palette=self._palette, height=height,
        )  # fmt: skip
        plot.scatter.observe(partial(self._chose, number), "selection")
        plot.scatter.observe(partial(self._hover, number), "hovering")
        return plot

    def _chose(self, number: int, change: Any) -> None:
        if not self._linking:
            self._chosen(number, change["new"])

    def _hover(self, number: int, change: Any) -> None:
        if not self._linking and change["new"] is not None and change["new"] >= 0:
            self._hovered(number, int(change["new"]))

    def _measure(self, method: str) -> None:
        """Measure how trustworthy the maps are, beside the kernel's own work."""
        for plot in list(self._maps):
            if self.placed == method:
                trust = self.trust(plot)
                self._soon(partial(self._measured, plot, trust, method))

    def _measured(self, plot: Map, trust: float, method: str) -> None:
        if self.placed == method:
            plot.caption(trust, method)
