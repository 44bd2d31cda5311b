"""The explorer in JupyterLab: hover, lasso, gallery and map, two linked maps, both themes."""

from __future__ import annotations

import pytest

CELLS = [
    """
import workbench as wb
bench = wb.experiments.Bench(wb.preset("pocket"), 2)
images, truth = bench.pictures()
frames = bench.run({"preset": bench.regeneration(gamma=2)}, images, truth)
encoders = [bench.encoder, bench.encoder.projected()]
explorer = wb.widgets.Explorer(frames, encoders=encoders, store=bench.store, method="pca")
""",
    "explorer",
]
pytestmark = pytest.mark.slow


def opened(lab, **options):
    notebook = lab.open(CELLS, high=1500, **options)
    notebook.page.locator("canvas").nth(1).wait_for()
    notebook.page.wait_for_timeout(1500)  # the maps glide to their first view
    return notebook, notebook.page.locator("canvas").first.bounding_box()


def hover(notebook, box):
    """Move over the first map, line by line, until the pointer meets a point."""
    for step in range(400):
        along, down = 0.99 - 0.008 * (step % 100), 0.15 + 0.2 * (step // 100)
        notebook.page.mouse.move(box["x"] + box["width"] * along, box["y"] + box["height"] * down)
        notebook.page.wait_for_timeout(10)
        if notebook.evaluate("explorer._maps[0].widget.hovering is not None"):
            return
    pytest.fail("no point was met")


def test_a_point_shows_its_picture_and_its_nearest_candidates_on_both_maps(lab):
    notebook, box = opened(lab)
    hover(notebook, box)
    place = notebook.evaluate("explorer._maps[0].widget.hovering")
    notebook.wait(f"explorer._maps[1].widget.hovering == {place}")
    told = notebook.page.locator(".workbench-page .way")
    told.wait_for()
    uri = told.locator("img").first.get_attribute("src")
    picture = f"explorer.points['picture'].iat[{place}]"
    own = f"wb.images.data_uri(explorer._store.picture({picture}), 96)"
    assert notebook.evaluate(own) == uri
    assert told.get_by_text("nearest candidate images of").is_visible()
    notebook.page.locator(f"[style*='{uri[-80:]}']").first.wait_for()  # the map's tooltip, too


def test_a_lasso_fills_the_gallery_and_the_gallery_marks_the_map(lab):
    notebook, box = opened(lab)
    page = notebook.page
    page.get_by_role("button", name="Activate lasso selection").first.click()
    corners = [(0.2, 0.02), (0.98, 0.02), (0.98, 0.98), (0.2, 0.98), (0.2, 0.04)]
    at = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in corners]
    page.mouse.move(*at[0])
    page.mouse.down()
    for x, y in at[1:]:
        page.mouse.move(x, y, steps=15)
    page.mouse.up()
    notebook.wait("len(explorer.selection) > 5")
    chosen = notebook.evaluate("list(explorer.selection['picture'])")
    shown = page.locator(".workbench-gallery [role=option]")
    shown.nth(len(chosen) - 1).wait_for()
    assert shown.count() == len(chosen)
    assert page.get_by_text(f"of the {len(chosen)} chosen").is_visible()
    counts = "sum(explorer._table['generator'].iloc[explorer._chosen] == 'pocket-sd')"
    assert page.get_by_text(f"pocket-sd {notebook.evaluate(counts)}").first.is_visible()
    assert notebook.evaluate("[len(p.widget.selection) for p in explorer._maps]") == [
        len(chosen)
    ] * len(notebook.evaluate("list(explorer._matrices)"))
    shown.nth(1).click()
    notebook.wait(f"explorer._points['picture'].iat[explorer._maps[1].widget.selection[0]] "
                  f"== {chosen[1]!r}")  # fmt: skip
    page.get_by_role("button", name="choose none").click()
    notebook.wait("explorer.selection.empty")
    page.get_by_text("Nothing is chosen yet.").wait_for()


def test_the_gallery_is_walked_by_keyboard(lab):
    notebook, _ = opened(lab)
    notebook.execute("explorer.selection = [0, 1, 2]")
    shown = notebook.page.locator(".workbench-gallery [role=option]")
    shown.nth(2).wait_for()
    shown.first.focus()
    notebook.page.keyboard.press("ArrowRight")
    notebook.page.keyboard.press("Enter")
    notebook.wait("list(explorer._maps[0].widget.selection) == [1]")
    assert shown.nth(1).get_attribute("aria-selected") == "true"


def test_every_text_can_be_read_in_the_dark_theme(lab):
    notebook, box = opened(lab, dark=True)
    notebook.execute("explorer.selection = [0, 1, 2]")
    hover(notebook, box)
    notebook.page.locator(".workbench-page .way").wait_for()
    assert notebook.unreadable(".workbench-panel") == []
