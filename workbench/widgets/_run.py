"""A run in a thread of its own: it says how it goes, and can be left at once."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

Progress = Callable[[str, int, int], None]

GRACE = 1.5
"""Seconds that a cancelled run has to end by itself; then it is left to end unseen."""
BEAT = 0.5
"""Seconds between two looks at the clock."""


class Cancelled(BaseException):
    """Raised inside a run to leave it; a BaseException, which no plug-in takes for a failure."""


class Run:
    """Run a task in a background thread; ``cancel`` leaves it within two seconds.

    A cancelled run ends at its next progress, or at the next layer of a model it is in. What cannot
    be interrupted, such as the reading of weights, goes on unseen until it can, and nobody hears of
    its outcome; the next run waits for it, since both would want the memory.

    Args:
        task: called in the thread with a progress callback; what it returns is the outcome.
        progress: called in the thread with (stage, done, total).
        ended: called once, in the thread or when the run is left: with the outcome and the error;
            both are None where it was cancelled.
        before: a run that may still be ending.
        beat: called about twice a second with the seconds since the start, until the end.
    """

    def __init__(
        self,
        task: Callable[[Progress], Any],
        *,
        progress: Progress,
        ended: Callable[[Any, BaseException | None], None],
        before: Run | None = None,
        beat: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._task, self._told, self._ended, self._beat = task, progress, ended, beat
        self._before, self._stop, self._over = before, threading.Event(), threading.Event()
        self._lock, self._started = threading.Lock(), time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def over(self) -> bool:
        """Whether the outcome is known, or the run was cancelled and left."""
        return self._over.is_set()

    @property
    def alive(self) -> bool:
        """Whether its thread is still at work, which a run that was left may be for a while."""
        return self._thread.is_alive()

    def cancel(self) -> None:
        """End the run; its ``ended`` is called within two seconds."""
        self._stop.set()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the thread has ended, or for so many seconds."""
        self._thread.join(seconds)

    def _run(self) -> None:
        outcome, error = None, None
        try:
            while self._before is not None and self._before.alive:
                self._before.wait(BEAT)
                self._look()
            self._before = None
            with _interruptible(self._stop):
                outcome = self._task(self._progress)
        except Cancelled:
            pass
        except Exception as reason:  # a thread that ended without a word would look alive for ever
            error = reason
        self._end(outcome, error)

    def _look(self) -> None:
        if self._stop.is_set():
            raise Cancelled

    def _progress(self, stage: str, done: int, total: int) -> None:
        self._look()
        self._told(stage, done, total)
        self._look()

    def _end(self, outcome: Any, error: BaseException | None) -> None:
        """Tell the end once: the thread and the one that watches it may both come here."""
        with self._lock:
            if self._over.is_set():
                return
            self._over.set()
        self._ended(outcome, error)

    def _watch(self) -> None:
        """Tell the seconds; leave a cancelled run that does not end."""
        while not self._over.wait(BEAT):
            self._beat(time.monotonic() - self._started)
            if self._stop.is_set():
                self._over.wait(GRACE - BEAT)
                self._end(None, None)


@contextlib.contextmanager
def _interruptible(stop: threading.Event) -> Iterator[None]:
    """Let every layer of a model that this thread calls raise `Cancelled` once ``stop`` is set."""
    from torch.nn.modules.module import register_module_forward_pre_hook

    own = threading.get_ident()

    def look(_module: Any, _given: Any) -> None:
        if stop.is_set() and threading.get_ident() == own:
            raise Cancelled

    hook = register_module_forward_pre_hook(look)
    try:
        yield
    finally:
        hook.remove()
