"""A JupyterLab of this environment and Debian's chromium: what the browser tests sit at.

    def test_a_sum(lab):
        notebook = lab.open(["total = 1 + 1", "total"])
        notebook.page.locator(".jp-OutputArea-output").get_by_text("2").wait_for()
        assert notebook.evaluate("total") == 2

Where chromium is missing these tests are skipped with a sentence; in CI they fail with it.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest

ARGUMENTS = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # pages run offline, too
]
THEMES = {False: "JupyterLab Light", True: "JupyterLab Dark"}
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # every output is in the page
}
PATIENCE = 60_000
"""Milliseconds anything may take before the test fails."""

UNREADABLE = """
(root) => {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const light = (colour) => {
    const [r, g, b] = colour
      .map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const backdrop = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      const colour = rgba(getComputedStyle(each).backgroundColor);
      if (colour[3]) layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const opacity = (element) =>
    element ? Number(getComputedStyle(element).opacity) * opacity(element.parentElement) : 1;
  const found = [];
  const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode;
    const element = node.parentElement;
    if (!node.textContent.trim() || element.closest('style, script, :disabled')) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    if (box.width * box.height < 4 || !element.checkVisibility({ visibilityProperty: true }))
      continue;
    const style = getComputedStyle(element);
    const below = backdrop(element);
    const ink = rgba(element instanceof SVGElement ? style.fill : style.color);
    ink[3] *= opacity(element);
    if (ink[3] === 0) continue;
    const seen = over(ink, below);
    const [dark, bright] = [light(seen), light(below)].sort((a, b) => a - b);
    const ratio = (bright + 0.05) / (dark + 0.05);
    if (ratio < 3)
      found.push(`${node.textContent.trim().slice(0, 60)}: ${ratio.toFixed(2)}, rgb(${
        seen.map(Math.round)}) on rgb(${below.map(Math.round)})`);
  }
  return found;
}
"""


def painted(page: Any, dark: bool) -> None:
    """Wait until JupyterLab shows a theme: while it changes, all of its window is hidden."""
    page.wait_for_selector(f"body[data-jp-theme-name='{THEMES[dark]}']", state="attached")
    page.locator("#main").wait_for(state="visible")


@dataclass
class Notebook:
    """A notebook open in the browser, all cells run; `page` is playwright's."""

    page: Any
    kernel: Any = field(repr=False)
    errors: list[str] = field(default_factory=list)
    """What the browser's console called an error, from the opening of the page on."""

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the kernel: what its repr tells, a literal."""
        reply = self.kernel.execute(
            "", silent=True, user_expressions={"value": expression}, reply=True, timeout=60
        )
        value = reply["content"]["user_expressions"]["value"]
        assert value["status"] == "ok", "\n".join(value.get("traceback", []))
        return ast.literal_eval(value["data"]["text/plain"])

    def execute(self, code: str) -> None:
        """Run statements in the kernel, beside the cells; the test fails where they do."""
        reply = self.kernel.execute(code, silent=True, reply=True, timeout=60)["content"]
        assert reply["status"] == "ok", "\n".join(reply.get("traceback", []))

    def wait(self, expression: str, seconds: float = 20) -> None:
        """Wait until an expression is true in the kernel; the test fails where it never is."""
        end = time.monotonic() + seconds
        while not self.evaluate(f"bool({expression})"):
            assert time.monotonic() < end, f"after {seconds} s this is still false: {expression}"
            time.sleep(0.05)

    def paint(self, dark: bool) -> None:
        """Change JupyterLab's theme."""
        self.page.evaluate(
            "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })",
            THEMES[dark],
        )
        painted(self.page, dark)

    def unreadable(self, selector: str = ".jp-Notebook") -> list[str]:
        """List the texts below an element whose contrast with what lies behind is under 3:1."""
        return self.page.locator(selector).first.evaluate(UNREADABLE)


