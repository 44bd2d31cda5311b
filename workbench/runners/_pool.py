"""The actors of a run on a cluster, and a shift: one work that they do together."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any, Generic

from workbench.runners._actor import Actor
from workbench.runners._work import Away, Row, Tick, Work
from workbench.runners.local import fill
from workbench.text import brief, first_line

TRIES = 3
"""Actors that may die over a picture before it is given up; it is alone in the last try."""
PATIENCE = 300.0
"""Seconds without any actor after which all that is left is given up."""
BREATH = 0.2
"""Seconds an actor is waited for before it is asked whether there is anything left to do."""


class LostError(Exception):
    """An actor died over a batch, which goes back among what is to be made."""


class StoppedError(Exception):
    """The shift ends before its work is done."""


class Pool:
    """Actors of a cluster, made when they are first asked for; one that died is made anew."""

    def __init__(self, actors: int, gpus: float | None, start: Callable[[], Any]) -> None:
        self.size, self.gpus, self.users = actors, gpus, 0
        self._start = start
        self._actors: dict[int, Any] = {}
        self._nodes: dict[int, str] = {}
        self._busy: set[int] = set()
        self._seen = time.monotonic()

    @property
    def started(self) -> bool:
        """Whether there are actors."""
        return bool(self._actors)

    def ray(self) -> Any:
        """Return the library with a cluster behind it, and the GPUs of an actor settled.

        Raises LookupError where no machine of the cluster has as many.
        """
        ray = self._start()
        if not self._actors:
            nodes = [node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"]]
            most = max(nodes, default=0)
            self.gpus = min(most, 1) if self.gpus is None else self.gpus
            if self.gpus > most:
                raise LookupError(
                    f"an actor takes {self.gpus:g} GPUs, and no machine of the cluster has more "
                    f"than {most:g}"
                )
        self._seen = time.monotonic()
        return ray

    def actor(self, place: int) -> Any:
        """Return the actor of a place if it lives; None where it does not within a moment."""
        import ray

        if place not in self._actors:
            kind: Any = ray.remote(Actor)
            options = {"num_cpus": 0, "num_gpus": self.gpus}
            one: Any = kind.options(**options, scheduling_strategy=self._where(place)).remote()
            self._actors[place] = one, one.ready.remote()
        handle, ready = self._actors[place]
        if not ray.wait([ready], timeout=BREATH)[0]:
            return None
        try:
            ray.get(ready)
        except (ray.exceptions.RayActorError, ray.exceptions.ActorUnschedulableError):
            self._actors.pop(place, None)  # it died, or its machine did before it was there
            return None
        return handle

    def _where(self, place: int) -> Any:
        """Return where an actor goes: GPUs decide, or else the machine that has fewest.

        Strictly: what Ray calls soft, it places elsewhere at times, though the machine lives.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        if self.gpus:
            return "SPREAD"
        ray = self._start()
        nodes = sorted(node["NodeID"] for node in ray.nodes() if node["Alive"])
        taken = Counter(node for other, node in self._nodes.items() if other != place)
        self._nodes[place] = min(nodes, key=taken.__getitem__)
        return NodeAffinitySchedulingStrategy(self._nodes[place], soft=False)

    @contextlib.contextmanager
    def busy(self, place: int) -> Iterator[None]:
        """Let an actor work inside the ``with``; forget it where it died."""
        self._busy.add(place)
        try:
            yield
        except LostError:
            self._actors.pop(place, None)
        finally:
            self._seen = time.monotonic()
            self._busy.discard(place)

    def silence(self) -> float:
        """Return the seconds since any actor was known to live."""
        return 0.0 if self._busy else time.monotonic() - self._seen

    def close(self) -> None:
        """End the actors."""
        if self._actors:
            import ray

            with contextlib.suppress(Exception):  # the cluster may be gone
                for handle, _ in self._actors.values():
                    ray.kill(handle)
            self._actors.clear()
            self._nodes.clear()


