"""The runner of one machine: jobs in this process, beside others on the same store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import IO

from workbench.plugin import Plugin
from workbench.runners._work import Row, Tick, Work
from workbench.runners._writer import Writer
from workbench.store import StoreError
from workbench.store.store import Store

SHARD = 3
"""First digits of a key that name the file of its claim."""


@dataclass(frozen=True, repr=False)
class Local(Plugin):
    """Run jobs in this process, batch after batch.

    >>> Local()
    Local()
    """

    def __call__(self, work: Work[Row], tick: Tick) -> dict[str, Row]:
        """Return every key from the store; make what is missing.

        What is made is kept by another thread, if the work tells how, while the next is made.
        """
        rows = work.look(work.jobs)
        tick(len(rows))
        fill(work, rows, tick)
        return rows


def fill(work: Work[Row], rows: dict[str, Row], tick: Tick) -> None:
    """Make the jobs whose rows are missing, and add these, batch after batch.

    Several threads may fill the same rows: what one claims, the others pass over.
    """
    waiting = [key for key in work.jobs if key not in rows]
    with Writer[Row]() as writer:
        while waiting:
            if _shards(waiting[: work.batch]) & _shards(writer.keys):
                rows |= writer.finish()  # our own claims would be in the way
            with contextlib.ExitStack() as held:
                mine = held.enter_context(claim(work.store, waiting, work.batch))
                rows |= work.look(mine)  # another process may just have made them
                todo = {key: work.jobs[key] for key in mine if key not in rows}
                answers = work.make(todo) if todo else {}
                rows |= writer.finish()
                if work.keep is None:
                    rows |= answers
                elif todo:
                    writer.put(todo, partial(work.keep, answers), held.pop_all())
            waiting = [key for key in waiting if key not in rows and key not in writer.keys]
            tick(len(rows))
        if last := writer.finish():
            rows |= last
            tick(len(rows))


def _shards(keys: Iterable[str]) -> set[str]:
    """Return the files that hold the claims of keys."""
    return {key[:SHARD] for key in keys}


@contextlib.contextmanager
def claim(store: Store, keys: Sequence[str], batch: int) -> Iterator[list[str]]:
    """Hold up to ``batch`` keys that no other process or thread holds; wait where none is free.

    A claim is a lock on an empty file of the store, which the system drops when a process dies.
    Where the system has no such locks, two processes may make the same thing; the first is kept.
    """
    try:
        import fcntl
    except ImportError:
        yield list(keys[:batch])
        return
    folder = store.path / "claims"
    held: dict[str, IO[bytes]] = {}
    busy: set[str] = set()
    mine: list[str] = []

    def hold(shard: str, flags: int) -> None:
        try:
            folder.mkdir(exist_ok=True)
            file = (folder / shard).open("ab")
        except OSError as error:
            raise StoreError(f"the store {store.path} cannot be written ({error})") from error
        try:
            fcntl.flock(file, flags)
            held[shard] = file
        except BlockingIOError:
            busy.add(shard)
            file.close()

    try:
        for key in keys:
            if len(mine) == batch:
                break
            if (shard := key[:SHARD]) not in held and shard not in busy:
                hold(shard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if shard in held:
                mine.append(key)
        if not mine:
            hold(keys[0][:SHARD], fcntl.LOCK_EX)
            mine.append(keys[0])
        yield mine
    finally:
        for file in held.values():
            file.close()
