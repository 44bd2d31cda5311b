"""The pictures of a run on a map: hover, lasso, and look at what was gathered."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np

from workbench import catalogue, figures, images, pipeline
from workbench.evaluation import projection
from workbench.store import StoreError
from workbench.store.store import Store
from workbench.widgets._page import Page, render, store_of, tables, thumbnail
from workbench.widgets.gallery import Gallery

if TYPE_CHECKING:
    import pandas as pd

NEAREST = 5
"""Candidate images that a test image is tied to."""
CROWD = 2000
"""Points from which on they are drawn smaller."""
UNKNOWN = "unknown"
TOLD = ("picture of", "prompt", "inverter", "similarity", "first place", "outcome")
BY = {"model": "generator", "inverter": "inverter", "outcome": "outcome"}
OUTCOMES = {"right": "#0072B2", "wrong": "#D55E00", "unknown": "#999999", "candidate": "#c8c8c8"}
GROUND = "#ffffff"
"""Behind the points, in both themes of JupyterLab: the colours of the models are made for it."""
TIE = "#444444"
HINT = (
    "Drag to move, scroll to zoom; press until the circle has closed, then drag, to lasso, or take "
    "the lasso beside the map. Choose in the gallery to see where a picture lies."
)


class Explorer(Page):
    """Walk through the space of one or two encoders: test images and their candidate images.

    A lasso on a map fills the gallery, what is chosen in the gallery is marked on the maps, and
    what is hovered on one side is hovered on the other. ``selection`` is the points chosen, a
    frame, and can be set. Below each map stands its trustworthiness: no more than that share of the
    neighbours it shows is to be believed.

    Args:
        result: an `attribution.Attribution`, or frames as `evaluate` answers them.
        encoders: one or two Encoders (layers count as encoders of their own); the one of the
            result's similarity when left out.
        store: where the pictures lie; the result's own, else the user's, when left out.
        size: side in pixels every picture goes to before it is encoded; the result's own where it
            has one.
        method: ``umap`` or ``pca``, see `projection.project`.
        seed: of the map.

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
    ) -> None:
        frames = tables(result, "images", "prompts", "candidates", "similarities")
        self._store = store_of(result, store)
        self._points = projection.points(frames)
        if self._points.empty:
            raise ValueError("there is nothing to show: no picture of this run could be opened")
        self._related = projection.related(frames)
        setting = getattr(result, "setting", None)
        size = getattr(getattr(setting, "attributor", None), "size", size)
        load = pipeline.pictures_of(frames["images"], self._store)
        ids = list(self._points["picture"])
        self._matrices = {
            repr(each): pipeline.encode(ids, each, self._store, size, pictures=load).rows(ids)
            for each in _encoders(encoders, frames)
        }
        self._seed, self._row = seed, {x: i for i, x in enumerate(self._points["picture"])}
        self._table = _told(self._points)
        self._chosen: np.ndarray = np.array([], dtype=int)
        self._linking = False
        self._by = ipywidgets.ToggleButtons(
            options=[name for name in BY if self._table[BY[name]].nunique() > 1] or ["model"],
            description="colour",
        )
        self._method = ipywidgets.ToggleButtons(
            options=list(projection.METHODS), value=method, description="map"
        )
        self._near = ipywidgets.Button(description=f"add {NEAREST} nearest", icon="link")
        self._clear = ipywidgets.Button(description="choose none", icon="times")
        self._folder = ipywidgets.Text(value="out/selection", description="export to")
        self._export = ipywidgets.Button(description="export", icon="download")
        self._legend, self._detail = ipywidgets.HTML(), ipywidgets.HTML()
        self._gallery = Gallery(
            self._store, label="pictures chosen on the map", empty="Nothing is chosen yet."
        )
        self._side = ipywidgets.HBox()
        self._gallery.observe(self._picked, "selected")
        self._gallery.observe(self._pointed, "hovered")
        self._by.observe(lambda _: self._colour(), "value")
        self._method.observe(lambda _: self._anew(), "value")
        self._near.on_click(lambda _: self._add_nearest())
        self._clear.on_click(lambda _: self._choose([]))
        self._export.on_click(lambda _: self._write())
        super().__init__(
            ipywidgets.HBox([self._by, self._method], layout={"flex_flow": "wrap"}),
            self._side,
            self._legend,
            ipywidgets.HBox([self._near, self._clear, self._folder, self._export]),
            self._detail,
            self._gallery,
        )
        self._anew()

    @property
    def selection(self) -> pd.DataFrame:
        """The points chosen, as of `projection.points`, with their places ``x`` and ``y``."""
        return self.points.iloc[self._chosen].reset_index(drop=True)

    @selection.setter
    def selection(self, chosen: Iterable[Any]) -> None:
        """Choose points by digest, by place in ``points``, or by a part of that frame."""
        wanted: Any = chosen
        if hasattr(wanted, "columns"):
            wanted = wanted["picture"]
        places = []
        for each in wanted:
            place = self._row.get(each, -1) if isinstance(each, str) else int(each)
            if not 0 <= place < len(self._points):
                raise ValueError(
                    f"no point {each!r}: a point is the digest of a picture of this run, or a "
                    f"number from 0 to {len(self._points) - 1}"
                )
            places.append(place)
        self._choose(places)

    @property
    def points(self) -> pd.DataFrame:
        """All points of the first map, with ``x`` and ``y``."""
        places = self._places[0]
        return self._points.assign(x=places[:, 0], y=places[:, 1])

    def export(self, folder: str | Path) -> Path:
        """Write the points chosen (all where none is): a table, their pictures, and Parquet.

        ``points.csv`` is the frame, ``pictures/`` holds a PNG each, and ``points.parquet`` has x,
        y, neighbors and image{bytes, path}, the columns that Embedding Atlas reads.

        Raises:
            OSError: they cannot be written.
            StoreError: the store has a picture no longer.
        """
        table = self.points if not len(self._chosen) else self.selection
        folder = Path(folder)
        (folder / "pictures").mkdir(parents=True, exist_ok=True)
        table.to_csv(folder / "points.csv", index=False)
        data = [images.png_bytes(self._store.picture(name)) for name in table["picture"]]
        for name, png in zip(table["picture"], data, strict=True):
            (folder / "pictures" / f"{name}.png").write_bytes(png)
        rows = [self._row[name] for name in table["picture"]]
        matrix = next(iter(self._matrices.values()))[rows]
        table["neighbors"] = _neighbours(matrix)
        table["image"] = [
            {"bytes": png, "path": f"pictures/{name}.png"}
            for name, png in zip(table["picture"], data, strict=True)
        ]
        table.to_parquet(folder / "points.parquet", index=False)
        return folder

    def still(self) -> str:
        """Draw the maps as a picture, for where no kernel runs."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.6 * len(self._maps), 4.4), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(self._maps)))
        for ax, name, at, trust in zip(
            axes, self._matrices, self._places, self._trust, strict=True
        ):
            by = BY[self._by.value]
            figures.space(self._points, at, by=by, trust=trust, title=name, ax=ax)
        made = io.BytesIO()
        figure.savefig(made, format="png", dpi=80)
        uri = "data:image/png;base64," + base64.b64encode(made.getvalue()).decode("ascii")
        return render("explorer.html", uri=uri, chosen=len(self._chosen))

    def _map(self, places: np.ndarray) -> Any:
        """Make a map of the points at (N, 2) places."""
        import jscatter

        table = self._table.assign(x=places[:, 0], y=places[:, 1], preview="")
        plot = jscatter.Scatter(data=table, x="x", y="y", height=360)
        view = plot.widget  # made first: what is set before it is lost on it
        plot.background(GROUND)
        plot.axes(False)
        plot.camera(distance=1.15)  # the outermost points whole
        plot.size(
            by="kind",
            map={"test": 9, "candidate": 4} if len(table) > CROWD else {"test": 11, "candidate": 6},
        )
        plot.opacity(0.75)
        plot.tooltip(
            enable=True,
            properties=list(TOLD),
            preview="preview",
            preview_type="image",
            preview_image_height=96,
        )
        view.observe(self._lassoed, "selection")
        view.observe(self._hovered, "hovering")
        return plot

    def _anew(self) -> None:
        """Lay the points out anew, and say so: a first UMAP takes its time."""
        self._detail.value = _sentence("The points are being laid out …")
        self._project()
        self._detail.value = _sentence(HINT)

    def _project(self) -> None:
        """Lay the points out anew."""
        self._places = [
            projection.project(matrix, self._method.value, seed=self._seed, store=self._store)
            for matrix in self._matrices.values()
        ]
        self._trust = [
            projection.trustworthiness(matrix, at)
            for matrix, at in zip(self._matrices.values(), self._places, strict=True)
        ]
        self._maps = [self._map(at) for at in self._places]
        columns = []
        for plot, name, trust in zip(self._maps, self._matrices, self._trust, strict=True):
            text = (
                f"{name}: trustworthiness {trust:.2f} of 1. Neighbours may be believed that far; "
                "distances, sizes and directions may not."
            )
            parts = [plot.widget, ipywidgets.HTML(_sentence(text))]
            columns.append(ipywidgets.VBox(parts, layout={"flex": "1 1 0", "min_width": "0"}))
        self._colour()
        self._mark(self._chosen)
        self._side.children = columns  # last: a map that is shown meanwhile would miss its colours

    def _colour(self) -> None:
        column = BY[self._by.value]
        palette = self._palette(column)
        for plot in self._maps:
            plot.color(by=column, map=palette)
        self._tell()

    def _palette(self, column: str) -> dict[str, str]:
        names = sorted(self._table[column].unique())
        if column == "outcome":
            return {name: OUTCOMES[name] for name in names}
        known = [name for name in names if name != UNKNOWN]
        return figures.colours(known) | ({UNKNOWN: "#000000"} if UNKNOWN in names else {})

    def _lassoed(self, change: Any) -> None:
        if not self._linking:
            self._choose(change["new"])

    def _choose(self, places: Sequence[int] | np.ndarray) -> None:
        """Choose points, on every map and in the gallery."""
        self._chosen = np.unique(np.asarray(places, dtype=int))
        self._mark(self._chosen)
        rows = self._table.iloc[self._chosen]
        palette = self._palette(BY[self._by.value])
        self._gallery.show(
            self._points["picture"].iloc[self._chosen].tolist(),
            rows["caption"].tolist(),
            rows[BY[self._by.value]].map(palette).tolist(),
        )
        self._tell()

    def _mark(self, places: Sequence[int] | np.ndarray) -> None:
        wanted = np.asarray(places, dtype=np.uint32)
        self._linking = True
        try:
            for plot in self._maps:
                if not np.array_equal(plot.widget.selection, wanted):
                    plot.widget.selection = wanted
        finally:
            self._linking = False

    def _picked(self, change: Any) -> None:
        """Mark on the maps what is chosen in the gallery, or all of it where nothing is."""
        places = [self._row[name] for name in change["new"]]
        self._mark(places or self._chosen)

    def _hovered(self, change: Any) -> None:
        if not self._linking and change["new"] is not None and change["new"] >= 0:
            self._point(int(change["new"]))

    def _pointed(self, change: Any) -> None:
        if change["new"] is not None and change["new"] in self._row:
            self._point(self._row[change["new"]])

    def _point(self, place: int) -> None:
        """Hover a point everywhere, and tell of it."""
        row, name = self._table.iloc[place], self._points["picture"].iat[place]
        picture = thumbnail(self._store, name)
        self._linking = True
        try:
            for plot in self._maps:
                plot.widget.data.at[place, "preview"] = picture or ""  # before its tooltip asks
                if plot.widget.hovering != place:
                    plot.widget.hovering = place
        finally:
            self._linking = False
        near = self._nearest(place)
        self._tie(self._points["image_id"].iat[place], near["picture"])
        self._detail.value = render(
            "explorer.html",
            point=row.to_dict(),
            picture=picture,
            told=TOLD,
            near=[
                {"uri": thumbnail(self._store, each.picture), "name": each.generator,
                 "value": each.similarity}
                for each in near.itertuples()
            ],
        )  # fmt: skip

    def _tie(self, test: str, near: Iterable[str]) -> None:
        """Draw a line on every map from a test image to each of its nearest candidate images."""
        from jscatter import Line

        ends = [self._row[name] for name in near if name in self._row]
        for plot in self._maps:
            at = plot.widget.points[:, :2].tolist()
            plot.widget.annotations = [
                Line([at[self._row[test]], at[end]], line_color=TIE, line_width=2) for end in ends
            ]

    def _nearest(self, place: int) -> pd.DataFrame:
        """Return the nearest candidate images of a test image; of a candidate image, its own."""
        point = self._points.iloc[place]
        near = self._related[self._related["image_id"] == point["image_id"]]
        return near.nlargest(NEAREST, "similarity")

    def _add_nearest(self) -> None:
        tests = [place for place in self._chosen if self._points["kind"].iat[place] == "test"]
        near = [name for place in tests for name in self._nearest(place)["picture"]]
        self._choose([*self._chosen, *(self._row[name] for name in near if name in self._row)])

    def _tell(self) -> None:
        """Count the legend anew: of the points chosen, of all where none is."""
        column = BY[self._by.value]
        some = self._table if not len(self._chosen) else self._table.iloc[self._chosen]
        counts = some[column].value_counts()
        palette = self._palette(column)
        self._legend.value = render(
            "explorer.html",
            legend=[(name, colour, int(counts.get(name, 0))) for name, colour in palette.items()],
            chosen=len(self._chosen),
            total=len(self._table),
        )

    def _write(self) -> None:
        try:
            text = f"Written to {self.export(self._folder.value)}."
        except (OSError, StoreError) as error:
            text = f"Not written: {error}."
        self._detail.value = _sentence(text)


def _encoders(given: Any, frames: Any) -> list[Any]:
    """Settle the encoders: those given, or the one of the first similarity in the frames."""
    if given is not None:
        found = list(given) if isinstance(given, (list, tuple)) else [given]
        if not 1 <= len(found) <= 2:
            raise ValueError(f"one or two encoders are shown side by side; seen {len(found)}")
        return found
    name = str(frames["similarities"]["similarity"].iloc[0])
    try:
        return [catalogue.parse(name).encoder]
    except (AttributeError, LookupError, ValueError):
        raise ValueError(
            f"the similarity {name} has no encoder of its own: say which by encoders=…"
        ) from None


def _told(points: pd.DataFrame) -> pd.DataFrame:
    """Put points into the words of a tooltip; every cell is text."""
    tests = points["kind"] == "test"
    model = points["generator"].astype(object).where(points["generator"].notna(), UNKNOWN)
    similar = points["similarity"].map("{:.4f}".format).where(points["similarity"].notna(), "–")
    text = {
        "kind": points["kind"],
        "generator": model,
        "picture of": model.where(~tests, "the test image, by " + model.astype(str)),
        "prompt": points["prompt"],
        "inverter": points["inverter"],
        "similarity": similar,
        "first place": points["predicted"],
        "outcome": points["outcome"].astype(object).where(tests, "candidate"),
        "caption": model + ", " + similar.astype(object).where(~tests, "the test image"),
    }
    import pandas as pd

    table = pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in text.items()})
    return table.fillna("–").astype(str)


def _neighbours(matrix: np.ndarray) -> list[dict[str, list[Any]]]:
    """Return the nearest rows of each, itself left out, as Embedding Atlas reads them."""
    from sklearn.neighbors import NearestNeighbors

    count = min(NEAREST, len(matrix) - 1)
    if count < 1:
        return [{"ids": [], "distances": []} for _ in matrix]
    far, near = NearestNeighbors(n_neighbors=count).fit(matrix).kneighbors()
    return [
        {"ids": ids.tolist(), "distances": gaps.tolist()}
        for ids, gaps in zip(near, far, strict=True)
    ]


def _sentence(text: str) -> str:
    return render("explorer.html", text=text)
