"""The explorer in JupyterLab, act by act, on one page: two linked maps, gallery, details, table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.browser.conftest import Lab

CELLS = [
    f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
import workbench as wb
from tests.support import toys
store, zoo = wb.Store.temporary(), toys.zoo()
prompts = [f"a {{colour}} {{thing}}" for colour in ("red", "blue") for thing in ("cat", "boat")]
images, truth = wb.pipeline.make_queries(prompts, zoo, store)
method = wb.Regeneration(wb.Natural(), wb.Cosine(toys.Mean()), gamma=3, size=16)
frames = wb.evaluate([method], images, zoo, truth=truth, store=store)
options = dict(encoders=[toys.Mean(), toys.Mean(1)], store=store, size=16, method="pca")
explorer = wb.widgets.Explorer(frames, **options)
""",
    "explorer",
]
DRAWN = """() => {
  const maps = [...document.querySelectorAll('.workbench-map')];
  return maps.length === 2 && maps.every((map) => map.workbench);
}"""
LISTENS = """() => [...document.querySelectorAll('.workbench-map')]
  .every((map) => map.querySelectorAll('button').length === 4)"""
"""Whether anywidget has not given a map up: its script of 2 MB must be there within 2 s."""
AGAIN = """async () => {
  window.jupyterapp.shell.currentWidget.content.activeCellIndex = 1;
  await window.jupyterapp.commands.execute('notebook:run-cell');
}"""
VIEW = """(number) => {
  const { api } = document.querySelectorAll('.workbench-map')[number].workbench;
  return [...api.get('cameraView')].map((each) => Math.round(each * 1000) / 1000);
}"""
SPOT = """([number, place]) => {
  const map = document.querySelectorAll('.workbench-map')[number];
  const box = map.querySelector('canvas').getBoundingClientRect();
  const [x, y] = map.workbench.api.getScreenPosition(place);
  return [box.x + x, box.y + y, box.width, box.height, x, y];
}"""
SCROLLED = """() => {
  const root = document.querySelector('.workbench-explorer');
  const parts = [root, ...root.querySelectorAll('.workbench-stage, .workbench-map')];
  return [...parts, root.closest('.jp-OutputArea-output')].filter((each) => {
    const { overflowX, overflowY } = getComputedStyle(each);
    const scrolls = (how) => how === 'auto' || how === 'scroll';
    return (scrolls(overflowX) && each.scrollWidth > each.clientWidth + 1)
      || (scrolls(overflowY) && each.scrollHeight > each.clientHeight + 1);
  }).map((each) => each.className);
}"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def notebook(lab_server, browser):
    """Open one notebook for all tests of this file."""
    lab = Lab(*lab_server, browser)
    opened = lab.open(CELLS, high=1500)
    opened.page.wait_for_function(DRAWN)
    for _ in range(5):
        if opened.page.evaluate(LISTENS):
            break
        opened.execute("explorer.close(); explorer = wb.widgets.Explorer(frames, **options)")
        opened.page.evaluate(AGAIN)
        opened.page.wait_for_function(DRAWN)
    yield opened
    lab.close()


@pytest.fixture(autouse=True)
def anew(notebook):
    """Begin with nothing chosen, filtered or pinned, and the whole map; end without an error."""
    notebook.page.keyboard.press("Escape")
    notebook.execute(
        "explorer._lassoed(0, []); explorer.filters = {}; explorer._legend.hidden = []\n"
        "explorer._tabs.selected_index = 0; explorer._by.value = 'model'"
    )
    notebook.page.locator(".workbench-stage").scroll_into_view_if_needed()
    notebook.page.get_by_role("button", name="reset view", exact=True).click()
    notebook.page.mouse.move(5, 5)
    settle(notebook.page)
    notebook.errors.clear()
    yield
    assert notebook.errors == []


def settle(page):
    """Wait until no map is on its way to another view."""
    page.wait_for_timeout(100)
    page.wait_for_function(
        "[...document.querySelectorAll('.workbench-map')].every((map) => !map.workbench.moving())"
    )


def views(page):
    return [page.evaluate(VIEW, number) for number in (0, 1)]


def spot(notebook, place, number=0):
    return notebook.page.evaluate(SPOT, [number, place])


def alone(notebook):
    """Return the test image that lies farthest from any other point of the first map."""
    notebook.execute(
        "import numpy as np\nfrom scipy.spatial.distance import cdist\n"
        "gaps = np.sort(cdist(explorer._maps[0].places, explorer._maps[0].places))[:, 1]"
    )
    return notebook.evaluate("int(np.argmax(np.where(explorer._points.tests, gaps, 0)))")


def lasso(page, box):
    """Draw a lasso around the whole first map."""
    page.get_by_role("button", name="Activate lasso selection").first.click()
    corners = [(0.02, 0.02), (0.98, 0.02), (0.98, 0.98), (0.02, 0.98), (0.02, 0.04)]
    at = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in corners]
    page.mouse.move(*at[0])
    page.mouse.down()
    for x, y in at[1:]:
        page.mouse.move(x, y, steps=15)
    page.mouse.up()
    page.get_by_role("button", name="Activate pan", exact=False).first.click()


def test_a_pointer_shows_a_picture_on_both_maps_and_moves_nothing(notebook):
    page, place = notebook.page, alone(notebook)
    below = page.locator(".workbench-gallery").last.bounding_box()["y"]
    page.mouse.move(*spot(notebook, place)[:2], steps=4)
    notebook.wait(f"explorer._maps[1].scatter.hovering == {place}")
    shown = page.locator(".workbench-details").get_by_text("under the pointer:")
    shown.wait_for()
    uri = page.locator(".workbench-details img").first.get_attribute("src")
    picture = f"explorer._points.ids[{place}]"
    assert notebook.evaluate(f"wb.images.data_uri(store.picture({picture}), 96)") == uri
    assert page.get_by_text("nearest candidate images of").is_visible()
    assert page.locator(".workbench-gallery").last.bounding_box()["y"] == below


def test_a_click_opens_a_picture_with_its_difference_and_its_neighbours(notebook):
    page, place = notebook.page, alone(notebook)
    page.mouse.click(*spot(notebook, place)[:2])
    notebook.wait(f"explorer._maps[1].layer.pinned == {place}")
    details = page.locator(".workbench-details")
    for caption in ("test image", "candidate image", "difference × 4", "1 − SSIM: bright, unlike"):
        details.get_by_text(caption, exact=True).wait_for()
    picture = details.locator("figure[tabindex]").first
    small = picture.locator("img").bounding_box()["width"]
    picture.click()
    page.wait_for_timeout(200)
    assert picture.locator("img").bounding_box()["width"] > 3 * small, "a click enlarges"
    page.keyboard.press("Shift+Tab")
    near = details.locator("[role=option]").first
    near.click()
    name = notebook.evaluate("explorer._detail.neighbours") and near.get_attribute("data-id")
    notebook.wait(f"explorer._pinned != {place}")
    assert name != notebook.evaluate(f"explorer._points.ids[{place}]")


def test_a_lasso_fills_the_gallery_and_the_gallery_marks_the_map(notebook):
    page = notebook.page
    lasso(page, page.locator(".workbench-map canvas").first.bounding_box())
    notebook.wait("len(explorer.selection) == len(explorer.points)")
    chosen = notebook.evaluate("list(explorer.selection['picture'])")
    shown = page.locator(".widget-tab .workbench-gallery [role=option]")
    shown.nth(len(chosen) - 1).wait_for()
    assert shown.count() == len(chosen)
    assert page.get_by_text(f"of the {len(chosen)} chosen").is_visible()
    assert notebook.evaluate("[len(p.scatter.selection) for p in explorer._maps]") == [
        len(chosen)
    ] * len(notebook.evaluate("list(explorer._matrices)"))
    shown.nth(1).click()
    notebook.wait("explorer._maps[1].scatter.selection.tolist() == [1]")
    notebook.wait("explorer._pinned == 1")
    page.get_by_role("button", name="choose none").click()
    notebook.wait("explorer.selection.empty and explorer._pinned is None")
    page.get_by_text("Nothing is chosen yet.").wait_for()


def test_the_gallery_is_walked_by_keyboard(notebook):
    notebook.execute("explorer.selection = [0, 1, 2]")
    shown = notebook.page.locator(".widget-tab .workbench-gallery [role=option]")
    shown.nth(2).wait_for()
    shown.first.focus()
    notebook.page.keyboard.press("ArrowRight")
    notebook.page.keyboard.press("Enter")
    notebook.wait("explorer._maps[0].scatter.selection.tolist() == [1]")
    assert shown.nth(1).get_attribute("aria-selected") == "true"


def test_the_legend_shows_and_hides_classes(notebook):
    entries = notebook.page.locator(".workbench-legend button")
    names = notebook.evaluate("[entry[0] for entry in explorer._legend.entries]")
    entries.nth(1).click()
    notebook.wait(f"explorer._legend.hidden == [{names[1]!r}]")
    assert entries.nth(1).get_attribute("aria-pressed") == "false"
    notebook.wait("len(explorer._maps[1].scatter.filter) == explorer._shown.sum()")
    entries.nth(1).click()
    notebook.wait("explorer._maps[0].scatter.filter is None")
    entries.nth(2).dblclick()
    others = [name for name in names if name != names[2]]
    notebook.wait(f"sorted(explorer._legend.hidden) == {sorted(others)}")


def test_filters_are_added_by_hand(notebook):
    page = notebook.page
    page.locator(".workbench-explorer select").last.select_option("kind")
    page.get_by_label("candidate", exact=True).uncheck()
    notebook.wait("explorer.filters == {'kind': ['test']}")
    notebook.wait("len(explorer._maps[0].scatter.filter) == explorer._points.tests.sum()")
    page.locator(".workbench-explorer select").last.select_option("prompt")
    words = page.get_by_placeholder("words, then Enter")
    words.fill("blue cat")
    words.press("Enter")
    notebook.wait("set(explorer.points['prompt'][explorer._shown]) == {'a blue cat'}")
    page.wait_for_function(
        "(count) => document.querySelector('.workbench-map').workbench.api"
        ".get('filteredPoints').length === count",
        arg=notebook.evaluate("int(explorer._shown.sum())"),
    )
    for _ in range(2):
        page.locator(".workbench-explorer [title^='no filter by']").first.click()
        page.wait_for_timeout(300)
    notebook.wait("explorer.filters == {} and explorer._shown.all()")


def test_a_search_finds_prompts(notebook):
    box = notebook.page.get_by_placeholder("search the prompts, then Enter")
    box.fill("a red boat")
    box.press("Enter")
    notebook.page.get_by_text("Nearest to “a red boat” by Mean(").wait_for()
    notebook.wait("'a red boat' in set(explorer.selection['prompt'])")


def test_what_is_chosen_is_zoomed_to_on_both_maps_and_the_view_is_reset(notebook):
    page, place = notebook.page, alone(notebook)
    whole = views(page)
    notebook.execute(f"explorer.selection = [{place}, {place} + 1]")
    page.wait_for_function(
        "[...document.querySelectorAll('.workbench-map')]"
        ".every((map) => map.workbench.api.get('selectedPoints').length === 2)"
    )
    page.get_by_role("button", name="zoom to selection").click()
    settle(page)
    for number, view in enumerate(views(page)):
        assert view[0] > 1.2 * whole[number][0]
        _, _, width, height, x, y = spot(notebook, place, number)
        assert 0 <= x <= width
        assert 0 <= y <= height
    page.get_by_role("button", name="reset view", exact=True).click()
    settle(page)
    assert views(page) == whole
    for place in range(0, notebook.evaluate("len(explorer.points)"), 5):
        _, _, width, height, x, y = spot(notebook, place)
        assert 0 <= x <= width
        assert 0 <= y <= height


def test_the_maps_move_together_until_they_are_let_go(notebook):
    page = notebook.page
    box = page.locator(".workbench-map canvas").first.bounding_box()
    together = page.get_by_role("button", name="move together")

    def drag():
        before = views(page)
        for step in range(9):  # the map looks at the pointer once a frame
            page.mouse.move(box["x"] + 60 + 9 * step, box["y"] + 40 + 6 * step)
            page.evaluate("() => new Promise(requestAnimationFrame)")
            if not step:
                page.mouse.down()
        page.mouse.up()
        page.wait_for_function(f"JSON.stringify(({VIEW})(0)) !== JSON.stringify({before[0]})")
        page.wait_for_timeout(1500)
        pairs = zip(before, views(page), strict=True)
        return [[b - a for a, b in zip(one, other, strict=True)] for one, other in pairs]

    first, second = drag()
    assert any(abs(step) > 0.05 for step in first)
    assert second == pytest.approx(first, abs=0.03)
    together.click()
    first, second = drag()
    assert any(abs(step) > 0.05 for step in first)
    assert second == pytest.approx([0] * 16, abs=1e-3)
    together.click()


def test_pictures_are_drawn_on_a_map_that_is_zoomed_in(notebook):
    page = notebook.page
    layer = page.locator(".workbench-layer").first
    assert layer.get_attribute("data-pictures") == "0"
    box = page.locator(".workbench-map canvas").first.bounding_box()
    page.mouse.move(*spot(notebook, alone(notebook))[:2])
    for _ in range(8):
        page.mouse.wheel(0, -150)
        page.wait_for_timeout(150)
    page.wait_for_function("document.querySelector('.workbench-layer').dataset.pictures > 0")
    assert page.evaluate(SCROLLED) == [], "no scrollbars"
    button = page.get_by_role("button", name="pictures on the map")
    button.click()
    page.wait_for_function("document.querySelector('.workbench-layer').dataset.pictures === '0'")
    button.click()
    assert box == page.locator(".workbench-map canvas").first.bounding_box()


def test_a_map_is_walked_by_keyboard(notebook):
    page = notebook.page
    page.locator(".workbench-map [role=application]").first.focus()
    page.keyboard.press("ArrowRight")
    notebook.wait("explorer._maps[0].scatter.hovering is not None")
    first = notebook.evaluate("explorer._maps[0].scatter.hovering")
    page.keyboard.press("ArrowDown")
    notebook.wait(f"explorer._maps[0].scatter.hovering not in (None, {first})")
    second = notebook.evaluate("explorer._maps[0].scatter.hovering")
    assert spot(notebook, second)[1] > spot(notebook, first)[1], "down is down"
    page.keyboard.press("Enter")
    notebook.wait(f"explorer._pinned == {second}")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    notebook.wait("len(explorer.selection) == 2")
    before = page.evaluate(VIEW, 0)
    page.keyboard.press("+")
    page.wait_for_timeout(300)
    assert page.evaluate(VIEW, 0)[0] > before[0]
    page.keyboard.press("0")
    page.keyboard.press("Escape")
    notebook.wait("explorer.selection.empty and explorer._pinned is None")
    assert notebook.page.locator(".jp-mod-commandMode").count() == 1, "the keys stay in the map"


def test_tags_are_given_by_hand(notebook):
    page = notebook.page
    notebook.execute("explorer.selection = [0, 1]")
    page.get_by_placeholder("a tag").fill("odd")
    page.get_by_placeholder("a tag").press("Tab")
    page.locator("button", has_text=re.compile("^tag$")).click()
    notebook.wait("list(explorer.tags['tag']) == ['odd', 'odd']")
    page.get_by_text("Tags: odd; 2 given.").wait_for()
    page.get_by_role("button", name="untag").click()
    notebook.wait("explorer.tags.empty")


def test_the_table_is_sorted_and_opens_pictures(notebook):
    page = notebook.page
    notebook.execute("explorer.selection = [3]")
    page.get_by_role("tab", name="table", exact=True).click()
    rows = page.locator(".workbench-table tbody tr")
    page.locator(".workbench-table tbody tr:first-child[aria-selected=true]").wait_for()
    assert page.locator(".workbench-table tr[aria-selected=true]").count() == 1
    page.locator(".workbench-table th button").get_by_text("margin").click()
    notebook.wait("explorer._rows.rows.by == 'margin'")
    page.get_by_role("columnheader", name="margin ▲").wait_for()
    rows.nth(2).click()
    notebook.wait(
        "explorer._points.ids[explorer._pinned or 0] == explorer._rows.rows.rows[2]['id']"
    )


def test_full_screen_has_the_maps_the_details_and_the_gallery(notebook):
    page = notebook.page
    high = "document.querySelector('.workbench-map canvas').getBoundingClientRect().height"
    low = page.evaluate(high)
    notebook.execute("explorer._lassoed(0, [0])")
    page.get_by_role("button", name="full screen").click()
    try:
        page.wait_for_function("document.fullscreenElement?.matches('.workbench-explorer')")
        page.wait_for_function(f"{high} > {low}")
        details = page.locator(".workbench-details").get_by_text("test image", exact=True)
        option = page.locator(".widget-tab .workbench-gallery [role=option]").first
        option.wait_for()
        for part in (page.locator(".workbench-map canvas").last, details, option):
            box = part.bounding_box()
            assert box["y"] + box["height"] <= page.evaluate("innerHeight"), "without scrolling"
    finally:
        page.evaluate("document.exitFullscreen()")
    page.wait_for_function(f"{high} === {low}")


def test_umap_runs_beside_the_kernel_and_is_cancelled(notebook):
    page = notebook.page
    page.get_by_role("button", name="umap").click()
    page.get_by_text("meanwhile PCA").wait_for()
    for _ in range(4):
        notebook.wait("explorer._maps.background.running", 2)
    page.get_by_role("button", name="cancel").click()
    notebook.wait("not explorer._maps.background.running")
    notebook.wait("explorer._maps.placed == explorer._method.value == 'pca'")
    page.get_by_role("button", name="cancel").wait_for(state="hidden")


def test_stars_have_rims_and_the_dark_theme_a_dark_map_and_readable_texts(notebook):
    page = notebook.page
    notebook.execute("explorer._lassoed(0, [0]); explorer._choose([0, 1, 2])")
    notebook.paint(dark=True)
    notebook.wait("explorer._dark and explorer._maps[1].scatter.background_color[0] < 0.2")
    page.wait_for_timeout(800)
    ground = page.evaluate(
        "getComputedStyle(document.querySelector('.workbench-map [role=application]'))"
        ".backgroundColor"
    )
    assert ground == "rgb(24, 26, 29)"
    assert notebook.unreadable(".workbench-panel") == []
    notebook.paint(dark=False)
    notebook.wait("not explorer._dark")
