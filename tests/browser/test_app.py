"""`workbench app` in a browser: its key, hand-over, evidence, stages, cancel, answer, report."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import workbench as wb
from tests.browser.conftest import PATIENCE, UNREADABLE
from tests.evidence.making import A1111

PRESET = """
[presets.quick]
zoo = ["pocket-sd", "pocket-ld"]
inverter = "pocket-blip"
similarity = "pocket-clip"
aggregate = "mean"
gamma = 1
size = 64
prompts = "pocket/prompts.csv"
"""
HAND_OVER = """
([kind, name, data, text]) => {
  const carried = new DataTransfer();
  if (data) {
    const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
    carried.items.add(new File([bytes], name, { type: 'image/png' }));
  } else carried.setData('text/plain', text);
  const options = { bubbles: true, cancelable: true };
  if (kind === 'drop')
    document.querySelector('.workbench-drop')
      .dispatchEvent(new DragEvent('drop', { ...options, dataTransfer: carried }));
  else
    document.body
      .dispatchEvent(new ClipboardEvent('paste', { ...options, clipboardData: carried }));
}
"""
"""What a browser does at a drop or a paste of a file or a text."""
BEYOND = """
() => [...document.querySelectorAll('#rendered_cells *')].filter((each) => {
  const box = each.getBoundingClientRect();
  return box.width && box.right > document.documentElement.clientWidth + 1;
}).map((each) => each.outerHTML.slice(0, 90))
"""
SOON = 10_000
"""Milliseconds: what takes one or two seconds alone has as many on a busy machine."""
SECTIONS = (
    "What the file says",
    "What it is narrowed to",
    "Why",
    "What it does not prove",
    "Keep the evidence",
)


@pytest.fixture(scope="module")
def served(tmp_path_factory, warm_server):
    """Start the command; its port, the file with its key, and its log."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "catalogue").mkdir()
    (folder / "catalogue" / "presets.toml").write_text(PRESET)
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    own = {"WORKBENCH_STORE": str(folder / "store"), "TMPDIR": str(folder)}
    own |= warm_server | {"WORKBENCH_CATALOGUE": str(folder / "catalogue")}
    command = [sys.executable, "-m", "workbench", "app", "--no-browser", "--preset", "quick"]
    log = folder / "log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [*command, f"--port={port}"], env=os.environ | own, cwd=folder, stdout=out, stderr=out,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip  # what runs the tests behind a shell's `&` ignores interrupts
    try:
        end = time.monotonic() + 120
        while "Ctrl-C ends it." not in log.read_text():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        yield port, Path(re.search(r"holds its key: (\S+)", log.read_text())[1]), log, server
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.send_signal(signal.SIGINT)
        server.wait(30)


@pytest.fixture
def page(browser, served):
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(2 * PATIENCE)
    made, wrong = context.new_page(), []
    made.on("pageerror", lambda error: wrong.append(str(error)))
    made.on("console", lambda said: said.type == "error" and wrong.append(said.text))
    made.on("requestfailed", lambda asked: wrong.append(asked.url))
    made.on(
        "request",
        lambda asked: (
            asked.url.startswith("http")
            and not asked.url.startswith(f"http://127.0.0.1:{served[0]}/")
            and wrong.append(asked.url)
        ),
    )
    yield made
    context.close()
    assert wrong == []


def png(colour, **texts) -> bytes:
    told, out = PngInfo(), io.BytesIO()
    for name, text in texts.items():
        told.add_text(name, text)
    Image.new("RGB", (64, 64), colour).save(out, "PNG", pnginfo=told)
    return out.getvalue()


def hand_over(page, kind, name="", data=b"", text=""):
    page.evaluate(HAND_OVER, [kind, name, base64.b64encode(data).decode(), text])


def test_nobody_without_the_key_comes_in(served):
    port, door, log, _ = served
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
        assert "/login" in answer.url
    assert stat.S_IMODE(door.stat().st_mode) == 0o600
    key = re.search(r"token=([\w-]+)", door.read_text())[1]
    assert key not in log.read_text()


def test_a_picture_goes_from_the_hand_over_to_the_report(page, served, tmp_path):
    _, door, _, _ = served
    page.goto(door.as_uri())
    page.get_by_role("button", name="Choose a picture").wait_for()
    assert "pocket-sd, pocket-ld" in page.locator("body").inner_text()

    (tmp_path / "notes.txt").write_text("no picture")
    hand_over(page, "paste", text=str(tmp_path / "notes.txt"))
    alert = page.locator(".error[role=alert]")
    alert.get_by_text("notes.txt cannot be attributed: it is not a picture").wait_for()
    assert "Choose another file" in alert.inner_text()
    hand_over(page, "drop", "large.png", b"\0" * 10_000_001)
    page.get_by_text("Give its path below instead.").wait_for()

    hand_over(page, "paste", "pasted.png", png("red"))
    page.get_by_text("pasted.png: press Start.").wait_for()
    hand_over(page, "drop", "dropped.png", png("blue", parameters=A1111.format(size="64x64")))
    page.get_by_text("dropped.png: press Start.").wait_for()
    page.locator(".says").get_by_text("parameters, claimed.").wait_for()  # before any start

    start = page.get_by_role("button", name="Start", exact=True)
    start.click()
    page.locator(".stages .now").wait_for(timeout=SOON)
    page.locator(".widget-html-content").filter(has_text=re.compile(r"^\d+ s$")).wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled. What was made stays in the store").wait_for(timeout=SOON)

    start.click()
    link = page.get_by_role("link", name="Download the report")
    link.wait_for()
    titles = page.locator(".workbench-page > h3, .workbench-page section > :is(h2, h3)")
    assert tuple(titles.all_inner_texts()) == SECTIONS
    with page.expect_download() as download:
        link.click()
    download.value.save_as(tmp_path / "report.html")
    (case,) = wb.attribution.replay.read(tmp_path / "report.html")["pictures"].values()
    rows = page.locator("table.models tbody th .model").all_inner_texts()
    assert rows == [name for name, *_ in case["ranking"]]
    page.locator(".answer .grid .enlarge").first.click()
    page.locator(".zoom:popover-open").get_by_label("show the difference instead").check()
    page.keyboard.press("Escape")

    for wide, scheme in ((1280, "light"), (390, "light"), (390, "dark")):
        page.set_viewport_size({"width": wide, "height": 900})
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= wide
        assert page.evaluate(BEYOND) == []
        assert page.locator("body").evaluate(UNREADABLE) == []


def test_ctrl_c_ends_it_and_leaves_nothing(served):
    port, door, log, server = served
    server.send_signal(signal.SIGINT)
    assert server.wait(30) == 0
    assert log.read_text().rstrip().endswith("The page is closed.")
    assert not door.parent.exists()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=5)
