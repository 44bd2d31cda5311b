"""Fork Pythons from one process that has imported what the pocket zoo and notebooks import.

    python -m tests.support.warm.serve SOCKET

Each is a process of its own, with its own namespace, folder, path, environment and streams, and
what it runs is run; only third-party modules are there already. The workbench itself is not, nor
what talks to a kernel on import (ipywidgets and its kin). Not for tests of starting, of threads
that OMP_NUM_THREADS sets, or of another HF_HOME: those are read on import. Ends with its standard
input.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path

from tests.support.imports import NOTEBOOK, POCKET


def main() -> None:
    """Import, tell that it is done, and fork until standard input ends."""
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    del sys.path[
        : 1 + len(list(given))
    ]  # this folder, for `-m`, and those; what is installed stays
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # as a kernel's
    for name in (*NOTEBOOK, *POCKET):
        pkgutil.resolve_name(name)
    alive = [each for each in threading.enumerate() if each is not threading.main_thread()]
    assert not alive, f"a process with threads cannot be forked: {alive}"
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door,
        selectors.DefaultSelector() as both,
    ):
        door.bind(sys.argv[1])
        door.listen()
        Path(f"{sys.argv[1]}.ready").touch()
        both.register(door, selectors.EVENT_READ)
        both.register(sys.stdin, selectors.EVENT_READ)
        while sys.stdin not in {key.fileobj for key, _ in both.select()}:
            line, _ = door.accept()
            if not os.fork():
                both.close()
                door.close()
                be(line)
            line.close()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def be(line: socket.socket) -> None:
    """Be the Python that was asked for; never return."""
    text, streams, _, _ = socket.recv_fds(line, 2**16, 3)
    while not text.endswith(b"\n"):
        text += line.recv(2**16)
    for place, stream in enumerate(streams):
        os.dup2(stream, place)
        os.close(stream)
    how = {"encoding": "utf-8", "closefd": False}  # anew, as the old ones were of another kind
    sys.stdin, sys.stdout = open(0, **how), open(1, "w", **how)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", **how)  # noqa: SIM115
    asked = json.loads(text)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, where a shell does so
    os.setsid()
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.environ.pop("JPY_PARENT_PID", None)  # the line tells when the one who asked is gone
    sys.path[:0] = [
        asked["folder"],
        *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)),
    ]
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    line.sendall(f"{os.getpid()}\n".encode())
    threading.Thread(target=die_with, args=[line], daemon=True).start()
    status = run(asked["argv"])
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    with contextlib.suppress(OSError):
        line.sendall(f"{status}\n".encode())
    os._exit(status)


def run(argv: list[str]) -> int:
    """Run a module as the main one, as `python -m` does, what it leaves for its end included."""
    sys.argv = argv
    status = 0
    try:
        runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:
        traceback.print_exc()
        status = 1
    atexit._run_exitfuncs()
    return status


def die_with(line: socket.socket) -> None:
    """End this process, and what it has started, as soon as the one who asked has ended."""
    line.recv(1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
    os._exit(0)  # unloading all that takes seconds
