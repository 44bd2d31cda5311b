"""A map of the Explorer: points of jupyter-scatter, and what is drawn over them."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import ipywidgets
import numpy as np
import traitlets

from workbench.widgets._page import render

if TYPE_CHECKING:
    import pandas as pd

CROWD = 2000
"""Points from which on they are drawn smaller."""
GROUNDS = {False: "#ffffff", True: "#181a1d"}
"""Behind the points, in a light and in a dark page; `_map.js` has them too."""
TIES = {False: "#444444", True: "#c8c8c8"}
CONTRAST = 3.0
"""Of a point's colour with what lies behind it, at least."""
TOOLS = ["pan_zoom", "lasso", "lasso_type", "lasso_brush_size", "divider", "download"]
TOOLTIP = ("picture of", "prompt", "outcome")
THUMBNAIL = 72
"""Pixels along the longer side of a picture that is drawn on the map."""
AT_ONCE = 64
"""Thumbnails a map may ask for at a time."""


class Layer(anywidget.AnyWidget):
    """What lies over a map: stars, rims, thumbnails where it is zoomed in, the keyboard's pointer.

    ``stars`` and ``wrong`` are places of test images, all and those with a rim; ``revision`` counts
    changes of the filter and the selection; ``dark`` is what the page is, told by the browser.
    """

    _esm = Path(__file__).with_name("_map.js")
    _css = Path(__file__).with_name("explorer.css")

    label = traitlets.Unicode().tag(sync=True)
    stars: Any = traitlets.List(traitlets.Int()).tag(sync=True)
    wrong: Any = traitlets.List(traitlets.Int()).tag(sync=True)
    revision = traitlets.Int(0).tag(sync=True)
    pictures = traitlets.Bool(True).tag(sync=True)
    pinned = traitlets.Int(None, allow_none=True).tag(sync=True)
    height = traitlets.Int(360).tag(sync=True)
    dark = traitlets.Bool(False).tag(sync=True)

    def __init__(self, thumbnail: Callable[[int], str | None], **traits: Any) -> None:
        super().__init__(**traits)
        self._thumbnail = thumbnail
        self.on_msg(self._asked)

    def _asked(self, _: Any, content: dict[str, Any], __: Any) -> None:
        """Send the thumbnails of places that have come into view."""
        if content.get("type") == "thumbnails":
            places = [int(place) for place in content["places"][:AT_ONCE]]
            pictures = {str(place): self._thumbnail(place) for place in places}
            self.send({"type": "thumbnails", "pictures": pictures})


