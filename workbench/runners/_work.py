"""What a stage hands to a runner."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from workbench.store.store import Store

Row = TypeVar("Row")
Tick: TypeAlias = Callable[[int], None]


@dataclass(frozen=True)
class Work(Generic[Row]):
    """Hold the jobs of a stage: what is wanted, where it may lie, and how it is made.

    Args:
        jobs: key → what ``make`` needs to know.
        look: keys → the rows the store holds of them.
        make: jobs of a batch → their rows, stored.
        store: whose claims keep two processes from making the same thing.
        batch: jobs in one call of ``make``, at most.
    """

    jobs: Mapping[str, Any]
    look: Callable[[Iterable[str]], dict[str, Row]]
    make: Callable[[dict[str, Any]], dict[str, Row]]
    store: Store
    batch: int


class Runner(Protocol):
    """Return jobs from the store, and make what is missing, each thing once."""

    def __call__(self, work: Work[Row], tick: Tick) -> dict[str, Row]:
        """Return the row of every key; ``tick`` is called with the number of jobs done."""
        ...
