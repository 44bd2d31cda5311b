"""The jobs that a stage hands to a runner."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from workbench.store.store import Store

Row = TypeVar("Row")
Tick: TypeAlias = Callable[[int], None]


@dataclass(frozen=True)
class Away:
    """How another machine, which has neither the store nor the files, makes the jobs of a work.

    Args:
        plugins: what runs there, each with its identity here (`plugin.identity`).
        take: job → what is sent there.
        call: what was sent, several → what comes back. It is itself sent, by pickle.
        receive: jobs, what came back of them → what `Work.keep` takes.
        lose: jobs, why they could not be made → likewise; it may raise.
    """

    plugins: Sequence[tuple[Any, Any]]
    take: Callable[[Any], Any]
    call: Callable[[list[Any]], Any]
    receive: Callable[[dict[str, Any], Any], Any]
    lose: Callable[[dict[str, Any], str], Any]


@dataclass(frozen=True)
class Work(Generic[Row]):
    """Jobs of a stage: their keys, how to look them up in the store, and how to make them.

    Args:
        jobs: key → what ``make`` needs to know.
        look: keys → the rows the store holds of them.
        make: jobs of a batch → their rows, stored; with ``keep``, whatever that takes.
        store: whose claims keep two processes from making the same thing.
        batch: jobs in one call of ``make``, at most.
        keep: what ``make`` answered → the rows, stored. A runner may call it in another thread,
            while the next batch is made.
        away: how another machine makes them; None where only this one can.
    """

    jobs: Mapping[str, Any]
    look: Callable[[Iterable[str]], dict[str, Row]]
    make: Callable[[dict[str, Any]], Any]
    store: Store
    batch: int
    keep: Callable[[Any], dict[str, Row]] | None = None
    away: Away | None = None


class Runner(Protocol):
    """Return jobs from the store, and make what is missing, each thing once."""

    def __call__(self, work: Work[Row], tick: Tick) -> dict[str, Row]:
        """Return the row of every key; ``tick`` is called with the number of jobs done."""
        ...
