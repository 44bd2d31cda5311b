"""The command as a process: its signals, its streams and its exit status.

Nothing heavy is imported here, so that Ctrl-C is answered while the rest is still being imported.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from typing import Any

STOPPED = "Stopped. What was made is kept: the same command goes on from there."
CLOSED = "workbench: the output was closed, and nothing more can be told"
FULL = (errno.ENOSPC, errno.EDQUOT)
ENDS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Terminated(KeyboardInterrupt):
    """The process was asked to end: by SIGTERM, or by the end of its terminal (SIGHUP)."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.status = 128 + number


def status_of(stop: KeyboardInterrupt) -> int:
    """Return the exit status of a process that was stopped: 130 by Ctrl-C, 143 by SIGTERM."""
    return getattr(stop, "status", 128 + signal.SIGINT)


def listen() -> None:
    """Handle SIGTERM and SIGHUP as Ctrl-C, so that temporary folders are removed; once."""

    def stop(number: int, _frame: object) -> None:
        for ending in ENDS:
            signal.signal(ending, signal.SIG_DFL)  # who asks again does not want to wait
        raise Terminated(number)

    for number in ENDS:
        if signal.getsignal(number) is signal.SIG_DFL:  # else it is ignored, as under nohup
            signal.signal(number, stop)


def open_streams() -> None:
    """Open missing standard streams; escape characters that a stream cannot encode."""
    if sys.stdout is None:
        raise OSError(errno.EBADF, "stdout is closed")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def flushed(status: Any) -> Any:
    """Write out what was told; where that fails, say so, and let the status be 1."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError) as error:
        status = status or say_closed(error)
        _drop_output()
    return status


def say_closed(error: Exception) -> int:
    """Report that stdout is closed; return the exit status."""
    _drop_output()
    if getattr(error, "errno", None) in FULL:
        say("workbench: the disk that the output goes to is full; free some space")
    else:
        say(CLOSED)
    return 1


def _drop_output() -> None:
    """Discard the rest of stdout, so that the interpreter can end."""
    if sys.stdout is not None:
        with contextlib.suppress(OSError, ValueError):
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, sys.stdout.fileno())
            os.close(nothing)


def say(sentence: str) -> None:
    """Write a sentence on stderr, if anybody still reads there."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(sentence, file=sys.stderr, flush=True)
