"""Prompt inverters: from pictures to prompts. One file is one plug-in.

To add one, copy the nearest file beside this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Prompt:
    """Hold one inverted prompt p̂.

    `score` is the log-probability per token (higher is more certain) or None; `truncated` tells
    that the inverter stopped at its length limit.

    >>> Prompt("a red circle").truncated
    False
    """

    text: str
    score: float | None = None
    truncated: bool = False


class Inverter(Protocol):
    """Invert pictures: p̂ = PromptInversion(x) (Li et al. 2024, arXiv:2403.01489)."""

    def __call__(self, images: Sequence[Image]) -> list[Prompt]:
        """Answer one Prompt for each RGB image, in order."""
        ...
