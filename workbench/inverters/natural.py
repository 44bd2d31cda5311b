"""The known prompt, as an oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workbench.inverters import Prompt
from workbench.plugin import Plugin
from workbench.text import plain

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, repr=False)
class Natural(Plugin):
    """Return the natural prompt p of each picture: the oracle beside the inverters.

    With a `text` it is the prompt of every picture; without (None), the `prompt` column of the
    images frame is, which the caller hands to `known`.

    >>> Natural().known(["a red circle"])
    [Prompt(text='a red circle', score=None, truncated=False)]
    >>> Natural(text="a red circle")
    Natural(text="a red circle")
    """

    text: str | None = None
    revision: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Let no letter in that no table can hold."""
        if isinstance(self.text, str):
            object.__setattr__(self, "text", plain(self.text))

    def known(self, prompts: Sequence[str]) -> list[Prompt]:
        """Return the given prompts, or `text` for each where it is set.

        Raises ValueError for a prompt that is not text.
        """
        texts = [p if self.text is None else self.text for p in prompts]
        for text in texts:
            if not isinstance(text, str):
                raise ValueError(f"natural needs the known prompt of every picture; saw {text!r}")
        return [Prompt(text) for text in texts]

    def __call__(self, images: Sequence[Image]) -> list[Prompt]:
        """Return `text` for each of N images; ValueError where no text is set."""
        if self.text is None and images:
            raise ValueError(
                "natural sees pictures only; give it Natural(text=...), or images with prompts"
            )
        return self.known([""] * len(images))
