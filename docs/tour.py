"""Film the Explorer and the inspector in JupyterLab: the GIF of the README.

    python docs/tour.py [--out docs/tour.gif] [--frames DIR]

Needs chromium. The pictures are made first, or come from the store. The frames are taken one after
another, however long each takes, and played in `SECONDS`; ``--frames`` keeps them as PNG files to
look at.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SECONDS, WIDTH, COLOURS, LARGEST = 10.0, 900, 256, 2_000_000
"""How long it plays, how wide it is in pixels, how many colours and bytes it may have."""
WIDE, HIGH = 1200, 900
CELLS = (
    "import workbench as wb\n\n"
    'evaluation = wb.evaluate_preset("pocket-paper", 6, gamma=3, controls="none")',
    'explorer = wb.widgets.Explorer(evaluation, method="pca")\nexplorer',
    "wb.widgets.ConfusionInspector(evaluation)",
)
LASSO = ((0.14, 0.56), (0.45, 0.55), (0.46, 0.97), (0.13, 0.97), (0.14, 0.57))
"""Corners of the lasso, as parts of the map."""
CELL = "table.matrix button[aria-label^='true pocket-sd, predicted pocket-ld']"
ARGUMENTS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
POINTER = """
() => {
  const pointer = document.createElement('div');
  pointer.style.cssText = 'position:fixed;z-index:100000;width:14px;height:14px;margin:-7px;' +
    'border-radius:50%;pointer-events:none;background:#d6278066;border:2px solid #d62780';
  document.body.append(pointer);
  document.addEventListener('mousemove', (event) => {
    pointer.style.left = `${event.clientX}px`;
    pointer.style.top = `${event.clientY}px`;
  }, true);
}
"""
RUN = """
async () => {
  const lab = window.jupyterapp;
  await lab.restored;
  const { context } = lab.shell.currentWidget;
  await context.ready;
  await context.sessionContext.ready;
  await lab.commands.execute('notebook:run-all-cells');
}
"""


@dataclass
class Film:
    """Frames of a page, each with the seconds it is shown, before all are fitted to `SECONDS`."""

    page: Any
    frames: list[tuple[Image.Image, float]] = field(default_factory=list)
    at: tuple[float, float] = (WIDE / 2, HIGH / 2)

    def take(self, seconds: float = 0.1) -> None:
        """Take a frame."""
        shot = Image.open(BytesIO(self.page.screenshot())).convert("RGB")
        height = round(shot.height * WIDTH / shot.width)
        self.frames.append((shot.resize((WIDTH, height), Image.Resampling.LANCZOS), seconds))

    def glide(self, x: float, y: float, steps: int = 4) -> None:
        """Move the pointer there, a frame a step."""
        here = self.at
        for step in range(1, steps + 1):
            part = step / steps
            self.at = (here[0] + part * (x - here[0]), here[1] + part * (y - here[1]))
            self.page.mouse.move(*self.at)
            self.take(0.08)

    def press(self, locator: Any, seconds: float) -> None:
        """Glide to an element, click it, and show what happens."""
        box = locator.bounding_box()
        self.glide(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        self.page.mouse.click(*self.at)
        self.page.wait_for_timeout(2_500)
        self.take(seconds)

    def lasso(self, corners: list[tuple[float, float]], seconds: float) -> None:
        """Draw a lasso through points of the page."""
        self.glide(*corners[0])
        self.page.mouse.down()
        for corner in corners[1:]:
            self.glide(*corner, steps=3)
        self.page.mouse.up()
        self.page.wait_for_timeout(2_500)
        self.take(seconds)

    def write(self, path: Path) -> None:
        """Write the GIF with one palette, so that what stands still costs nothing.

        Raises ValueError where it is larger than `LARGEST`.
        """
        total = sum(seconds for _, seconds in self.frames)
        sheet = Image.new("RGB", (WIDTH, self.frames[0][0].height * 4))
        for row, number in enumerate((0, len(self.frames) // 3, 2 * len(self.frames) // 3, -1)):
            sheet.paste(self.frames[number][0], (0, row * self.frames[0][0].height))
        palette = sheet.quantize(COLOURS, method=Image.Quantize.MEDIANCUT)
        flat = [
            frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame, _ in self.frames
        ]
        times = [round(1000 * SECONDS * seconds / total) for _, seconds in self.frames]
        flat[0].save(path, save_all=True, append_images=flat[1:], duration=times, loop=0)
        if path.stat().st_size > LARGEST:
            raise ValueError(f"{path} has {path.stat().st_size:,} bytes, more than {LARGEST:,}")


@contextlib.contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    """Start JupyterLab in a folder, with settings of its own; its URL, with the token to come."""
    own = {f"JUPYTER_{kind}_DIR": str(folder / kind.lower()) for kind in ("CONFIG", "RUNTIME")}
    settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
    own["JUPYTERLAB_SETTINGS_DIR"] = str(folder / "settings")
    own["JUPYTERLAB_WORKSPACES_DIR"] = str(folder / "workspaces")
    own["JUPYTER_TOKEN"] = secrets.token_hex(16)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    command += ["--expose-app-in-browser", f"--ServerApp.root_dir={folder}"]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command, env=os.environ | own, cwd=folder, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        url = f"http://127.0.0.1:{port}"
        end = time.monotonic() + 180
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{url}/api", timeout=5)
                break
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError((folder / "server.log").read_text()[-2000:])
            time.sleep(0.5)
        yield f"{url}/doc/tree/tour.ipynb?token={own['JUPYTER_TOKEN']}"
    finally:
        server.terminate()
        server.wait(30)


def act(film: Film) -> None:
    """Play the scenes: a point, a lasso, a picture beside its test image, a confusion."""
    page = film.page
    scroll(page.locator(".workbench-explorer .workbench-bar"))
    box = page.locator(".workbench-explorer canvas").first.bounding_box()
    film.take(0.8)

    def on(x: float, y: float) -> tuple[float, float]:
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    page.get_by_role("button", name="Activate lasso selection").first.click()
    film.lasso([on(x, y) for x, y in LASSO], 1.0)
    film.press(page.get_by_role("button", name="zoom to selection"), 1.8)
    film.press(page.locator(".workbench-gallery [role=option]").nth(2), 2.0)
    scroll(page.locator("table.matrix"))
    film.take(0.8)
    film.press(page.locator(CELL), 2.4)


def scroll(locator: Any) -> None:
    """Bring an element to the top of the page, and wait until all stands still."""
    locator.evaluate("element => element.scrollIntoView({ block: 'start' })")
    locator.page.wait_for_timeout(4_000)


def run(page: Any) -> None:
    """Run the notebook, again where a busy machine started a map too late.

    Raises RuntimeError where it does so three times.
    """
    for _ in range(3):
        page.evaluate(RUN)
        page.locator(".workbench-explorer canvas").first.wait_for()
        page.locator(CELL).wait_for()
        page.wait_for_timeout(8_000)  # after 5 s a map says that it was too late
        if not page.get_by_text("The machine was too busy").count():
            return
    raise RuntimeError("this machine is too busy to film")


def main() -> None:
    """Film, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "tour.gif")
    parser.add_argument("--frames", type=Path)
    given = parser.parse_args()
    from playwright.sync_api import sync_playwright

    cells = [nbformat.v4.new_code_cell(each) for each in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    with tempfile.TemporaryDirectory() as name, sync_playwright() as play:
        folder = Path(name)
        nbformat.write(notebook, folder / "tour.ipynb")
        with jupyterlab(folder) as url:
            path = shutil.which("chromium") or shutil.which("chromium-browser")
            browser = play.chromium.launch(executable_path=path, args=ARGUMENTS)
            page = browser.new_page(viewport={"width": WIDE, "height": HIGH})
            page.set_default_timeout(120_000)
            page.goto(url)
            page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.context?.isReady")
            run(page)
            page.evaluate(POINTER)
            film = Film(page)
            act(film)
            browser.close()
    if given.frames:
        given.frames.mkdir(parents=True, exist_ok=True)
        for number, (frame, _) in enumerate(film.frames):
            frame.save(given.frames / f"{number:03}.png")
    film.write(given.out)
    print(f"{given.out}: {len(film.frames)} frames, {given.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
