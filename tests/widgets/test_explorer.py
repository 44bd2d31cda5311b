"""The explorer from Python: its points, its selection, its export, its still picture."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import ipywidgets
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
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


def press(explorer, text):
    """Press the button with this text."""
    rows = [part for part in explorer.children if isinstance(part, ipywidgets.HBox)]
    buttons = [part for row in rows for part in row.children]
    next(each for each in buttons if getattr(each, "description", "") == text).click()


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
    assert list(explorer._maps[0].scatter.selection) == [0, 2]
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
    both._maps[0].scatter.selection = np.array([1, 3], dtype=np.uint32)
    assert [list(each.scatter.selection) for each in both._maps] == [[1, 3], [1, 3]]
    assert list(both.selection["picture"]) == list(both.points["picture"][[1, 3]])
    both._gallery.selected = [both.points["picture"][3]]
    assert list(both._maps[0].scatter.selection) == [3]
    assert len(both.selection) == 2, "the gallery marks, the lasso chooses"


def test_a_test_image_brings_its_nearest_candidates(explorer):
    explorer.selection = [0]
    press(explorer, "add 5 nearest")
    near = explorer.selection[explorer.selection["kind"] == "candidate"]
    every = explorer._points._related[
        explorer._points._related["image_id"] == explorer.points["image_id"][0]
    ]
    expected = every.nlargest(5, "similarity")["picture"]
    assert set(near["picture"]) <= set(expected)
    assert len(near)


def test_lines_tie_a_test_image_to_its_nearest_candidates(explorer):
    explorer._maps[0].scatter.hovering = 0
    points, ends = explorer.points, explorer._points.candidates(0)["picture"]
    at = explorer._maps[0].scatter.points[:, :2]
    lines = [np.array(line.vertices) for line in explorer._maps[0].scatter.annotations]
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


def test_filters_hide_points_on_every_map_and_choose_none_of_them(explorer):
    explorer.selection = range(len(explorer.points))
    explorer.filters = {"kind": ["test"]}
    tests = np.flatnonzero(explorer.points["kind"] == "test")
    assert explorer.filters == {"kind": ["test"]}
    assert list(explorer._maps[0].scatter.filter) == list(tests)
    assert set(explorer.selection["kind"]) == {"test"}
    explorer.selection = range(len(explorer.points))
    assert len(explorer.selection) == len(tests), "what is hidden cannot be chosen"
    explorer.filters = {}
    assert explorer._maps[0].scatter.filter is None
    with pytest.raises(ValueError, match=r"^no column 'nothing' to filter by; there are: kind, "):
        explorer.filters = {"nothing": 1}


def test_a_candidate_image_is_filtered_with_its_test_image(explorer):
    margins = explorer.points["margin"]
    low = float(margins.dropna().median())
    explorer.filters = {"margin": (low, 1)}
    shown = explorer.points.iloc[explorer._maps[0].scatter.filter]
    images = set(shown["image_id"])
    assert set(shown["kind"]) == {"test", "candidate"}
    assert images == set(explorer.points.loc[margins >= low, "image_id"])


def test_a_class_is_hidden_by_the_legend_and_shown_with_another_colour(explorer):
    name, _, count = explorer._legend.entries[0]
    assert count == sum(explorer.points["generator"] == name)
    explorer._legend.hidden = [name]
    shown = explorer.points.iloc[explorer._maps[0].scatter.filter]
    assert name not in set(shown["generator"])
    assert len(shown) == len(explorer.points) - count
    assert f"{count} hidden by the filters" in explorer._legend.words
    explorer._by.value = "outcome"
    assert explorer._legend.hidden == []
    assert explorer._maps[0].scatter.filter is None


def test_a_search_chooses_the_pictures_of_the_nearest_prompts(explorer):
    prompts = explorer.search("another thing")
    assert prompts["prompt"][0] == "another thing"
    assert prompts["similarity"][0] == pytest.approx(1)
    assert prompts["similarity"].is_monotonic_decreasing
    assert set(explorer.selection["prompt"]) == set(prompts["prompt"])
    assert "by Mean(" in explorer._message.value


def test_without_a_text_tower_a_search_goes_by_words(made):
    class Blind(toys.Mean):
        @property
        def text(self):
            raise AttributeError("no text tower")

    frames, store = made
    blind = wb.widgets.Explorer(frames, encoders=Blind(), store=store, size=16, method="pca")
    prompts = blind.search("ANOTHER one")
    assert list(prompts["prompt"]) == ["another thing"]
    assert list(prompts["similarity"]) == [0.5]
    assert set(blind.selection["prompt"]) == {"another thing"}
    assert blind.search("zebra").empty
    assert blind.selection.empty
    assert "no prompt" in blind._message.value


def test_tags_are_kept_filtered_by_exported_and_taken_up_again(explorer, made, tmp_path):
    frames, store = made
    explorer.selection = [0, 1]
    explorer.tag("two  words")
    explorer.tag("odd", [1, explorer.points["picture"][2]])
    pictures = explorer.points["picture"]
    given = [(pictures[0], "two words"), (pictures[1], "two words")]
    given += [(pictures[1], "odd"), (pictures[2], "odd")]
    assert list(explorer.tags.itertuples(index=False, name=None)) == given
    assert list(explorer.points["tags"][:3]) == ["two words", "two words; odd", "odd"]
    explorer.filters = {"tags": "odd"}
    assert list(explorer._maps[0].scatter.filter) == [1, 2]
    explorer.untag("odd", [2])
    assert list(explorer._maps[0].scatter.filter) == [1], "the filter follows the tags"
    explorer.export(tmp_path)
    tags = pd.read_csv(tmp_path / "tags.csv")
    assert list(tags.itertuples(index=False, name=None)) == given[:3]
    again = wb.widgets.Explorer(
        frames, encoders=toys.Mean(), store=store, size=16, method="pca", tags=tags
    )
    pd.testing.assert_frame_equal(again.tags, explorer.tags)
    with pytest.raises(ValueError, match=r"^a tag is a word or some; seen an empty one"):
        explorer.tag(" ")


def test_a_click_opens_a_picture_beside_its_test_image(explorer):
    place = int(np.flatnonzero(explorer.points["kind"] == "candidate")[0])
    explorer._maps[0].scatter.selection = np.array([place], dtype=np.uint32)
    store, point = explorer._store, explorer.points.iloc[place]
    for picture in (point["image_id"], point["picture"]):
        assert wb.images.data_uri(store.picture(picture)) in explorer._detail.value
    assert "difference × 4" in explorer._detail.value
    assert "SSIM" in explorer._detail.value
    assert explorer._maps[0].layer.pinned == place
    shown = explorer._detail.value
    explorer._maps[0].scatter.hovering = 0
    assert explorer._detail.value == shown, "a pointer moves nothing that was opened"
    near = explorer._detail.neighbours
    explorer._detail._near.selected = near[:1]
    assert explorer._maps[0].layer.pinned == list(explorer.points["picture"]).index(near[0])
    explorer._maps[0].scatter.selection = np.array([], dtype=np.uint32)
    assert explorer._maps[0].layer.pinned is None
    assert explorer._detail.neighbours == []


def test_neighbours_are_the_nearest_in_the_space(explorer):
    (matrix,) = explorer._matrices.values()
    explorer._maps[0].scatter.selection = np.array([3], dtype=np.uint32)
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    cosines = unit @ unit[3]
    cosines[3] = -2
    places = [explorer._points.row[name] for name in explorer._detail.neighbours]
    np.testing.assert_allclose(cosines[places], np.sort(cosines)[::-1][: len(places)], rtol=1e-5)


def test_the_table_is_sorted_and_has_what_is_chosen_first(explorer):
    explorer._tabs.selected_index = 1
    explorer.selection = [5, 2]
    explorer._rows.sort("similarity", down=True)
    rows = explorer._rows.rows.rows
    pictures = list(explorer.points["picture"])
    places = [pictures.index(row["id"]) for row in rows]
    assert set(places[:2]) == {2, 5}
    assert [row["chosen"] for row in rows] == [True, True] + [False] * (len(rows) - 2)
    similarity = explorer.points["similarity"].iloc[places[2:]].dropna()
    assert similarity.is_monotonic_decreasing
    explorer.filters = {"kind": ["test"]}
    assert len(explorer._rows.rows.rows) == sum(explorer.points["kind"] == "test")
    explorer._rows._asked(None, {"type": "open", "id": rows[3]["id"]}, [])
    assert explorer._maps[0].layer.pinned == places[3]


def test_umap_is_laid_out_in_the_background_with_pca_meanwhile(made, tmp_path):
    frames, store = made
    first = wb.widgets.Explorer(
        frames, encoders=toys.Mean(), store=store, size=16, method="umap", seed=3
    )
    flat = first.points[["x", "y"]].to_numpy()
    assert first._maps.placed == "pca"
    first.selection = [1, 2]
    first.filters = {"kind": ["test"]}
    first.wait(300)
    assert first._maps.placed == "umap"
    assert not np.array_equal(flat, first.points[["x", "y"]].to_numpy())
    assert list(first._maps[0].scatter.selection) == [1, 2]
    assert first._maps.background._bar.value == 1
    (matrix,) = first._matrices.values()
    expected = wb.evaluation.projection.project(matrix, "umap", seed=3, store=store)
    np.testing.assert_array_equal(first.points[["x", "y"]], expected)
    again = wb.widgets.Explorer(
        frames, encoders=toys.Mean(), store=store, size=16, method="umap", seed=3
    )
    assert again._maps.placed == "umap", "a second one has it from the store"


def test_umap_is_cancelled_at_once(made):
    frames, store = made
    slow = wb.widgets.Explorer(frames, encoders=toys.Mean(), store=store, size=16, seed=4)
    background = slow._maps.background
    assert background.running
    process = background._process
    background._cancel.click()
    slow.wait(20)
    assert not background.running
    assert process.returncode != 0
    assert slow._maps.placed == slow._method.value == "pca"
    assert background.layout.display == "none"


def test_a_layout_that_cannot_be_made_is_told(made, monkeypatch):
    frames, store = made
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    flat = wb.widgets.Explorer(frames, encoders=toys.Mean(), store=store, size=16, seed=5)
    assert flat._maps.placed == "pca"
    assert "UMAP failed, so the map stays by PCA: [Errno 2]" in flat._message.value
    assert not flat._maps.background.running


def test_a_dark_page_has_a_dark_map_and_colours_that_are_seen_on_it(explorer):
    explorer._maps[0].layer.dark = True
    scatter = explorer._maps[0].scatter
    assert scatter.background_color[:3] == pytest.approx([24 / 255, 26 / 255, 29 / 255])
    assert to_rgb(scatter.color_selected) == (1, 1, 1)
    assert explorer._legend.entries[0][1] != "#000000"
    explorer._maps[0].layer.dark = False
    assert scatter.background_color[:3] == pytest.approx([1, 1, 1])


def test_the_trustworthiness_of_a_map_stands_below_it(explorer):
    explorer._maps._measuring.join(60)
    (matrix,) = explorer._matrices.values()
    places = explorer.points[["x", "y"]].to_numpy()
    trust = wb.evaluation.projection.trustworthiness(matrix, places)
    assert f"by PCA: trustworthiness {trust:.2f} of 1." in explorer._maps[0]._trust.value


def test_every_test_that_the_page_on_the_explorer_names_is_there():
    root = Path(__file__).parents[2]
    page = (root / "docs" / "explorer.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    files = [*root.glob("tests/widgets/*.py"), *root.glob("tests/browser/*.py")]
    known = {
        name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(), re.M)
    }
    assert named
    assert named - known == set()


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
