"""Prompt inverters: from pictures to prompts. One file is one plug-in.

To add one, copy the nearest file beside this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Prompt:
    """Hold one inverted prompt p̂.

    `score` is the log-probability per token (higher is more certain), or the inverter's own measure
    (a cosine where it searches), or None; `truncated` tells that the inverter stopped at its length
    limit. `trace` is the measure step by step where the prompt was searched for: to look at, no
    part of the answer, so it enters neither equality nor the store.

    >>> Prompt("a red circle").truncated
    False
    """

    text: str
    score: float | None = None
    truncated: bool = False
    trace: tuple[float, ...] = field(default=(), repr=False, compare=False)


class Inverter(Protocol):
    """Invert pictures: p̂ = PromptInversion(x) (Li et al. 2024, arXiv:2403.01489)."""

    def __call__(self, images: Sequence[Image]) -> list[Prompt]:
        """Answer one Prompt for each RGB image, in order."""
        ...
