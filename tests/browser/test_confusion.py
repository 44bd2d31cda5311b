"""The confusion inspector in JupyterLab: clicks, keys, and both themes."""

from __future__ import annotations

import pytest

import workbench as wb

CELLS = [
    "import pandas as pd\n"
    "import workbench as wb\n"
    "from pathlib import Path\n"
    "found = {path.stem: pd.read_parquet(path) for path in Path('confused').glob('*.parquet')}",
    "inspector = wb.widgets.ConfusionInspector(found)\ninspector",
]


@pytest.fixture(scope="module", autouse=True)
def _found(lab_server):
    """Evaluate six pictures of two models; with SSIM some are taken for the other."""
    folder = lab_server[2] / "confused"
    folder.mkdir()
    texts = ["a red heart on snow", "a blue star at night", "a <b>green</b> tree"]
    zoo, store = wb.zoo(["pocket-sd", "pocket-ld"]), wb.Store()
    images, truth = wb.pipeline.make_queries(texts, zoo, store)
    method = wb.Regeneration(wb.Natural(), wb.SSIM(), gamma=2)
    for name, frame in wb.evaluate([method], images, zoo, truth=truth, store=store).items():
        frame.to_parquet(folder / f"{name}.parquet")


def named(notebook, true, predicted):
    start = f"true {true}, predicted {predicted}: "
    return notebook.page.locator(f"button[aria-label^='{start}']")


def test_a_click_on_a_cell_shows_its_pictures(lab):
    notebook = lab.open(CELLS, dark=True)
    page = notebook.page
    assert "Choose a cell" in page.locator(".hint").inner_text()
    button = named(notebook, "pocket-sd", "pocket-ld")
    count = int(button.inner_text())
    assert count > 0
    button.click()
    page.get_by_text("true pocket-sd, predicted pocket-ld", exact=True).wait_for()
    assert page.locator("article.card").count() == count
    rows = "inspector.selection[['truth', 'predicted']].drop_duplicates().to_numpy().tolist()"
    assert notebook.evaluate(rows) == [["pocket-sd", "pocket-ld"]]
    assert notebook.evaluate("len(inspector.selection)") == count
    captions = page.locator("article.card").first.locator("figcaption").all_inner_texts()
    assert captions == ["test picture", "pocket-sd", "pocket-ld"]
    sizes = page.locator("article.card img").evaluate_all("all => all.map(i => i.naturalWidth)")
    assert len(sizes) == 3 * count
    assert all(sizes)
    assert page.locator("article.card b").count() == 0  # a prompt's tags are text
    assert not notebook.unreadable(".jp-OutputArea-output")


def test_the_matrix_works_by_keyboard(lab):
    notebook = lab.open(CELLS)
    page = notebook.page
    named(notebook, "pocket-sd", "pocket-sd").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused.startswith("true pocket-ld, predicted pocket-sd: ")
    page.keyboard.press("Enter")
    notebook.wait("inspector.chosen == ('pocket-ld', 'pocket-sd')")
    pressed = page.locator(".matrix button[aria-pressed=true]")
    pressed.wait_for()
    assert pressed.get_attribute("aria-label") == focused
    notebook.execute("inspector.selection = ('pocket-sd', 'pocket-sd')")
    page.get_by_text("true pocket-sd, predicted pocket-sd", exact=True).wait_for()
    assert named(notebook, "pocket-sd", "pocket-sd").get_attribute("aria-pressed") == "true"
