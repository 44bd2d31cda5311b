"""What the Explorer tells of its points: texts, facts to filter by, colours, neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import catalogue, figures
from workbench.evaluation import projection
from workbench.widgets._map import seen_on

if TYPE_CHECKING:
    import pandas as pd

NEAREST = 5
"""Pictures told as the nearest of one."""
UNKNOWN = "unknown"
TOLD = ("picture of", "prompt", "inverter", "similarity", "first place", "outcome", "margin")
BY = {"model": "generator", "inverter": "inverter", "outcome": "outcome"}
OUTCOMES = {"right": "#0072B2", "wrong": "#D55E00", "unknown": "#999999", "candidate": "#c8c8c8"}
FACTS = {
    "kind": "kind", "model": "generator", "prompt": "prompt", "outcome": "outcome",
    "margin": "margin", "similarity": "similarity", "first place": "predicted",
    "inverter": "inverter", "index": "index", "path": "path",
}  # fmt: skip
"""What a column is called by those who filter."""
OF_TEST = ("outcome", "margin", "predicted")
"""Columns of test images, which their candidate images share in a filter."""


class Points:
    """The points of a run: a row each, what is told of them, and the pairs they were compared in.

    Args:
        frames: of the run, see `projection.points`.

    Raises:
        ValueError: no picture of the run could be opened, or a frame is absent.
    """

    def __init__(self, frames: Mapping[str, pd.DataFrame]) -> None:
        self.frame = projection.points(frames)
        if self.frame.empty:
            raise ValueError("there is nothing to show: no picture of this run could be opened")
        self._related = projection.related(frames)
        self.ids: list[str] = list(self.frame["picture"])
        self.row = {picture: place for place, picture in enumerate(self.ids)}
        self.texts = texts(self.frame)
        self._palettes: dict[tuple[str, bool], dict[str, str]] = {}
        self.tests = self.frame["kind"].to_numpy() == "test"
        self.prompts = list(dict.fromkeys(self.frame["prompt"].dropna()))
        wrong = int(self.frame["outcome"].eq("wrong").sum())
        self.stars = f"★ {self.tests.sum()} test images" + (
            f", {wrong} with a rim: attributed wrongly" if wrong else ""
        )

    def __len__(self) -> int:
        """Count the points."""
        return len(self.ids)

    def places(self, points: Any) -> list[int]:
        """Return places by digest, by number, or by a frame of points; ValueError for others."""
        if hasattr(points, "columns"):
            points = points["picture"]
        places = []
        for point in points:
            place = self.row.get(point, -1) if isinstance(point, str) else int(point)
            if not 0 <= place < len(self.ids):
                raise ValueError(
                    f"no point {point!r}: a point is the digest of a picture of this run, or a "
                    f"number from 0 to {len(self.ids) - 1}"
                )
            places.append(place)
        return places

    def palette(self, column: str, dark: bool) -> dict[str, str]:
        """Return the colour of each class of a column, seen on a light or on a dark map."""
        if (column, dark) not in self._palettes:
            self._palettes[column, dark] = palette(self.texts, column, dark)
        return self._palettes[column, dark]

    def candidates(self, place: int) -> pd.DataFrame:
        """Return the nearest candidate images of a test image; of a candidate image, its own."""
        image = self.frame["image_id"].iat[place]
        near = self._related[self._related["image_id"] == image]
        return near.nlargest(NEAREST, "similarity")

    def rivals(self, place: int) -> tuple[int | None, list[int]]:
        """Return the places of a point's test image and of the candidate images nearest to it."""
        near = self.candidates(place)["picture"]
        ends = [self.row[name] for name in near if name in self.row]
        return self.row.get(self.frame["image_id"].iat[place]), ends

    def other(self, place: int) -> str | None:
        """Return what a picture is compared with, a digest: None where there is nothing.

        Of a candidate image its test image, of a test image its nearest candidate image.
        """
        if not self.tests[place]:
            return str(self.frame["image_id"].iat[place])
        near = self.candidates(place)["picture"]
        return near.iloc[0] if len(near) else None


