"""Figures for a notebook: sharp, on clear ground, read on a light page and on a dark one."""

from __future__ import annotations

import io

import numpy as np
import pytest
import seaborn as sns
from matplotlib.figure import Figure
from PIL import Image

from workbench import figures
from workbench.figures.notebook import INK


def pixels(figure: Figure) -> np.ndarray:
    """Return the figure as a notebook shows it, RGBA."""
    return np.asarray(Image.open(io.BytesIO(figures.png(figure)[0])).convert("RGBA"))


def painted(figure: Figure) -> set[tuple[int, ...]]:
    """Return the colours of all pixels that hide what lies behind."""
    table = pixels(figure).reshape(-1, 4)
    return {tuple(map(int, each)) for each in np.unique(table[table[:, 3] == 255][:, :3], axis=0)}


@pytest.fixture
def lines():
    """Draw black, grey and coloured things, with a legend and a halo."""
    figure = Figure(figsize=(3, 2), dpi=80)
    ax = figure.add_subplot()
    ax.plot([0, 1], [0, 1], color="black", label="black")
    ax.plot([0, 1], [1, 0], "o-", color="#0173B2", mec="white", label="model")
    ax.bar([0.2], [0.5], color="0.3")
    ax.scatter([0.5], [0.9], c="black", marker="*")
    ax.grid(color="0.9")
    ax.text(0.5, 0.5, "number", color="0.1")
    ax.legend()
    return figure


def test_it_is_twice_as_dense_as_the_page(lines):
    data, sides = figures.png(lines)
    width, _ = Image.open(io.BytesIO(data)).size
    assert sides == {"width": width // 2}
    assert abs(sides["width"] - 240) < 24  # 3 inches at 80 pixels, cut to what is drawn


def test_the_ground_is_clear_and_blacks_are_a_grey_seen_on_both_pages(lines):
    drawn = pixels(lines)
    assert drawn[0, 0, 3] == 0
    assert drawn[drawn.shape[0] // 2, -1, 3] < 255
    grey = round(INK * 255)
    colours = painted(lines)
    assert (grey, grey, grey) in colours or (grey + 1,) * 3 in colours
    assert (0x01, 0x73, 0xB2) in colours
    assert not [each for each in colours if max(each) < 60]

    def ratio(one: float, two: float) -> float:
        light = [((v + 0.055) / 1.055) ** 2.4 if v > 0.04 else v / 12.92 for v in (one, two)]
        return (max(light) + 0.05) / (min(light) + 0.05)

    assert ratio(INK, 1.0) > 4
    assert ratio(INK, 0x11 / 255) > 4


def test_the_figure_is_left_as_it_was(lines):
    before = io.BytesIO()
    lines.savefig(before, format="png")
    figures.png(lines)
    after = io.BytesIO()
    lines.savefig(after, format="png")
    assert before.getvalue() == after.getvalue()


def test_numbers_in_the_cells_of_a_heatmap_keep_their_colour():
    figure = Figure(figsize=(2, 2), dpi=80)
    ax = figure.add_subplot()
    sns.heatmap([[0.0, 1.0]], annot=True, annot_kws={"color": "black"}, cmap="Blues", ax=ax)
    kept = [text.get_color() for text in ax.texts]
    assert any(max(each) < 40 for each in painted(figure))
    assert [text.get_color() for text in ax.texts] == kept == ["black", "black"]


def test_outside_of_a_notebook_nothing_changes():
    figures.notebook()
