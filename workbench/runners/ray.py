"""The runner of a cluster: Ray Data, one dataset for each candidate model."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from workbench.plugin import Plugin
from workbench.runners._work import Row, Tick, Work
from workbench.runners.local import Local

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, repr=False)
class Ray(Plugin):
    """Let actors of a Ray cluster fill the store, which all of them have to see; then read it.

    Every actor loads the one plug-in of its stage, so that no weights are swapped. What is made
    lies in the store at once: a run that was killed goes on from there. `actors` work at a time, on
    `gpus` each. The cluster is that of ``RAY_ADDRESS``, else one on this machine. Needs the extra
    ``ray``.

    Raises LookupError without it, ValueError where there is less than one actor.

    >>> Ray(actors=4, gpus=1)
    Ray(actors=4, gpus=1)
    """

    actors: int = 2
    gpus: float = 0

    def __post_init__(self) -> None:
        """Refuse what cannot run."""
        if self.actors < 1 or self.gpus < 0:
            raise ValueError(f"at least 1 actor and 0 GPUs are needed; seen {self!r}")

    def __call__(self, work: Work[Row], tick: Tick) -> dict[str, Row]:
        """Return every key from the store, after the actors have filled it.

        What is left, such as the answers of a plug-in that cannot be stored, is made here.
        """
        found = work.look(work.jobs)
        missing = {key: job for key, job in work.jobs.items() if key not in found}
        if len(missing) > self.actors * work.batch:
            self._fill(replace(work, jobs=missing), len(found), tick)
        return Local()(work, tick)

    def _fill(self, work: Work[Row], done: int, tick: Tick) -> None:
        data = _started()
        blocks = -(-len(work.jobs) // work.batch)
        rows = data.from_items([{"key": key} for key in work.jobs], override_num_blocks=blocks)
        filled = rows.map_batches(
            _Actor,
            fn_constructor_args=(work,),
            batch_size=work.batch,
            num_cpus=0,
            num_gpus=self.gpus,
            compute=data.ActorPoolStrategy(size=self.actors),
        )
        for block in filled.iter_batches(batch_size=None):
            done += len(block["key"])
            tick(done)


class _Actor:
    def __init__(self, work: Work[Any]) -> None:
        self.work = work

    def __call__(self, block: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        mine = {str(key): self.work.jobs[str(key)] for key in block["key"]}
        Local()(replace(self.work, jobs=mine), lambda _: None)
        return block


def _started() -> Any:
    """Return ``ray.data`` with a cluster behind it that phones nobody and prints nothing.

    A cluster of this machine alone listens on loopback only.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ours = "RAY_ADDRESS" not in os.environ
    if ours:
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise LookupError(
            "the runner ray needs Ray: pip install 'attribution-workbench[ray]'"
        ) from error
    if not ray.is_initialized():
        options: dict[str, Any] = {"include_dashboard": False} if ours else {}
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray.data
