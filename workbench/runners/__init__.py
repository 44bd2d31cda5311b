"""Runners: how the jobs of a stage are run. One file is one runner.

A stage of the pipeline hands its jobs to `once`, which hands them to the runner in use: `Local`,
unless an experiment runs under `using` another.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Protocol, TypeAlias, TypeVar

from workbench.store import Store

Row = TypeVar("Row")
Look: TypeAlias = Callable[[Iterable[str]], dict[str, Row]]
Make: TypeAlias = Callable[[dict[str, Any]], dict[str, Row]]
Tick: TypeAlias = Callable[[int], None]


class Runner(Protocol):
    """Answer jobs from the store, and make what is missing, each thing once."""

    def __call__(
        self,
        jobs: Mapping[str, Any],
        look: Look[Row],
        make: Make[Row],
        store: Store,
        batch: int,
        tick: Tick,
    ) -> dict[str, Row]:
        """Answer the row of every key.

        Args:
            jobs: key → what ``make`` needs to know.
            look: keys → the rows the store holds of them.
            make: jobs of a batch → their rows, stored.
            store: whose claims keep two processes from making the same thing.
            batch: jobs in one call of ``make``, at most.
            tick: called with the number of jobs done.
        """
        ...


_used: ContextVar[Runner | None] = ContextVar("runner", default=None)


@contextlib.contextmanager
def using(runner: Runner | None) -> Iterator[None]:
    """Let every stage inside the ``with`` run its jobs by this runner; None changes nothing."""
    token = _used.set(runner or _used.get())
    try:
        yield
    finally:
        _used.reset(token)


def once(
    jobs: Mapping[str, Any],
    look: Look[Row],
    make: Make[Row],
    store: Store,
    batch: int,
    tick: Tick,
) -> dict[str, Row]:
    """Answer every job by the runner in use; arguments as of `Runner`."""
    from workbench.runners.local import Local

    return (_used.get() or Local())(jobs, look, make, store, batch, tick)
