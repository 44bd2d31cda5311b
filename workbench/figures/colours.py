"""One colour for each candidate model, the same in every figure and widget; greys for the rest."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

PALETTE = (
    "#0173B2", "#DE8F05", "#44AA99", "#882255", "#CC3311", "#B9AC70", "#1845FB", "#A96B59",
)  # fmt: skip
"""Told apart under deuteranopia and protanopia too (Machado et al. 2009), and seen on white."""
GREYS = ("#1A1A1A", "#8A8A8A", "#5A5A5A", "#ABABAB")
"""Of what is no candidate model, told apart by mark and dash: no colour means two things."""
FULL = "#8E989E"
"""The darkest cell of a heatmap, no model's colour, so light that dark numbers are read on it."""
MARKS = "osD^vPX*"
DASHES = ("-", (0, (4, 2)), (0, (5, 1.5, 1, 1.5)), (0, (1, 1.2)), (0, (5, 1, 1, 1, 1, 1)))
"""One more than there are greys, so that twenty lines are told apart."""
SHADES = (0.0, -0.4, 0.45, -0.65)
"""How far the palette is moved towards white, or towards black, each time it begins anew."""

MODELS = ("generator", "truth", "source", "model", "predicted", "called")
"""Columns of the frames that hold candidate models."""


def colours(names: Iterable[str]) -> dict[str, str]:
    """Return the colour of each candidate model, as ``#RRGGBB``.

    A model of the catalogue has the colour of its row's place, whatever company it is in; new rows
    come last and change nothing. Any other model takes, in the order of the names, the first
    colours that no model of the catalogue among ``names`` has. After eight colours come shades of
    them; where many models meet, figures tell them apart by mark, dash or label too.

    Args:
        names: of the models; their order does not matter.

    Returns:
        name → colour, in the order given.

    >>> colours(["mine", "pocket-ld", "pocket-sd"])
    {'mine': '#44AA99', 'pocket-ld': '#DE8F05', 'pocket-sd': '#0173B2'}
    """
    from workbench import catalogue

    known = {name: place for place, name in enumerate(catalogue.rows_of("generator"))}
    models = list(dict.fromkeys(names))
    taken = {known[name] for name in models if name in known}
    free = (place for place in count() if place not in taken)
    others = dict(zip(sorted(set(models) - set(known)), free, strict=False))
    return {name: colour(known.get(name, others.get(name, 0))) for name in models}


def of(column: str, names: Iterable[str]) -> dict[str, str]:
    """Return the colours of a column's values: the models' own, else greys in their order.

    >>> of("generator", ["pocket-ld"]), of("inverter", ["pocket-blip"])
    ({'pocket-ld': '#DE8F05'}, {'pocket-blip': '#1A1A1A'})
    """
    if column in MODELS:
        return colours(names)
    return {name: GREYS[place % len(GREYS)] for place, name in enumerate(dict.fromkeys(names))}


def ordered(names: Iterable[str]) -> list[str]:
    """Return candidate models in the catalogue's order, others after them by name.

    >>> ordered(["mine", "pocket-dalle", "pocket-sd"])
    ['pocket-sd', 'pocket-dalle', 'mine']
    """
    from workbench import catalogue

    known = {name: place for place, name in enumerate(catalogue.rows_of("generator"))}
    return sorted(dict.fromkeys(names), key=lambda name: (known.get(name, len(known)), name))


def colour(place: int) -> str:
    """Return the colour of a place in the palette, as ``#RRGGBB``.

    >>> colour(0), colour(8)
    ('#0173B2', '#01456B')
    """
    base = PALETTE[place % len(PALETTE)]
    shade = SHADES[place // len(PALETTE) % len(SHADES)]
    end = 255 if shade > 0 else 0
    parts = (int(base[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(part + abs(shade) * (end - part)):02X}" for part in parts)
