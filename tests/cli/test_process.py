"""The command as a process: however it ends, a sentence, its status, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "workbench"]
STOPPED = "Stopped. What was made is kept: the same command goes on from there.\n"
CLOSED = "workbench: the output was closed, and nothing more can be told\n"
SCRIPT = """
import sys
from workbench import paths
if data := sys.argv.pop(1):
    paths.PLACES = [__import__("pathlib").Path(data)]
from workbench.cli import main
main()
"""


@pytest.fixture
def start(tmp_path):
    """Start the command in a process of its own, which is ended with the test."""
    running = []

    def begin(*words, data="", **how):
        env = os.environ | {"WORKBENCH_STORE": str(tmp_path / "store"), "TMPDIR": str(tmp_path)}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **how}
        child = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(data), *map(str, words)],
            env=env,
            cwd=ROOT,
            # what starts the tests in the background may have told them to ignore it
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            **streams,
        )
        running.append(child)
        return child

    yield begin
    for child in running:
        child.kill()
        child.wait()


@pytest.mark.parametrize("words", [["zoo", "list"], ["--help"], ["store", "info"]])
def test_a_closed_stdout_is_told(tmp_path, words):
    env = os.environ | {"WORKBENCH_STORE": str(tmp_path / "store")}
    shell = f"'{sys.executable}' -m workbench {' '.join(words)} >&-"
    done = subprocess.run(["sh", "-c", shell], env=env, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (1, CLOSED)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout_is_told(start):
    with Path("/dev/full").open("w") as full:
        child = start("store", "info", stdout=full)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 1
    assert re.fullmatch(r"workbench: the disk .*is full; free some space\n", said)


@pytest.mark.parametrize("words", [["store", "info"], ["zoo", "show", "pocket-sd"], ["doctor"]])
def test_a_reader_that_went_away_is_told(start, words):
    child = start(*words)
    child.stdout.close()
    assert child.stderr.read().endswith(CLOSED)
    assert child.wait(60) == 1


def test_without_any_stderr_the_results_are_told(tmp_path):
    shell = f"'{sys.executable}' -m workbench store info 2>&-"
    done = subprocess.run(["sh", "-c", shell], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert done.returncode == 0
    assert "pictures" in done.stdout


def _as_in_a_terminal():
    """Ignore no signal, even where these tests run in the background or under nohup."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
)
def test_a_signal_while_the_command_is_still_being_imported_is_a_sentence(number, status):
    code = "import sys, time; sys.path.insert(0, 'x'); from workbench.cli import main; main()"
    wait = "import importlib.abc, sys, time\nclass Slow(importlib.abc.MetaPathFinder):\n"
    wait += "    def find_spec(self, name, path, target=None):\n"
    wait += "        if name == 'workbench.cli.app': print('now', flush=True); time.sleep(60)\n"
    wait += "sys.meta_path.insert(0, Slow())\n"
    child = subprocess.Popen(
        [sys.executable, "-c", wait + code, "zoo", "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        preexec_fn=_as_in_a_terminal,
    )
    assert child.stdout.readline() == "now\n"
    child.send_signal(number)
    _, said = child.communicate(timeout=60)
    assert (child.returncode, said) == (status, STOPPED)


def test_what_ignores_the_end_of_its_terminal_goes_on_ignoring_it():
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    code += "from workbench.cli import process; process.listen()\n"
    code += "print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "True\n", done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_ended_leaves_no_pictures_behind(start, tiny_data, tmp_path, number, status):
    picture = tmp_path / "x.png"
    Image.new("RGB", (32, 32), "red").save(picture)
    call = {"gamma": 10_000, "prompt": "a thing", "zoo": "tiny-sd,tiny-ld"}
    kept = {"format": 1, "call": call, "versions": {}, "weights": {}, "pictures": {}}
    mark = '<script type="application/json" id="attribution-workbench">'
    (tmp_path / "r.html").write_text(f"{mark}{json.dumps(kept)}</script>")
    child = start("attribute", picture, "--from", tmp_path / "r.html", data=tiny_data)
    until = time.monotonic() + 120
    while child.poll() is None and time.monotonic() < until:
        if len(list(tmp_path.glob("workbench-*/pictures/*/*.png"))) > 1:
            break
        time.sleep(0.05)
    child.send_signal(number)
    _, said = child.communicate(timeout=60)
    assert (child.returncode, said[-len(STOPPED) :]) == (status, STOPPED)
    assert "Traceback" not in said
    assert not list(tmp_path.glob("workbench-*"))
