"""Attribute my picture in JupyterLab: upload, cancel, start again, ranking, report."""

from __future__ import annotations

import workbench as wb

CELLS = [
    "import workbench as wb\n"
    "mine = wb.widgets.AttributePicture(store=wb.Store('a-new-store'))\nmine"
]
NAME = "<b>my picture.png"
HOLD = """
import threading
go_on = threading.Event()
mine._shown.observe(lambda seen: "generate: 4 of" in seen.new and go_on.wait(60), "value")
"""
"""Holds the run where it has told that four are made, so that Cancel comes in the middle."""


def upload(page, name, data):
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a picture").click()
    chooser.value.set_files([{"name": name, "mimeType": "image/png", "buffer": data}])


def test_a_picture_is_uploaded_cancelled_and_then_ranked(lab, tmp_path):
    notebook = lab.open(CELLS, dark=True, high=1400)
    page = notebook.page
    sample = wb.paths.data_folder() / "samples" / "sample-03.png"
    upload(page, "a.txt", b"words")
    page.get_by_text("a.txt cannot be attributed: it is not a picture of a known kind").wait_for()
    assert page.get_by_role("button", name="Start", exact=True).is_disabled()
    upload(page, NAME, sample.read_bytes())
    page.get_by_text(f"{NAME}: press Start.", exact=True).wait_for()
    start = page.get_by_role("button", name="Start", exact=True)
    notebook.execute(HOLD)
    start.click()
    page.get_by_text("generate: 4 of 16", exact=True).wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled. What was made stays in the store").wait_for()
    notebook.execute("go_on.set()")
    notebook.execute("mine.wait()")
    assert notebook.evaluate("mine.result") is None
    made = notebook.evaluate("wb.Store('a-new-store').info()['generations']")
    assert 4 <= made < 16
    start.focus()
    page.keyboard.press("Enter")
    link = page.get_by_role("link", name="Download the report")
    link.wait_for()
    ranking = page.locator("table.models tbody th .model").all_inner_texts()
    known = "mine.result.rankings.sort_values('rank').generator.tolist()"
    assert ranking == notebook.evaluate(known)
    assert len(ranking) == 4
    assert page.locator(".stages .done").count() == 6
    assert page.locator("h3 .path").inner_text() == NAME
    with page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == "attribution-b-my-picture.html"
    download.value.save_as(tmp_path / "report.html")
    (image_id,) = wb.attribution.replay.read(tmp_path / "report.html")["pictures"]
    assert image_id == notebook.evaluate("mine.selection.paths[0][1]")
    assert not notebook.unreadable(".jp-OutputArea-output")
