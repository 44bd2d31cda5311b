"""The known prompt, as an oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workbench.generators import Failure
from workbench.inverters import Prompt
from workbench.plugin import Plugin
from workbench.text import plain

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image


@dataclass(frozen=True, repr=False)
class Natural(Plugin):
    """Return the natural prompt p of each picture: the oracle beside the inverters.

    With a `text` it is the prompt of every picture; without (None), the `prompt` column of the
    images frame is, which `of_rows` reads.

    >>> import pandas as pd
    >>> Natural().of_rows(pd.DataFrame({"prompt": ["a red circle"]}))
    [Prompt(text='a red circle', score=None, truncated=False)]
    >>> Natural(text="a red circle")
    Natural(text="a red circle")
    """

    text: str | None = None
    revision: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Escape lone surrogates, which no table can hold."""
        super().__post_init__()
        if isinstance(self.text, str):
            object.__setattr__(self, "text", plain(self.text))

    def of_rows(self, rows: pd.DataFrame) -> list[Prompt | Failure]:
        """Return each row's ``prompt``, or `text` where it is set; a row without one fails."""
        texts = [prompt if self.text is None else self.text for prompt in rows["prompt"]]
        missing = Failure("the known prompt of this picture is missing")
        return [Prompt(text) if isinstance(text, str) else missing for text in texts]

    def __call__(self, images: Sequence[Image]) -> list[Prompt]:
        """Return `text` for each of N images; ValueError where no text is set."""
        if self.text is None and images:
            raise ValueError(
                "natural sees pictures only; give it Natural(text=...), or images with prompts"
            )
        return [Prompt(self.text or "") for _ in images]
