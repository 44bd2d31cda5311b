"""Runners: how the jobs of a stage are run. One file is one runner.

A stage of the pipeline hands its jobs to `once`, which hands them to the runner in use: `Local`,
unless all runs under `using` another.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from workbench.runners._work import Away as Away
from workbench.runners._work import Row as Row
from workbench.runners._work import Runner as Runner
from workbench.runners._work import Tick as Tick
from workbench.runners._work import Work as Work
from workbench.runners.local import Local

_used: ContextVar[Runner | None] = ContextVar("runner", default=None)


@contextlib.contextmanager
def using(runner: Runner | None) -> Iterator[None]:
    """Let every stage inside the ``with`` run its jobs by this runner; None changes nothing.

    A runner with a ``session()`` is in one for as long: the actors of `Ray` live through it.
    """
    token = _used.set(runner or _used.get())
    session = getattr(runner, "session", contextlib.nullcontext)
    try:
        with session():
            yield
    finally:
        _used.reset(token)


def once(work: Work[Row], tick: Tick) -> dict[str, Row]:
    """Return every job by the runner in use, `Local` by default."""
    return (_used.get() or Local())(work, tick)
