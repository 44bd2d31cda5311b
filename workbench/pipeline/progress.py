"""How a stage tells what is done."""

from __future__ import annotations

from collections.abc import Callable

from workbench.runners import Tick

Progress = Callable[[str, int, int], None]


def under(name: str, progress: Progress | None) -> Progress | None:
    """Put a name before every stage that is told; None stays None."""
    if progress is None:
        return None
    return lambda stage, done, total: progress(f"{name}: {stage}", done, total)


def ticker(stage: str, total: int, progress: Progress | None, before: int = 0) -> Tick:
    """Bind the name and the total of a stage, of which ``before`` are done."""

    def tick(done: int) -> None:
        if progress is not None and total:
            progress(stage, before + done, total)

    return tick
