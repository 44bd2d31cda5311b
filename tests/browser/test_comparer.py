"""The comparer in JupyterLab: a control changes the number at once, and the list follows."""

from __future__ import annotations

import dataclasses

import pytest

import workbench as wb

CELLS = [
    "import pandas as pd\n"
    "import workbench as wb\n"
    "from pathlib import Path\n"
    "found = {path.stem: pd.read_parquet(path) for path in Path('crossed').glob('*.parquet')}",
    "comparer = wb.widgets.Comparer(found)\ncomparer",
]
LAYER = 'Cosine("pocket-clip", layer=1, pooling="mean")'


@pytest.fixture(scope="module", autouse=True)
def _found(lab_server):
    """Cross two inverters with three similarities on six pictures of two models."""
    folder = lab_server[2] / "crossed"
    folder.mkdir()
    texts = ["a red heart on snow", "a blue star at night", "a <b>green</b> tree"]
    zoo, store = wb.zoo(["pocket-sd", "pocket-ld"]), wb.Store()
    images, truth = wb.pipeline.make_queries(texts, zoo, store)
    clip = wb.load("pocket-clip")
    early = dataclasses.replace(clip, layer=1, pooling="mean")
    found = wb.evaluation.benchmark.crossed(
        images,
        truth,
        zoo,
        inverters=[wb.Natural(), wb.Empty()],
        similarities=[wb.SSIM(), wb.Cosine(clip), wb.Cosine(early)],
        gamma=2,
        store=store,
    )
    for name, frame in found.items():
        frame.to_parquet(folder / f"{name}.parquet")


def control(notebook, side, name):
    """Find a control of A (0) or B (1) by its label."""
    row = notebook.page.locator(".widget-inline-hbox").filter(
        has=notebook.page.get_by_text(name, exact=True)
    )
    return row.nth(side).locator("select")


def settled(notebook):
    """Read the accuracies of A and B and B − A, in percent, once they are those of the kernel."""
    kernel = "[each.accuracy['all'].value for each in comparer._pair()]"
    wanted = [f"{100 * value:.1f} %" for value in notebook.evaluate(kernel)]
    notebook.page.wait_for_function(
        """(wanted) => {
          const cells = [...document.querySelectorAll('tr.main td')];
          return wanted.every((text, i) => cells[i]?.innerText.startsWith(text));
        }""",
        arg=wanted,
    )
    return [
        float(each.split()[0]) for each in notebook.page.locator("tr.main td").all_inner_texts()
    ]


def test_the_number_changes_when_the_similarity_changes(lab):
    notebook = lab.open(CELLS, dark=True)
    page = notebook.page
    before = settled(notebook)
    control(notebook, 1, "similarity").select_option("SSIM()")
    notebook.wait("comparer.selection['B']['similarity'] == 'SSIM()'")
    same = settled(notebook)
    assert same == [before[0], before[0], 0]
    control(notebook, 1, "similarity").select_option('Cosine("pocket-clip")')
    notebook.wait("comparer.selection['B']['similarity'] != 'SSIM()'")
    after = settled(notebook)
    assert after[0] == same[0]
    assert after[1] != same[1]
    assert after[2] == pytest.approx(after[1] - after[0], abs=0.11)
    control(notebook, 1, "layer").select_option("layer 1, mean")
    notebook.wait(f"comparer.selection['B']['similarity'] == {LAYER!r}")
    settled(notebook)
    control(notebook, 1, "layer").select_option("projected")
    page.get_by_role("button", name="only B right").click()
    notebook.wait("comparer.selection['show'] == 'only B right'")
    only = notebook.evaluate("comparer._counts['only B right']")
    page.wait_for_function(f"document.querySelectorAll('article.compared').length == {only}")
    assert only > 0
    marks = page.locator("article.compared section").evaluate_all(
        "all => all.map(one => one.querySelector('.right, .wrong').className)"
    )
    assert marks == ["wrong", "right"] * only
    assert page.locator("article.compared q b").count() == 0  # a prompt's tags are text
    assert not notebook.unreadable(".jp-OutputArea-output")


def test_it_works_by_keyboard_and_follows_python(lab):
    notebook = lab.open(CELLS)
    page = notebook.page
    control(notebook, 0, "aggregation").focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.tagName") == "SELECT"  # not the next cell
    notebook.wait("comparer.selection['A']['aggregate'] == 'max'")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")
    notebook.wait("comparer.selection['A']['gamma'] == 1")
    notebook.execute("comparer.selection = {'A': {'inverter': 'Empty()'}}")
    page.wait_for_function("document.querySelector('article.compared q').innerText == '(empty)'")
    assert control(notebook, 0, "inverter").input_value() == "Empty()"
