"""The control without any prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workbench.inverters import Prompt
from workbench.plugin import Plugin

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, repr=False)
class Empty(Plugin):
    """Return the empty prompt for every picture: what is left without prompt inversion.

    >>> from PIL import Image
    >>> Empty()([Image.new("RGB", (64, 64))])
    [Prompt(text='', score=None, truncated=False)]
    """

    revision: ClassVar[int] = 1

    def __call__(self, images: Sequence[Image]) -> list[Prompt]:
        """Return N empty prompts."""
        return [Prompt("") for _ in images]
