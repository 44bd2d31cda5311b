"""The explorer from Python: its points, its selection, its export, its still picture."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import workbench as wb
from tests.support import toys
from tests.support.models import tiny


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Evaluate toy models: frames, and the store their pictures lie in."""
    store = wb.Store(tmp_path_factory.mktemp("explorer"))
    zoo = toys.zoo()
    images, truth = wb.pipeline.make_queries(["a thing", "another thing"], zoo, store)
    method = wb.Regeneration(wb.Natural(), wb.Cosine(toys.Mean()), gamma=2, size=16)
    frames = wb.evaluate([method], images, zoo, truth=truth, store=store)
    return frames, store


@pytest.fixture
def explorer(made):
    frames, store = made
    return wb.widgets.Explorer(frames, encoders=toys.Mean(), store=store, size=16, method="pca")


def test_points_have_places_and_the_first_are_the_test_images(explorer, made):
    frames, _ = made
    points = explorer.points
    assert points[["x", "y"]].notna().all(axis=None)
    tests = points[points["kind"] == "test"]
    assert set(tests["picture"]) == set(frames["images"]["image_id"])


def test_a_selection_is_set_and_read(explorer):
    picture = explorer.points["picture"][2]
    explorer.selection = [picture, 0]
    assert list(explorer.selection["picture"]) == [explorer.points["picture"][0], picture]
    assert explorer._gallery.items[1]["id"] == picture
    assert list(explorer._maps[0].widget.selection) == [0, 2]
    explorer.selection = explorer.points[explorer.points["kind"] == "test"]
    assert set(explorer.selection["kind"]) == {"test"}
    explorer.selection = []
    assert explorer.selection.empty
    for wrong in ("nothing", 10_000):
        with pytest.raises(ValueError, match=f"^no point {wrong!r}: a point is the digest"):
            explorer.selection = [wrong]


def test_a_lasso_on_one_map_is_the_selection_of_both(made):
    frames, store = made
    row = tiny.checkpoint("tiny-clip")
    encoders = [wb.OpenClip(row), wb.OpenClip(row, layer=1)]
    both = wb.widgets.Explorer(frames, encoders=encoders, store=store, size=16, method="pca")
    both._maps[0].widget.selection = np.array([1, 3], dtype=np.uint32)
    assert [list(each.widget.selection) for each in both._maps] == [[1, 3], [1, 3]]
    assert list(both.selection["picture"]) == list(both.points["picture"][[1, 3]])
    both._gallery.selected = [both.points["picture"][3]]
    assert list(both._maps[0].widget.selection) == [3]
    assert len(both.selection) == 2, "the gallery marks, the lasso chooses"


def test_a_new_map_has_its_colours_and_its_selection_before_it_is_shown(explorer):
    explorer.selection = [1, 3]
    shown = []

    def look(_):
        maps = [each.widget for each in explorer._maps]
        shown.extend((each.color_by is None, each.selection.tolist()) for each in maps)

    explorer._side.observe(look, "children")
    explorer._anew()
    assert shown == [(False, [1, 3])]


def test_a_test_image_brings_its_nearest_candidates(explorer):
    explorer.selection = [0]
    explorer._near.click()
    near = explorer.selection[explorer.selection["kind"] == "candidate"]
    every = explorer._related[explorer._related["image_id"] == explorer.points["image_id"][0]]
    expected = every.nlargest(5, "similarity")["picture"]
    assert set(near["picture"]) <= set(expected)
    assert len(near)


def test_lines_tie_a_test_image_to_its_nearest_candidates(explorer):
    explorer._maps[0].widget.hovering = 0
    points, ends = explorer.points, explorer._nearest(0)["picture"]
    at = explorer._maps[0].widget.points[:, :2]
    lines = [np.array(line.vertices) for line in explorer._maps[0].widget.annotations]
    assert len(lines) == len(ends) > 0
    for (start, end), name in zip(lines, ends, strict=True):
        np.testing.assert_array_equal(start, at[0])
        np.testing.assert_array_equal(end, at[points["picture"].tolist().index(name)])


def test_an_export_is_a_table_a_folder_and_parquet(explorer, tmp_path):
    explorer.selection = [0, 1, 2]
    folder = explorer.export(tmp_path / "out")
    table = pd.read_csv(folder / "points.csv")
    assert list(table["picture"]) == list(explorer.selection["picture"])
    for name in table["picture"]:
        with Image.open(folder / "pictures" / f"{name}.png") as picture:
            assert wb.images.digest(picture.convert("RGB")) == name
    parquet = pd.read_parquet(folder / "points.parquet")
    assert {"x", "y", "neighbors", "image"} <= set(parquet)
    assert set(parquet["image"][0]) == {"bytes", "path"}
    assert list(parquet["neighbors"][0]["ids"])
    assert 0 not in parquet["neighbors"][0]["ids"]


def test_the_still_shows_the_maps_and_the_mime_bundle_holds_it(explorer):
    still = explorer.still()
    assert "data:image/png;base64," in still
    assert explorer._repr_mimebundle_()["text/html"] == still


def test_texts_are_escaped(made):
    frames, store = made
    prompts = frames["prompts"].assign(prompt="<script>alert(1)</script>")
    made = wb.widgets.Explorer(
        frames | {"prompts": prompts}, encoders=toys.Mean(), store=store, size=16, method="pca"
    )
    made._point(0)
    assert "<script>" not in made._detail.value
    assert "&lt;script&gt;" in made._detail.value


def test_what_cannot_be_shown_is_one_sentence(made):
    frames, store = made
    with pytest.raises(ValueError, match=r"^this widget needs the frames images, prompts, "):
        wb.widgets.Explorer({"images": frames["images"]}, store=store)
    with pytest.raises(ValueError, match=r"^there is nothing to show: the frame candidates has no"):
        wb.widgets.Explorer(frames | {"candidates": frames["candidates"][:0]}, store=store)
    pixels = frames["similarities"].assign(similarity="SSIM()")
    with pytest.raises(ValueError, match=r"^the similarity SSIM\(\) has no encoder of its own"):
        wb.widgets.Explorer(frames | {"similarities": pixels}, store=store)
    with pytest.raises(ValueError, match="one or two encoders are shown side by side; seen 3"):
        wb.widgets.Explorer(frames, encoders=[toys.Mean()] * 3, store=store)
