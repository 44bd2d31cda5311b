"""Progress callbacks of the stages."""

from __future__ import annotations

from collections.abc import Callable

from workbench.runners import Tick

Progress = Callable[[str, int, int], None]

_shown: list[Progress] = []


def show(progress: Progress | None) -> None:
    """Let stages that were given no callback tell this one; None ends it."""
    _shown[:] = [] if progress is None else [progress]


def under(name: str, progress: Progress | None) -> Progress | None:
    """Return a callback that puts a name before every stage; None stays None."""
    if progress is None:
        return None
    return lambda stage, done, total: progress(f"{name}: {stage}", done, total)


def ticker(stage: str, total: int, progress: Progress | None, before: int = 0) -> Tick:
    """Return a tick of one stage with its total, of which ``before`` are done.

    Without a callback it tells the one of `show`, if any.
    """

    def tick(done: int) -> None:
        for tell in [progress] if progress is not None else _shown:
            if total:
                tell(stage, before + done, total)

    return tick