class Map(ipywidgets.VBox):
    """A map of points, its stars and thumbnails, and how far it is to be trusted.

    Args:
        table: a row a point, of texts: ``kind`` and what is coloured by or told by a tooltip.
        name: of the space.
        places: (N, 2), where the points lie.
        thumbnail: place → data URI of its picture, None where there is none.
        column: of the colours.
        palette: class of the column → colour.
        height: of the map, in pixels.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        name: str,
        places: np.ndarray,
        thumbnail: Callable[[int], str | None],
        *,
        column: str,
        palette: Mapping[str, str],
        height: int = 360,
    ) -> None:
        import jscatter

        self.name, self.places = name, places
        dot = 4 if len(table) > CROWD else 6
        # All at once: messages that follow a new widget can come before the page listens to it.
        self._plot = jscatter.Scatter(
            data=table.assign(x=places[:, 0], y=places[:, 1], preview=""),
            x="x",
            y="y",
            height=height,
            color_by=column,
            color_map=dict(palette),
            size_by="kind",
            size_map={"test": dot + 2, "candidate": dot},
            opacity=0.75,
            background_color=GROUNDS[False],
            axes=False,
            camera_distance=1.15,  # the outermost points whole
            tooltip=True,
            tooltip_properties=list(TOOLTIP),
            tooltip_preview="preview",
            tooltip_preview_type="image",
            tooltip_preview_image_height=96,
            transition_points_duration=700,
            options={"deselectOnEscape": False},
        )
        self.scatter = self._plot.widget
        self.scatter.toolbar_buttons = TOOLS
        tests = table["kind"].to_numpy() == "test"
        wrong = tests & (table["outcome"].to_numpy() == "wrong")
        self._tests = tests
        self.layer = Layer(
            thumbnail,
            stars=np.flatnonzero(tests).tolist(),
            wrong=np.flatnonzero(wrong).tolist(),
            height=height,
        )
        self._trust = ipywidgets.HTML()
        super().__init__(children=[self.scatter, self.layer, self._trust])
        self.add_class("workbench-map")
        self.caption(None, "pca")

    def move(self, places: np.ndarray) -> None:
        """Put the points elsewhere; they glide there, filtered and chosen as they were."""
        self.places = places
        self.scatter.annotations = []
        self.scatter.prevent_filter_reset = True
        self._plot.xy(x=places[:, 0], y=places[:, 1], animate=True)

    def caption(self, trust: float | None, method: str) -> None:
        """Say below the map which layout it is, and how trustworthy (in [0, 1]; None: unknown)."""
        known = "being measured" if trust is None else f"{trust:.2f} of 1"
        text = (
            f"{self.name}, by {method.upper()}: trustworthiness {known}. "
            "Neighbours may be believed that far; distances, sizes and directions may not."
        )
        self._trust.value = render("explorer.html", text=text)
        count = len(self.places)
        self.layer.label = (
            f"Map of {count} pictures, {self.name}. Arrows go from point to point, with Shift they "
            "move the map; plus and minus zoom, 0 shows all; Enter opens a point, Space adds it."
        )

    def paint(self, column: str, palette: Mapping[str, str]) -> None:
        """Colour the points by a column of the table."""
        self.scatter.prevent_filter_reset = True
        self._plot.color(by=column, map=dict(palette))
        self.layer.revision += 1

    def ground(self, dark: bool) -> None:
        """Lay a light or a dark ground behind the points."""
        from matplotlib.colors import to_hex, to_rgba

        # One by one: jupyter-scatter's own `background` would also draw axes and a legend.
        light, deep = (1.0, 1.0, 1.0, 1.0), (0.2, 0.2, 0.2, 1.0)
        self.scatter.background_color = to_rgba(GROUNDS[dark])
        self.scatter.color_selected = self.scatter.color_hover = to_hex(light if dark else "black")
        self.scatter.reticle_color = (*(light if dark else (0.0, 0.0, 0.0))[:3], 0.15)
        self.scatter.tooltip_color = deep if dark else light

    def show(self, places: np.ndarray | None) -> None:
        """Show these points alone, all where None."""
        self._plot.filter(places)
        self.layer.revision += 1

    def mark(self, places: np.ndarray) -> None:
        """Mark points as chosen."""
        if not np.array_equal(self.scatter.selection, places):
            self.scatter.selection = places
        self.layer.revision += 1

    def hover(self, place: int, picture: str | None) -> None:
        """Highlight a point; its tooltip has this picture."""
        self.scatter.data.at[place, "preview"] = picture or ""  # before its tooltip asks
        if self.scatter.hovering != place:
            self.scatter.hovering = place

    def tie(self, start: int, ends: Sequence[int]) -> None:
        """Draw a line from a point to each of others."""
        from jscatter import Line

        at = self.scatter.points[:, :2]
        colour = TIES[self.layer.dark]
        self.scatter.annotations = [
            Line([at[start].tolist(), at[end].tolist()], line_color=colour, line_width=2)
            for end in ends
        ]

    def close(self) -> None:
        """Close what it is made of, too."""
        for part in self.children:
            part.close()
        super().close()


class ViewBar(anywidget.AnyWidget):
    """Buttons that act on the maps in the browser: views, full screen, pictures on the map."""

    _esm = Path(__file__).with_name("_viewbar.js")

    pictures = traitlets.Bool(True).tag(sync=True)
    maps = traitlets.Int(1).tag(sync=True)


def seen_on(colour: str, dark: bool) -> str:
    """Return a colour, so much lighter or darker that it is seen on the ground of a map.

    >>> seen_on("#0173B2", dark=False), seen_on("#000000", dark=True)
    ('#0173B2', '#666666')
    """
    from matplotlib.colors import to_hex, to_rgb

    ground = _luminance(to_rgb(GROUNDS[dark]))
    hue, light, saturation = colorsys.rgb_to_hls(*to_rgb(colour))
    rgb = to_rgb(colour)
    while _contrast(_luminance(rgb), ground) < CONTRAST and 0 <= light <= 1:
        light += 0.02 if dark else -0.02
        rgb = colorsys.hls_to_rgb(hue, min(max(light, 0), 1), saturation)
    return colour if rgb == to_rgb(colour) else to_hex(rgb)


def _luminance(rgb: Sequence[float]) -> float:
    """Return the relative luminance of an sRGB colour (WCAG 2)."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in rgb]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def _contrast(one: float, other: float) -> float:
    """Return the contrast of two luminances, from 1 to 21 (WCAG 2)."""
    dark, bright = sorted((one, other))
    return (bright + 0.05) / (dark + 0.05)