def texts(points: pd.DataFrame) -> pd.DataFrame:
    """Return points in the words of a tooltip; every cell is text.

    Args:
        points: as of `projection.points`.
    """
    import pandas as pd

    tests = points["kind"] == "test"
    model = points["generator"].astype(object).where(points["generator"].notna(), UNKNOWN)
    similar = points["similarity"].map("{:.4f}".format).where(points["similarity"].notna(), "–")
    margin = points["margin"].map("{:.4f}".format).where(points["margin"].notna(), "–")
    text = {
        "kind": points["kind"],
        "generator": model,
        "picture of": model.where(~tests, "the test image, by " + model.astype(str)),
        "prompt": points["prompt"],
        "inverter": points["inverter"],
        "similarity": similar,
        "first place": points["predicted"],
        "outcome": points["outcome"].astype(object).where(tests, "candidate"),
        "margin": margin,
        "caption": model + ", " + similar.astype(object).where(~tests, "the test image"),
    }
    table = pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in text.items()})
    return table.fillna("–").astype(str)


def facts(points: pd.DataFrame, tags: list[str]) -> pd.DataFrame:
    """Return what points can be filtered by, one column each; those without a value are left out.

    A candidate image has the outcome, the margin and the first place of its test image, so that a
    filter on them keeps a test image together with its candidates.

    Args:
        points: as of `projection.points`.
        tags: of each point.
    """
    import pandas as pd

    tests = points[points["kind"] == "test"].drop_duplicates("image_id").set_index("image_id")
    table = {}
    for name, column in FACTS.items():
        values = points["image_id"].map(tests[column]) if column in OF_TEST else points[column]
        if values.notna().any():
            table[name] = values.reset_index(drop=True)
    return pd.DataFrame(table).assign(tags=tags)


def rows(points: pd.DataFrame, tags: list[str]) -> pd.DataFrame:
    """Return what the table shows of points, and ``picture``.

    Args:
        points: as of `projection.points`.
        tags: of each point.
    """
    columns = ["kind", "generator", "prompt", "inverter", "similarity", "predicted", "outcome"]
    table = points[["picture", *columns, "margin"]].assign(tags=tags)
    return table.rename(columns={"generator": "model", "predicted": "first place"})


def palette(table: pd.DataFrame, column: str, dark: bool) -> dict[str, str]:
    """Return the colour of each class of a column, seen on a light or on a dark map.

    Args:
        table: as of `texts`.
        column: ``generator``, ``inverter`` or ``outcome``.
        dark: whether the map is.
    """
    names = sorted(table[column].unique())
    if column == "outcome":
        return {name: OUTCOMES[name] for name in names}
    known = [name for name in names if name != UNKNOWN]
    colours = {name: seen_on(colour, dark) for name, colour in figures.colours(known).items()}
    return colours | ({UNKNOWN: "#ffffff" if dark else "#000000"} if UNKNOWN in names else {})


def nearest(matrix: np.ndarray, place: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest rows of one in a space, itself left out, and their cosines.

    Args:
        matrix: (N, D) rows.
        place: of the row.
        count: how many, at most.
    """
    own = matrix[place]
    lengths = np.linalg.norm(matrix, axis=1) * np.linalg.norm(own)
    cosines = (matrix @ own) / np.maximum(lengths, np.finfo(np.float32).tiny)
    ranked = cosines.copy()
    ranked[place] = -np.inf
    count = min(count, len(matrix) - 1)
    some = np.argpartition(-ranked, count - 1)[:count] if count else np.array([], dtype=int)
    some = some[np.argsort(-ranked[some], kind="stable")]
    return some, cosines[some]


def encoders_of(given: Any, frames: Any) -> list[Any]:
    """Return the encoders: those given, or the one of the first similarity in the frames.

    Raises:
        ValueError: more than two were given, or the similarity has none.
    """
    if given is not None:
        encoders = list(given) if isinstance(given, (list, tuple)) else [given]
        if not 1 <= len(encoders) <= 2:
            raise ValueError(f"one or two encoders are shown side by side; seen {len(encoders)}")
        return encoders
    name = str(frames["similarities"]["similarity"].iloc[0])
    try:
        return [catalogue.parse(name).encoder]
    except (AttributeError, LookupError, ValueError):
        raise ValueError(
            f"the similarity {name} has no encoder of its own: say which by encoders=…"
        ) from None