class Shift(Generic[Row]):
    """One work, done by all actors of a pool: a thread here for each of them.

    Such a thread claims a batch, sends it, and keeps what comes back while the next is under way.
    """

    def __init__(
        self, pool: Pool, work: Work[Row], away: Away, rows: dict[str, Row], tick: Tick
    ) -> None:
        self.pool, self.work, self.away, self.rows = pool, work, away, rows
        self.ray = pool.ray()
        self.name = uuid.uuid4().hex
        self.sent = [self.ray.put((away.call, list(away.plugins)))]
        self.deaths: Counter[str] = Counter()
        self.stop = threading.Event()
        self._tick, self._told, self._lock = tick, len(rows), threading.Lock()

    def run(self) -> None:
        """Add the rows that are missing; raise what an actor raised, once the others are done."""
        with ThreadPoolExecutor(self.pool.size, "actor") as threads:
            shifts = [threads.submit(self._work, place) for place in range(self.pool.size)]
            try:
                wait(shifts, return_when=FIRST_EXCEPTION)
            except BaseException:
                self.stop.set()
                self.pool.close()  # what waits for an answer need not
                raise
            self.stop.set()
        errors = [error for shift in shifts if (error := shift.exception()) is not None]
        faults = [error for error in errors if not isinstance(error, StoppedError)]
        if faults:
            raise faults[0]
        if self._left():
            why = f"no machine of the cluster answered for {PATIENCE:.0f} s"
            self._fill(lambda todo: [self.away.lose(todo, why)])

    def _left(self) -> bool:
        return any(key not in self.rows for key in self.work.jobs)

    def _work(self, place: int) -> None:
        """Make what is missing by the actor of a place, as long as there is anything."""
        while not self.stop.is_set() and self._left() and self.pool.silence() < PATIENCE:
            if actor := self.pool.actor(place):
                with self.pool.busy(place):
                    self._fill(partial(self._made, actor))

    def _fill(self, make: Callable[[dict[str, Any]], Any]) -> None:
        def keep(parts: list[Any]) -> dict[str, Row]:
            kept: dict[str, Row] = {}
            for part in parts:
                kept |= self.work.keep(part) if self.work.keep else part
            return kept

        fill(replace(self.work, make=make, keep=keep), self.rows, self._count)

    def _count(self, done: int) -> None:
        """Tell how much is done; never less than before."""
        with self._lock:
            if done > self._told:
                self._told = done
                self._tick(done)

    def _made(self, actor: Any, todo: dict[str, Any]) -> list[Any]:
        """Return what an actor makes of jobs, those that may have killed others one by one."""
        parts = []
        for suspect, group in groupby(sorted(todo, key=self._suspect), self._suspect):
            keys = list(group)
            if suspect == TRIES:
                why = f"{TRIES} machines of the cluster failed over it"
                parts.append(self.away.lose({key: todo[key] for key in keys}, why))
                continue
            for some in [keys] if suspect < TRIES - 1 else [[key] for key in keys]:
                jobs = {key: todo[key] for key in some}
                parts.append(self.away.receive(jobs, self._asked(actor, jobs)))
        return parts

    def _suspect(self, key: str) -> int:
        deaths = self.deaths[key]
        return deaths if deaths >= TRIES - 1 else 0

    def _asked(self, actor: Any, jobs: dict[str, Any]) -> Any:
        """Return the answer of an actor; LostError where it died, StoppedError at the end."""
        if self.stop.is_set():
            raise StoppedError
        errors = self.ray.exceptions
        inputs = [self.away.take(job) for job in jobs.values()]
        try:
            return self.ray.get(actor.run.remote(self.name, self.sent, inputs))
        except errors.RayTaskError as error:
            if isinstance(error.cause, errors.RayError) or error.cause is None:
                raise OSError(f"an actor failed: {brief(first_line(error), 300)}") from error
            raise error.cause from None
        except errors.RayError:
            if self.stop.is_set():
                raise StoppedError from None
            self.deaths.update(list(jobs))
            raise LostError from None
