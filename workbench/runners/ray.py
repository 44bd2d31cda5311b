"""The runner of a cluster: actors of Ray make, and only this process writes the store."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from workbench.plugin import Plugin
from workbench.runners._pool import Pool, Shift
from workbench.runners._work import Row, Tick, Work
from workbench.runners.local import Local, fill


@dataclass(frozen=True, repr=False)
class Ray(Plugin):
    """Let actors of a Ray cluster make what is missing, and write it into the store here.

    Pictures and prompts travel, so that no file system is shared; weights lie on every machine.
    Each actor checks that it runs what the keys name (device type, dtype, weights, version) before
    it makes anything. The actors live through all stages and models of a run (`runners.using`).
    What an actor lost, with its machine, is made by another; what no actor could make is told of
    each picture. A run that was killed goes on from the store.

    `actors` work at a time, on `gpus` each: 1 where the cluster has any, else 0. The cluster is
    that of ``RAY_ADDRESS``, else one on this machine. What is paid for, or read from files here, is
    made here, and so is what fits into one call, before there are actors. Needs the extra ``ray``.

    Raises LookupError without it, or where no machine has so many GPUs; ValueError where there is
    less than one actor, or a machine would run something else.

    >>> Ray(actors=4, gpus=1)
    Ray(actors=4, gpus=1)
    """

    actors: int = 2
    gpus: float | None = None
    _pools: ClassVar[dict[Ray, Pool]] = {}

    def __post_init__(self) -> None:
        """Refuse what cannot run."""
        if self.actors < 1 or (self.gpus or 0) < 0:
            raise ValueError(f"at least 1 actor and 0 GPUs are needed; seen {self!r}")

    def __call__(self, work: Work[Row], tick: Tick) -> dict[str, Row]:
        """Return the row of every key, after the actors have made what the store lacks."""
        if work.away is None:
            return Local()(work, tick)
        rows = work.look(work.jobs)
        tick(len(rows))
        with self.session() as pool:
            if len(work.jobs) - len(rows) > (0 if pool.started else work.batch):
                Shift(pool, work, work.away, rows, tick).run()
            else:
                fill(work, rows, tick)
        return rows

    @contextlib.contextmanager
    def session(self) -> Iterator[Pool]:
        """Keep the actors through the ``with``; the outermost one of equal runners ends them."""
        with _sessions:
            pool = self._pools.setdefault(self, Pool(self.actors, self.gpus, _started))
            pool.users += 1
        try:
            yield pool
        finally:
            with _sessions:
                pool.users -= 1
                if not pool.users:
                    del self._pools[self]
                    pool.close()


_sessions = threading.RLock()


def _started() -> Any:
    """Return ``ray`` with a cluster behind it that phones nobody and prints nothing.

    A cluster of this machine alone listens on loopback only.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ours = "RAY_ADDRESS" not in os.environ
    if ours:
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise LookupError(
            "the runner ray needs Ray: pip install 'attribution-workbench[ray]'"
        ) from error
    if not ray.is_initialized():
        options: dict[str, Any] = {"include_dashboard": False} if ours else {}
        ended = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        except ConnectionError as error:
            raise OSError(
                f"no cluster answers at RAY_ADDRESS, {os.environ.get('RAY_ADDRESS')!r}: start one "
                "with `ray start --head`, or unset it for one of this machine"
            ) from error
        if ended and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ended)  # Ray puts a handler of its own there
    return ray
