"""The runner of one machine: jobs in this process, beside others on the same store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from workbench.plugin import Plugin
from workbench.runners._work import Row, Tick, Work
from workbench.store import StoreError
from workbench.store.store import Store


@dataclass(frozen=True, repr=False)
class Local(Plugin):
    """Run jobs in this process, batch after batch.

    >>> Local()
    Local()
    """

    def __call__(self, work: Work[Row], tick: Tick) -> dict[str, Row]:
        """Return every key from the store; make what is missing."""
        found = work.look(work.jobs)
        tick(len(found))
        waiting = [key for key in work.jobs if key not in found]
        while waiting:
            with claim(work.store, waiting, work.batch) as mine:
                found |= work.look(mine)  # another process may just have made them
                todo = {key: work.jobs[key] for key in mine if key not in found}
                if todo:
                    found |= work.make(todo)
            waiting = [key for key in waiting if key not in found]
            tick(len(found))
        return found


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
            if (shard := key[:3]) not in held and shard not in busy:
                hold(shard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if shard in held:
                mine.append(key)
        if not mine:
            hold(keys[0][:3], fcntl.LOCK_EX)
            mine.append(keys[0])
        yield mine
    finally:
        for file in held.values():
            file.close()
