"""Warnings of libraries, kept from the screen."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

log = logging.getLogger(__name__)


@contextlib.contextmanager
def warnings_logged() -> Iterator[None]:
    """Log at debug what Python's warnings say inside, whatever the filters are; show nothing.

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