@dataclass
class Lab:
    """A JupyterLab server and a browser; what is opened here is closed after the test."""

    url: str
    token: str
    folder: Path
    browser: Any
    open_ones: list[tuple[Any, str, Any]] = field(default_factory=list)

    def open(
        self, cells: Sequence[str], *, dark: bool = False, wide: int = 1280, high: int = 1000
    ) -> Notebook:
        """Write the cells to a notebook, open it, run all; the test fails where a cell does."""
        name = f"{secrets.token_hex(4)}.ipynb"
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in cells])
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(made, self.folder / name)
        return self.show(name, dark=dark, wide=wide, high=high)

    def show(
        self, name: str, *, dark: bool = False, wide: int = 1280, high: int = 1000
    ) -> Notebook:
        """Open a notebook that lies in the server's folder, as `open` does."""
        return self._opened(name, dark, wide, high, run=True)

    def look(
        self, name: str, *, dark: bool = False, wide: int = 1280, high: int = 1000
    ) -> Notebook:
        """Open a notebook that lies in the server's folder; nothing is run, nor trusted."""
        return self._opened(name, dark, wide, high, run=False)

    def _opened(self, name: str, dark: bool, wide: int, high: int, run: bool) -> Notebook:
        context = self.browser.new_context(viewport={"width": wide, "height": high})
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.goto(f"{self.url}/doc/tree/{name}?token={self.token}")
        page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.context?.isReady")
        failed = page.evaluate(
            """async ([theme, run]) => {
              const lab = window.jupyterapp;
              await lab.restored;
              await lab.commands.execute('apputils:change-theme', { theme });
              const { context } = lab.shell.currentWidget;
              await context.ready;
              await context.sessionContext.ready;
              if (run) await lab.commands.execute('notebook:run-all-cells');
              return context.model.toJSON().cells.flatMap((cell) => cell.outputs ?? [])
                .filter((output) => output.output_type === 'error')
                .map((output) => `${output.ename}: ${output.evalue}`);
            }""",
            [THEMES[dark], run],
        )
        painted(page, dark)
        number, kernel = self._kernel(name)
        self.open_ones.append((context, number, kernel))
        assert not failed, "\n".join(failed)
        return Notebook(page, kernel, errors)

    def close(self) -> None:
        """Close what was opened, and end its kernels."""
        while self.open_ones:
            context, session, kernel = self.open_ones.pop()
            kernel.stop_channels()
            context.close()
            self._call(f"sessions/{session}", "DELETE")

    def _kernel(self, name: str) -> tuple[str, Any]:
        from jupyter_client.blocking import BlockingKernelClient

        (session,) = [each for each in self._call("sessions") if each["path"] == name]
        kernel = BlockingKernelClient()
        kernel.load_connection_file(
            str(self.folder / "runtime" / f"kernel-{session['kernel']['id']}.json")
        )
        kernel.start_channels()
        kernel.wait_for_ready(timeout=60)
        return session["id"], kernel

    def _call(self, what: str, method: str = "GET") -> Any:
        headers = {"Authorization": f"token {self.token}"}
        wanted = urllib.request.Request(f"{self.url}/api/{what}", headers=headers, method=method)
        with urllib.request.urlopen(wanted, timeout=60) as answer:
            return json.loads(answer.read() or b"null")


@pytest.fixture(scope="session")
def lab_server(
    tmp_path_factory: pytest.TempPathFactory, warm_server: dict[str, str]
) -> Iterator[tuple[str, str, Path]]:
    """Start a JupyterLab on a free port, with settings and folders of its own."""
    folder = tmp_path_factory.mktemp("lab")
    for name, values in SETTINGS.items():
        file = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    places = {"CONFIG_DIR": "config", "RUNTIME_DIR": "runtime", "DATA_DIR": "data"}
    own = {f"JUPYTER_{key}": str(folder / name) for key, name in places.items()}
    own |= warm_server | {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings")}
    own |= {"JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"), "JUPYTER_TOKEN": token}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    command += ["--expose-app-in-browser", f"--ServerApp.root_dir={folder}"]
    log = folder / "server.log"
    with log.open("wb") as out:
        server = subprocess.Popen(command, env=os.environ | own, cwd=folder, stdout=out, stderr=out)
    try:
        url = f"http://127.0.0.1:{port}"
        _until_it_answers(url, server, log)
        yield url, token, folder
    finally:
        server.send_signal(signal.SIGINT)
        server.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(10)
        server.kill()


def _until_it_answers(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 90
    while server.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{url}/api", timeout=5)
            return
        time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start chromium; by module, as playwright's event loop would disturb later notebook tests."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        sentence = "chromium is missing, which browser tests need: apt-get install chromium"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(sentence)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def lab(lab_server: tuple[str, str, Path], browser: Any) -> Iterator[Lab]:
    """Open notebooks in JupyterLab, in a browser."""
    made = Lab(*lab_server, browser)
    yield made
    made.close()
