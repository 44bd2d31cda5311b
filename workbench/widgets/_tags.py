"""Tags of the Explorer: words that a person gives to pictures, kept in a frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


class Tags:
    """Words given to pictures, each once a picture.

    Args:
        frame: tags to begin with: ``picture`` (a digest) and ``tag``.

    Raises:
        ValueError: the frame lacks a column, or a tag is empty.
    """

    def __init__(self, frame: pd.DataFrame | None = None) -> None:
        self._given: dict[tuple[str, str], None] = {}
        if frame is not None:
            absent = [name for name in ("picture", "tag") if name not in frame]
            if absent:
                raise ValueError(
                    f"tags are a frame of picture and tag; it lacks {' and '.join(absent)}"
                )
            for picture, tag in zip(frame["picture"], frame["tag"], strict=True):
                self.add([picture], tag)

    @property
    def frame(self) -> pd.DataFrame:
        """``picture`` and ``tag``, in the order given."""
        import pandas as pd

        return pd.DataFrame(list(self._given), columns=["picture", "tag"], dtype="str")

    @property
    def words(self) -> list[str]:
        """The different tags, in the order they were first given."""
        return list(dict.fromkeys(tag for _, tag in self._given))

    def add(self, pictures: Iterable[str], tag: str) -> None:
        """Give a tag to pictures; ValueError where it is empty."""
        word = " ".join(str(tag).split())
        if not word:
            raise ValueError("a tag is a word or some; seen an empty one")
        self._given |= dict.fromkeys((str(picture), word) for picture in pictures)

    def drop(self, pictures: Iterable[str], tag: str) -> None:
        """Take a tag from pictures that have it."""
        for picture in pictures:
            self._given.pop((str(picture), " ".join(str(tag).split())), None)

    def of(self, pictures: Iterable[str]) -> list[str]:
        """Return the tags of each picture in one text, "" where it has none."""
        words: dict[str, list[str]] = {}
        for picture, tag in self._given:
            words.setdefault(picture, []).append(tag)
        return ["; ".join(words.get(picture, ())) for picture in pictures]
