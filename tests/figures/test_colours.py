"""The colours of the candidate models: fixed, and told apart by colour-blind readers."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from workbench import catalogue, figures
from workbench.figures.colours import FULL, PALETTE, SHADES, colour

SIGHT = {  # Machado, Oliveira, Fernandes 2009, severity 1: linear RGB → linear RGB
    "full": np.eye(3),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
}


def linear(colour: str) -> np.ndarray:
    parts = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(colour: str, sight: str) -> np.ndarray:
    """CIELAB under D65; its distance is CIE76's ΔE."""
    seen = np.clip(SIGHT[sight] @ linear(colour), 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ seen / [0.9505, 1.0, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_black_and_white_are_a_hundred_apart():
    for sight in SIGHT:
        far = np.linalg.norm(lab("#FFFFFF", sight) - lab("#000000", sight))
        assert far == pytest.approx(100, abs=0.1)


@pytest.mark.parametrize(
    ("sight", "least"), [("full", 34), ("deuteranopia", 19), ("protanopia", 19)]
)
def test_the_eight_colours_are_told_apart(sight, least):
    for one, two in combinations(PALETTE, 2):
        apart = np.linalg.norm(lab(one, sight) - lab(two, sight))
        assert apart >= least, f"{one} and {two} under {sight}: {apart:.1f}"


def test_every_colour_is_seen_on_white():
    for each in PALETTE:
        luminance = linear(each) @ [0.2126, 0.7152, 0.0722]
        assert 1.05 / (luminance + 0.05) >= 2.2, each


def test_a_model_of_the_catalogue_has_one_colour_in_any_company():
    rows = list(catalogue.rows_of("generator"))
    whole = figures.colours(rows)
    assert list(whole) == rows
    for name in rows:
        assert figures.colours(["mine", name, "pocket-sd"])[name] == whole[name]
    pocket = figures.colours(catalogue.zoo("pocket"))
    assert list(pocket.values()) == list(PALETTE[:4])


def test_other_models_take_the_next_free_colours_in_the_order_of_their_names():
    found = figures.colours(["b", "pocket-ld", "a", "b"])
    assert found == {"b": PALETTE[2], "pocket-ld": PALETTE[1], "a": PALETTE[0]}
    assert figures.colours([]) == {}


def test_the_palette_begins_anew_in_other_shades():
    many = len(PALETTE) * len(SHADES)
    assert len({colour(place) for place in range(many)}) == many
    assert colour(many) == PALETTE[0]


def test_numbers_in_a_heatmap_are_read_on_every_cell():
    def light(colour: str) -> float:
        return float(np.dot([0.2126, 0.7152, 0.0722], linear(colour))) + 0.05

    assert light(FULL) / light("#1A1A1A") >= 4.5  # WCAG 2; lighter cells contrast more
