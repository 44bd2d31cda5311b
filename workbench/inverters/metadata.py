"""The prompt that a front end left in the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workbench import evidence
from workbench.generators import Failure
from workbench.images import ImageError
from workbench.inverters import Inverter, Prompt
from workbench.plugin import Plugin

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

NO_FILE = "it was not given as a file, and metadata reads files: give its path"


@dataclass(frozen=True, repr=False)
class Metadata(Plugin):
    """Return the prompt written in the picture's file, as the `evidence` of its parameters.

    Nothing is inverted, and nothing is proved: anybody can write a prompt into a file. Pixels alone
    hold none, so it reads the path in a picture's row (`of_rows`). A picture whose file holds no
    prompt fails, or is given to the inverter `otherwise`; so does one that was given as bytes, as
    an array or otherwise without a path. In a frame, files of the same pixels are one picture, and
    the first one's prompt counts.

    >>> Metadata()
    Metadata()
    """

    otherwise: Inverter | None = None
    revision: ClassVar[int] = 1

    def of_rows(self, rows: pd.DataFrame) -> list[Prompt | Failure | Inverter]:
        """Return the prompt in the file at each row's ``path``; without one, `otherwise`."""
        return [self._of_row(path) for path in rows["path"]]

    def _of_row(self, path: object) -> Prompt | Failure | Inverter:
        try:
            if not isinstance(path, str):
                raise ValueError(
                    "it was not given as a file, and metadata reads files: give its path"
                )
            return self.of_file(path)
        except ValueError as error:
            return Failure(str(error)) if self.otherwise is None else self.otherwise

    def of_file(self, path: str) -> Prompt:
        """Return the prompt in a file.

        Raises ValueError where there is none, or the file cannot be read.
        """
        try:
            parameters = evidence.parameters(path)
        except ImageError as error:
            raise ValueError(f"the file cannot be read: {error}") from error
        if parameters.prompt is None:
            raise ValueError(f"no prompt could be read in the file: {parameters.text}")
        return Prompt(parameters.prompt)

    def __call__(self, images: Sequence[Image]) -> list[Prompt]:
        """Return prompts by `otherwise` for N pictures without a file; ValueError without it."""
        if self.otherwise is None:
            raise ValueError("metadata reads files, and these are pictures without one")
        return self.otherwise(images)
