"""Redirect the warnings of libraries, and their stderr, to the log."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import threading
import warnings
from collections.abc import Iterator
from typing import Any

log = logging.getLogger(__name__)
ALONE = threading.RLock()


@contextlib.contextmanager
def warnings_logged() -> Iterator[None]:
    """Log Python warnings at debug level inside the block, whatever the filters; show none.

    A library warns its caller, which is us: a user can do nothing about it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = _logged
        yield


def _logged(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any, **__: Any
) -> None:
    log.debug("%s:%s: %s: %s", filename, lineno, category.__name__, message)


@contextlib.contextmanager
def stderr_logged(wanted: bool = True) -> Iterator[None]:
    """Log at debug level what C libraries write to stderr inside the block; show nothing.

    It is for moments alone: whatever else the process writes there meanwhile is kept from the
    screen, too.

    Args:
        wanted: else nothing is done.
    """
    if not wanted:
        yield
        return
    with ALONE, contextlib.ExitStack() as stack:
        try:
            aside = stack.enter_context(tempfile.TemporaryFile())
            screen = os.dup(2)
        except OSError:  # there is no stderr, or nowhere to write
            yield
            return
        try:
            os.dup2(aside.fileno(), 2)
            yield
        finally:
            os.dup2(screen, 2)
            os.close(screen)
            aside.seek(0)
            for line in aside.read(10_000).decode("utf-8", "replace").splitlines():
                log.debug("%s", line)
