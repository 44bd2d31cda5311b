"""A thread that keeps what was made, one batch behind the making."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Generic

from workbench.runners._work import Row


class Writer(Generic[Row]):
    """Keep batches in a thread of their own, the next only when the one before is kept.

    Used as a context: at its end, after an error too, what was handed over is kept. So a killed run
    loses the batch in the making and the one being written.
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._last: Future[dict[str, Row]] | None = None
        self.keys: frozenset[str] = frozenset()

    def put(self, keys: Iterable[str], keep: Callable[[], dict[str, Row]], held: ExitStack) -> None:
        """Hand a batch over; `held`, such as its claims, is let go when it is kept.

        What was handed over before must be finished.
        """
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "store")
        self.keys = frozenset(keys)

        def run() -> dict[str, Row]:
            with held:
                return keep()

        self._last = self._pool.submit(run)

    def finish(self) -> dict[str, Row]:
        """Wait for the last batch, and return its rows; raise what keeping it raised."""
        last, self._last = self._last, None
        self.keys = frozenset()
        return {} if last is None else last.result()

    def __enter__(self) -> Writer[Row]:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True)
