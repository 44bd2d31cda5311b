"""Explorer: the pictures of a run on maps, to be filtered, searched, chosen, compared, tagged.

The rooms: `_maps` (their layout; `_map`: one map and what lies on it; `_umap`: in the background),
`_legend`, `_filters`, `_search`, `_detail` (a picture beside its test image, by `_difference`),
`gallery`, `_table`, `_tags`, `_export`, `_points` (what is told of a point). Here they are tied.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np

from workbench import pipeline
from workbench.evaluation import projection
from workbench.store import StoreError
from workbench.store.store import Store
from workbench.text import first_line
from workbench.widgets import _points, _search
from workbench.widgets._controls import button, choice, row
from workbench.widgets._detail import Detail
from workbench.widgets._export import drawn, written
from workbench.widgets._filters import Filters
from workbench.widgets._legend import Legend
from workbench.widgets._map import THUMBNAIL, ViewBar
from workbench.widgets._maps import Maps
from workbench.widgets._page import Page, render, still, store_of, tables, thumbnail
from workbench.widgets._points import BY, NEAREST, TOLD, Points, encoders_of
from workbench.widgets._table import Table
from workbench.widgets._tags import Tags
from workbench.widgets._umap import in_turn
from workbench.widgets.gallery import SHOWN, Gallery

if TYPE_CHECKING:
    import pandas as pd

KIN = 8
"""Nearest pictures shown of one that was clicked."""


class Explorer(Page):
    """Walk through the space of one or two encoders: test images and their candidate images.

    A lasso on a map fills the gallery and leads the table; a click opens a picture beside its test
    image, with their difference and its neighbours; what is chosen or hovered on one side is so on
    the other. ``selection`` is the points chosen, a frame, and can be set, as ``filters`` can;
    ``tags`` is a frame of what was tagged. Below each map stands its trustworthiness, 1 where every
    neighbour that it shows is one in the space.

    A first UMAP is laid out in the background, with PCA meanwhile; ``wait`` waits for it.

    Args:
        result: an `attribution.Attribution`, or frames as `evaluate` answers them.
        encoders: one or two Encoders (layers count as encoders of their own); the one of the
            result's similarity when left out.
        store: where the pictures lie; the result's own, else the user's, when left out.
        size: side in pixels every picture goes to before it is encoded; the result's own where it
            has one.
        method: ``umap`` or ``pca``, see `projection.project`.
        seed: of the map.
        tags: tags to begin with, as ``tags`` answers them.

    Raises:
        ValueError: the frames are absent or empty, or no encoder is known.
        LookupError: the weights of an encoder are missing.
    """

    def __init__(
        self,
        result: Any,
        *,
        encoders: Any = None,
        store: Store | None = None,
        size: int = 64,
        method: str = "umap",
        seed: int = 0,
        tags: pd.DataFrame | None = None,
    ) -> None:
        frames = tables(result, "images", "prompts", "candidates", "similarities")
        self._store, self._seed = store_of(result, store), seed
        self._points = Points(frames)
        setting = getattr(result, "setting", None)
        size = getattr(getattr(setting, "attributor", None), "size", size)
        load = pipeline.pictures_of(frames["images"], self._store)
        ids = self._points.ids
        self._encoders = encoders_of(encoders, frames)
        self._matrices = {
            repr(encoder): pipeline.encode(ids, encoder, self._store, size, pictures=load).rows(ids)
            for encoder in self._encoders
        }
        self._table = self._points.texts
        self._tags = Tags(tags)
        self._chosen: np.ndarray = np.array([], dtype=int)
        self._shown = np.ones(len(self._points.ids), dtype=bool)
        self._pinned: int | None = None
        self._dark, self._active, self._soon = False, 0, in_turn()
        self._make(method)
        self._maps.lay_out(method)
        for plot in self._maps:
            plot.layer.observe(self._grounded, "dark")
        self._tell()
        super().__init__(*self._parts())
        self.add_class("workbench-explorer")

    # What can be read and set

    @property
    def selection(self) -> pd.DataFrame:
        """The points chosen, as of `projection.points`, with their places ``x`` and ``y``."""
        return self.points.iloc[self._chosen].reset_index(drop=True)

    @selection.setter
    def selection(self, chosen: Iterable[Any]) -> None:
        """Choose points by digest, by place in ``points``, or by a part of that frame."""
        self._choose(self._points.places(chosen))

    @property
    def points(self) -> pd.DataFrame:
        """All points of the first map, with ``x`` and ``y`` and their ``tags``."""
        places = self._maps[0].places
        return self._points.frame.assign(
            x=places[:, 0], y=places[:, 1], tags=self._tags.of(self._points.ids)
        )

    @property
    def tags(self) -> pd.DataFrame:
        """What was tagged: ``picture`` (a digest) and ``tag``, a row each."""
        return self._tags.frame

    @property
    def filters(self) -> dict[str, Any]:
        """The filters set: column → (lowest, highest), a list of values, or words of a text.

        >>> explorer.filters = {"outcome": ["wrong"], "margin": (0, 0.1)}  # doctest: +SKIP
        """
        return self._filters.value

    @filters.setter
    def filters(self, wanted: Mapping[str, Any]) -> None:
        """Set other filters; of points that do not meet them none is chosen."""
        self._filters.set(wanted)

    def tag(self, tag: str, pictures: Iterable[Any] | None = None) -> None:
        """Give a tag to points, those chosen when left out; ValueError where it is empty."""
        self._tags.add(self._named(pictures), tag)
        self._retag()

    def untag(self, tag: str, pictures: Iterable[Any] | None = None) -> None:
        """Take a tag from points, from those chosen when left out."""
        self._tags.drop(self._named(pictures), tag)
        self._retag()

    def search(self, text: str) -> pd.DataFrame:
        """Choose the pictures whose prompts are nearest to a text, and return these prompts.

        By the text tower of an encoder where one is at hand, by shared words otherwise.

        Returns:
            frame with ``prompt`` and ``similarity``, the nearest first, at most five.
        """
        prompts, how = _search.nearest(self._points.prompts, text, self._encoders, self._store)
        self._answer(text, prompts, how)
        return prompts

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the maps are laid out, or for so many seconds."""
        self._maps.background.wait(seconds)

    def close(self) -> None:
        """Close the widget, and cancel a layout in the making."""
        self._maps.background.cancel()
        super().close()

    def export(self, folder: str | Path) -> Path:
        """Write the points chosen (all where none is): a table, their pictures, and Parquet.

        ``points.csv`` is the frame, ``tags.csv`` what was tagged, ``pictures/`` holds a PNG each,
        and ``points.parquet`` has x, y, neighbors and image{bytes, path}, the columns that
        Embedding Atlas reads.

        Raises:
            OSError: they cannot be written.
            StoreError: the store has a picture no longer.
        """
        chosen = self.points if not len(self._chosen) else self.selection
        matrix = next(iter(self._matrices.values()))
        return written(
            Path(folder), chosen, self.tags, matrix[self._points.places(chosen)], self._store
        )

    def still(self) -> str:
        """Return the maps as HTML with a picture, for where no kernel runs."""
        maps = [(plot.name, plot.places, self._maps.trust(plot)) for plot in self._maps]
        shown = drawn(self._points.frame, maps, BY[self._by.value])
        return still("explorer", **shown, chosen=len(self._chosen))

    # What it is made of

    def _make(self, method: str) -> None:
        """Make the controls."""
        names = [name for name in BY if self._table[BY[name]].nunique() > 1] or ["model"]
        self._by = choice("colour", names, names[0])
        self._method = choice("map", projection.METHODS, method)
        self._maps = Maps(
            self._table, self._matrices, self._store, seed=self._seed, thumbnail=self._small,
            column=BY[self._by.value], palette=self._palette(), chosen=self._lassoed,
            hovered=self._hovered, failed=self._say,
        )  # fmt: skip
        self._maps.background.stopped = lambda: setattr(self._method, "value", "pca")
        self._query = ipywidgets.Text(
            placeholder="search the prompts, then Enter", continuous_update=False
        )
        tags = self._tags.of(self._points.ids)
        self._filters = Filters(_points.facts(self._points.frame, tags), self._sift)
        self._legend, self._bar = Legend(), ViewBar(maps=len(self._matrices))
        self._message = ipywidgets.HTML()
        self._detail = Detail(self._store, TOLD, self._open)
        self._gallery = Gallery(
            self._store, label="pictures chosen on the map", empty="Nothing is chosen yet."
        )
        self._rows = Table(_points.rows(self._points.frame, tags), self._open)
        self._tabs = ipywidgets.Tab([self._gallery, self._rows], titles=["gallery", "table"])
        self._tag = ipywidgets.Text(placeholder="a tag", layout={"width": "130px"})
        self._folder = ipywidgets.Text(value="out/selection", layout={"width": "150px"})
        self._by.observe(lambda _: self._recolour(), "value")
        self._method.observe(lambda change: self._maps.lay_out(change["new"]), "value")
        self._query.observe(lambda change: self._ask(change["new"]), "value")
        self._legend.observe(lambda _: self._sift(), "hidden")
        self._gallery.observe(self._picked, "selected")
        self._gallery.observe(self._pointed, "hovered")
        self._tabs.observe(lambda _: self._fill_table(), "selected_index")
        self._bar.observe(lambda change: self._maps.draw_pictures(change["new"]), "pictures")

    def _parts(self) -> list[ipywidgets.Widget]:
        """Return the parts in the order they are shown."""
        actions = [
            button(f"add {NEAREST} nearest", "link", self._add_nearest),
            button("choose none", "times", lambda: self._lassoed(self._active, [])),
            self._tag,
            button("tag", "tag", lambda: self._tagged(self.tag)),
            button("untag", "ban", lambda: self._tagged(self.untag)),
            self._folder,
            button("export", "download", self._write),
        ]
        stage = ipywidgets.Box([*self._maps, self._detail])
        stage.add_class("workbench-stage").add_class(f"maps-{len(self._maps)}")
        return [
            row(self._by, self._method, self._maps.background),
            row(self._query, self._filters),
            self._legend,
            self._bar,
            stage,
            row(*actions),
            self._message,
            self._tabs,
        ]

    # Colours and filters

    def _palette(self) -> dict[str, str]:
        return self._points.palette(BY[self._by.value], self._dark)

    def _colour(self) -> None:
        for plot in self._maps:
            plot.paint(BY[self._by.value], self._palette())
        self._tell()

    def _recolour(self) -> None:
        """Colour by another column; all its classes are shown."""
        self._legend.hidden = []
        self._colour()
        self._choose(self._chosen)

    def _grounded(self, change: Any) -> None:
        """Lay the ground that the page has, told by the browser."""
        if change["new"] != self._dark:
            self._dark = change["new"]
            for plot in self._maps:
                plot.ground(self._dark)
            self._colour()

    def _sift(self) -> None:
        """Show the points that meet the filters and whose class is shown."""
        column = self._table[BY[self._by.value]]
        self._shown = self._filters.mask() & ~column.isin(self._legend.hidden).to_numpy()
        self._maps.show(None if self._shown.all() else np.flatnonzero(self._shown))
        self._choose(self._chosen)

    # What is chosen

    def _lassoed(self, number: int, places: Any) -> None:
        """Take what was chosen on a map; one point alone is opened, too."""
        self._active = number
        self._choose(places)
        self._pin(int(places[0]) if len(places) == 1 else None)

    def _choose(self, places: Sequence[int] | np.ndarray) -> None:
        """Choose points, of those that are shown, on every map, in the gallery and the table."""
        chosen = np.unique(np.asarray(places, dtype=int))
        self._chosen = chosen[self._shown[chosen]]
        some = self._chosen[:SHOWN]
        rows = self._table.iloc[some]
        self._gallery.show(
            [self._points.ids[place] for place in some],
            rows["caption"].tolist(),
            rows[BY[self._by.value]].map(self._palette()).tolist(),
            more=len(self._chosen) - len(some),
        )
        self._maps.mark(self._chosen)
        self._tell()
        self._fill_table()

    def _picked(self, change: Any) -> None:
        """Mark on the maps what is chosen in the gallery, all of it where nothing is; open it."""
        places = [self._points.row[name] for name in change["new"]]
        self._maps.mark(np.asarray(places or self._chosen))
        self._pin(places[-1] if places else None)

    def _fill_table(self) -> None:
        """Show in the table what is chosen, once somebody looks at it."""
        if self._tabs.selected_index == 1:
            chosen = np.zeros(len(self._points.ids), dtype=bool)
            chosen[self._chosen] = True
            self._rows.show(chosen, self._shown)

    def _tell(self) -> None:
        """Update the counts of the legend: of the chosen points, or of all shown."""
        column = self._table[BY[self._by.value]]
        count = len(self._chosen)
        some = column.iloc[self._chosen] if count else column[self._shown]
        counts = some.value_counts()
        palette = self._palette()
        entries = [(name, colour, int(counts.get(name, 0))) for name, colour in palette.items()]
        total, shown = len(column), int(self._shown.sum())
        words = f"of the {count} chosen" if count else f"of all {total} pictures"
        if shown < total:
            words += f"; {total - shown} hidden by the filters"
        self._legend.show(entries, f"{words}. {self._points.stars}")

    # What is looked at

    def _hovered(self, number: int, place: int) -> None:
        self._active = number
        self._point(place)

    def _pointed(self, change: Any) -> None:
        if change["new"] is not None and change["new"] in self._points.row:
            self._point(self._points.row[change["new"]])

    def _point(self, place: int) -> None:
        """Highlight a point on every map; where none is pinned, show its details."""
        self._maps.hover(place)
        if self._pinned is not None:
            return
        self._maps.tie(*self._points.rivals(place))
        near = self._points.candidates(place)[["picture", "generator", "similarity"]]
        rows = list(near.itertuples(index=False, name=None))
        self._detail.hover(self._table.iloc[place].to_dict(), self._points.ids[place], rows)

    def _open(self, picture: str) -> None:
        self._pin(self._points.row[picture])

    def _pin(self, place: int | None) -> None:
        """Open a picture beside the one it is compared with, and its neighbours in the space."""
        self._pinned = place
        self._maps.pin(place)
        if place is None:
            self._maps.tie(None)
            self._detail.clear()
            return
        self._maps.tie(*self._points.rivals(place))
        name, matrix = list(self._matrices.items())[self._active]
        kin, cosines = _points.nearest(matrix, place, KIN)
        rows = self._table.iloc[kin]
        captions = [
            f"{'★ ' * (kind == 'test')}{model}, {cosine:.3f}"
            for kind, model, cosine in zip(rows["kind"], rows["generator"], cosines, strict=True)
        ]
        words = f"nearest pictures in {name}, by cosine; click one to open it"
        colours = rows[BY[self._by.value]].map(self._palette()).tolist()
        near = ([self._points.ids[each] for each in kin], captions, colours, words)
        point, picture = self._table.iloc[place].to_dict(), self._points.ids[place]
        self._detail.pin(point, picture, self._points.other(place), near)

    def _add_nearest(self) -> None:
        tests = [place for place in self._chosen if self._points.tests[place]]
        near = [end for place in tests for end in self._points.rivals(place)[1]]
        self._choose([*self._chosen, *near])

    def _small(self, place: int) -> str | None:
        return thumbnail(self._store, self._points.ids[place], THUMBNAIL)

    # Search, tags, export

    def _ask(self, text: str) -> None:
        """Search beside the kernel's own work: a text tower may take its time."""
        if text.strip():
            self._say(f"Searching for “{text}” …")
            threading.Thread(target=self._look, args=(text,), daemon=True).start()

    def _look(self, text: str) -> None:
        try:
            answer = _search.nearest(self._points.prompts, text, self._encoders, self._store)
            self._soon(partial(self._answer, text, *answer))
        except Exception as error:  # a thread that ended without a word would look alive for ever
            self._soon(partial(self._say, f"Not searched: {first_line(error)}."))

    def _answer(self, text: str, prompts: pd.DataFrame, how: str) -> None:
        """Choose the pictures of the prompts found, and say which these are."""
        self._choose(np.flatnonzero(self._points.frame["prompt"].isin(prompts["prompt"])))
        self._pin(None)
        self._say(_search.sentence(text, prompts, how))

    def _named(self, pictures: Iterable[Any] | None) -> list[str]:
        places = self._chosen if pictures is None else self._points.places(pictures)
        return [self._points.ids[place] for place in places]

    def _tagged(self, act: Any) -> None:
        """Tag or untag what is chosen in the gallery, or all that is chosen."""
        pictures = self._gallery.selected or self._named(None)
        try:
            act(self._tag.value, pictures)
            self._say(f"Tags: {', '.join(self._tags.words) or 'none'}; {len(self.tags)} given.")
        except ValueError as error:
            self._say(f"Not tagged: {first_line(error)}.")

    def _retag(self) -> None:
        tags = self._tags.of(self._points.ids)
        self._filters.refresh("tags", tags)
        self._rows.refresh("tags", tags)

    def _write(self) -> None:
        try:
            self._say(f"Written to {self.export(self._folder.value)}.")
        except (OSError, StoreError) as error:
            self._say(f"Not written: {error}.")

    def _say(self, text: str) -> None:
        self._message.value = render("explorer.html", text=text)
