"""Venues of print: exact widths, typeface and size of letters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from workbench.catalogue.rows import unknown
from workbench.figures._canvas import HERE, Measure

TEX = 72.27
"""TeX points in an inch."""
TIMES = ("Times New Roman", "Liberation Serif", "STIXGeneral")
FACES = {
    "acm": ("Linux Libertine", "Libertinus Serif", "STIXGeneral"),
    "cvpr": TIMES,
    "ieee": TIMES,
    "neurips": TIMES,
    "thesis": ("CMU Serif", "STIXGeneral"),
}
"""The typeface of each class, and what stands in for it; matplotlib brings STIX along."""
OURS = {
    "acm": Measure("acm", 241.14749 / TEX, 506.295 / TEX, 8),
    "ieee": Measure("ieee", 3.5, 7.16, 8),
    "thesis": Measure("thesis", 5.8, 5.8, 9),
}
"""acmart's sigconf, IEEE's guide to artwork (21 and 43 picas), and a page of A4 with margins."""


@contextmanager
def venue(name: str) -> Iterator[None]:
    """Draw the figures inside for a venue: as wide as its column or text, in its typeface.

    Every figure made inside is so; save it with `save`, inside or afterwards. Narrow designs take
    the width of a column, wide ones (7 inches or more on the screen) that of the text. No LaTeX is
    needed: the letters are TrueType and go into the PDF.

    Args:
        name: ``acm`` (sigconf), ``cvpr``, ``ieee``, ``neurips`` or ``thesis``.

    Raises:
        LookupError: there is no such venue; the sentence lists what there is.

    >>> from matplotlib.figure import Figure
    >>> with venue("ieee"):
    ...     figure = Figure()
    >>> float(figure.get_figwidth())
    3.5
    """
    if name not in FACES:
        raise unknown("venue", name, FACES)
    import matplotlib as mpl

    here, settings = _measured(name)
    settings |= _ours(name, here)
    with mpl.rc_context(settings):
        token = HERE.set(here)
        try:
            yield
        finally:
            HERE.reset(token)


def _measured(name: str) -> tuple[Measure, dict[str, Any]]:
    """Return the measures of a venue, and the settings of tueplots where it has the venue."""
    if name in OURS:
        return OURS[name], {}
    from tueplots import bundles

    if name == "neurips":
        column = text = bundles.neurips2024(usetex=False)
    else:
        column, text = (
            bundles.cvpr2024(usetex=False, column=settings) for settings in ("half", "full")
        )
    narrow, wide = (float(settings["figure.figsize"][0]) for settings in (column, text))
    return Measure(name, narrow, wide, float(column["font.size"])), dict(column)


def _ours(name: str, here: Measure) -> dict[str, Any]:
    """Return the settings that every venue has."""
    small = here.size - 1
    return {
        "figure.figsize": (here.column, here.column * 0.7),
        "figure.constrained_layout.use": True,
        "font.family": [_face(FACES[name]), "DejaVu Sans"],
        "font.size": here.size,
        "axes.labelsize": small,
        "axes.titlesize": here.size,
        "axes.linewidth": 0.6,
        "grid.linewidth": 0.6,
        "legend.fontsize": small,
        "lines.linewidth": 1.2,
        "lines.markersize": 4,
        "mathtext.fontset": "stix",
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "savefig.bbox": "standard",
        "savefig.dpi": 300,
        "text.usetex": False,
        "xtick.labelsize": small,
        "ytick.labelsize": small,
    }


def _face(faces: tuple[str, ...]) -> str:
    """Return the first typeface installed as TrueType, which a PDF embeds whole."""
    from matplotlib.font_manager import fontManager

    there = {face.name for face in fontManager.ttflist if face.fname.lower().endswith(".ttf")}
    return next(name for name in faces if name in there)
