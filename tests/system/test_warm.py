"""A Python forked warm is one of its own: what it is told, what it has, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ASK = [sys.executable, str(ROOT / "tests" / "support" / "warm" / "ask.py"), "-m"]
TELL = """
import json, os, sys
ours = sorted(name for name in sys.modules if name.partition(".")[0] in ("workbench", "tests"))
print(json.dumps([os.getcwd(), sys.argv[1:], os.environ["TOLD"], __name__, ours]))
print("torch" in sys.modules, file=sys.stderr)
sys.exit(int(sys.stdin.read()))
"""


@pytest.fixture
def start(warm_server, tmp_path):
    """Start a module written here, warm, in a folder of its own."""

    def begin(text: str, *words: str, **more: str) -> subprocess.Popen:
        (tmp_path / "told.py").write_text(text)
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        environment = os.environ | warm_server | more
        command = [*ASK, "told", *words]
        return subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, **streams)

    return begin


def test_it_has_its_own_folder_words_environment_streams_and_status(start, tmp_path):
    for status, told in ((0, "one"), (3, "two")):
        child = start(TELL, told, "--x", TOLD=told)
        out, err = child.communicate(str(status), timeout=60)
        assert json.loads(out) == [str(tmp_path), [told, "--x"], told, "__main__", []]
        assert (err, child.returncode) == ("True\n", status)


def test_a_failure_is_told_as_python_tells_it(start):
    child = start("import atexit; atexit.register(print, 'ended'); 1 / 0")
    out, err = child.communicate(timeout=60)
    assert (out, child.returncode) == ("ended\n", 1)
    assert err.endswith("ZeroDivisionError: division by zero\n")


def test_it_has_no_network(start):
    child = start("import socket; socket.create_connection(('192.0.2.1', 80), timeout=2)")
    assert "tests run offline: no connection to '192.0.2.1'" in child.communicate(timeout=60)[1]


def test_an_interrupt_reaches_it_and_it_dies_with_the_one_who_asked(start):
    wait = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    child = start(wait)
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=60)[1].endswith("KeyboardInterrupt\n")
    child = start(wait)
    child.stdout.readline()
    child.kill()
    child.communicate(timeout=30)  # ends when nobody holds the streams any more
