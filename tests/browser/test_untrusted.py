"""What notebooks keep looks right before it is trusted: in JupyterLab, light and dark, on GitHub.

The notebooks are those run by the present form of `notebooks/run.py`; which outputs are older is
told by what it wrote into them. What our own objects leave is held to the same, made anew.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest
from IPython.core.formatters import DisplayFormatter

import workbench as wb
from tests.support import toys, viewers
from tests.support.notebooks import FOLDER, RUN, tidy
from workbench import pipeline
from workbench.evaluation import benchmark

NOTEBOOKS = sorted(FOLDER.glob("[0-9]*.ipynb"))
IN_LAB = ".jp-OutputArea-output:not([data-mime-type*=stderr])"
ON_GITHUB = "section.output"
PROMPTS = [f"scene {n} <b>" for n in range(6)]


def shown(path: Path, lab, browser) -> list[str]:
    """Show a notebook untrusted in all four ways; return what it has lost, and unreadable texts."""
    book = nbformat.read(path, as_version=4)
    outputs = sum(len(cell.get("outputs", [])) for cell in book.cells)
    shutil.copy(path, lab.folder / path.name)
    notebook = lab.look(path.name)
    notebook.page.locator(".jp-Cell").last.scroll_into_view_if_needed()
    assert notebook.page.locator(IN_LAB).count() == outputs
    lost = {}
    for dark in (False, True):
        notebook.paint(dark)
        lost["dark" if dark else "light"] = [
            *viewers.lost(notebook.page, IN_LAB, dark),
            *notebook.unreadable(IN_LAB),
        ]
    pages = viewers.pages_of_github(book)
    for dark, html in pages.items():
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        page.set_content(html)
        assert page.locator(ON_GITHUB).count() == outputs
        lost["GitHub, dark" if dark else "GitHub"] = viewers.lost(page, ON_GITHUB, dark)
        page.close()
    return [f"{way}: {each}" for way, found in lost.items() for each in found]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_looks_right_before_it_is_trusted(path, lab, browser):
    form = nbformat.read(path, as_version=4).metadata.get("workbench", {}).get("form")
    if form != RUN["FORM"]:
        pytest.skip(f"its outputs are of form {form}, not {RUN['FORM']}: make notebooks")
    assert shown(path, lab, browser) == []


@pytest.fixture(scope="module")
def kept(tmp_path_factory, shared_store) -> Path:
    """Keep what our objects leave in a notebook, as `make notebooks` keeps it."""
    zoo = toys.zoo(noise=0.3)
    images, truth = pipeline.make_queries(PROMPTS, zoo, shared_store)
    how = wb.Regeneration(wb.Natural(), wb.Cosine(toys.Mean()), gamma=3, size=16)
    frames = wb.evaluate([how], images, zoo, truth=truth, store=shared_store)
    crossed = benchmark.crossed(
        images, truth, zoo, inverters=[wb.Natural(), wb.Empty()],
        similarities=[wb.Cosine(toys.Mean())], gamma=3, store=shared_store, size=16,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("kept")
    paths = [folder / f"{name}.png" for name in images["image_id"][:3]]
    for path in paths:
        shared_store.picture(path.stem).save(path)
    explorer = wb.widgets.Explorer(
        frames, encoders=toys.Mean(), store=shared_store, size=16, method="pca"
    )
    inspector = wb.widgets.ConfusionInspector(frames, store=shared_store)
    row = frames["outcomes"].iloc[0]
    inspector.selection = (row["truth"], row["predicted"])
    gallery = wb.widgets.Gallery(shared_store)
    gallery.show(list(images["image_id"]), list(images["prompt"]))
    own = wb.widgets.AttributePicture(store=shared_store)
    own.choose(paths[0])
    plain = wb.Regeneration(wb.Empty(), wb.Cosine(toys.Mean()), gamma=3, size=16)
    table = frames["evaluations"].head(3)[["metric", "value"]]
    objects = {
        "attribution": wb.attribute(paths, attributor=plain, zoo=zoo, store=shared_store),
        "comparer": wb.widgets.Comparer(crossed, store=shared_store),
        "explorer": explorer,
        "gallery": gallery,
        "inspector": inspector,
        "picture": own,
        "styled table": table.style.highlight_max(subset="value", props="font-weight: bold"),
    }
    book = nbformat.v4.new_notebook()
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    for name, each in objects.items():
        data, metadata = DisplayFormatter().format(each)
        output = nbformat.v4.new_output(
            "execute_result", data, metadata=metadata, execution_count=1
        )
        book.cells.append(nbformat.v4.new_code_cell(name, outputs=[output], execution_count=1))
    nbformat.write(tidy(book), folder / "kept.ipynb")
    return folder / "kept.ipynb"


def test_what_our_objects_leave_looks_right_before_it_is_trusted(kept, lab, browser):
    assert shown(kept, lab, browser) == []


def test_lost_layout_is_found(kept, browser):
    """Hold that the measure of the above can fail: a grid of pictures that needs a style sheet."""
    book = nbformat.read(kept, as_version=4)
    uri = wb.images.marks.bar(1.0, 96, 96, "#ffffff")
    grid = "<style>.g{display:grid}</style><div class='g'>"
    grid += f"<figure><img src='{uri}' width='240' height='240'></figure>" * (viewers.LONE + 1)
    outputs = [grid + "</div>", "<p></p>", f"<table><td><img src='{uri}' width='90' height='9'>"]
    cell = nbformat.v4.new_code_cell(
        "", outputs=[nbformat.v4.new_output("display_data", {"text/html": x}) for x in outputs]
    )
    book.cells = [cell]
    page = browser.new_page()
    page.set_content(viewers.pages_of_github(book)[False])
    words = " ".join(viewers.lost(page, ON_GITHUB, dark=True))
    for each in ("a tower: 4 pictures", "a white slab", "output 1: empty", "out of shape"):
        assert each in words
    page.close()
