"""Chance: random scores, the floor under every attributor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from workbench import frames
from workbench.attributors import Stages
from workbench.attributors._training import only_scores, score_table
from workbench.keys import digest
from workbench.pipeline.progress import Progress
from workbench.plugin import Plugin
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Chance(Plugin):
    """Draw the scores evenly from [0, 1): accuracy 1/K, the floor under every other attributor.

    A score is drawn from sha256(seed, image_id, generator) alone; no picture is looked at.

    >>> Chance()
    Chance()
    """

    revision: ClassVar[int] = 1

    def __call__(
        self,
        images: pd.DataFrame,
        zoo: Mapping[str, Any],
        *,
        store: Store,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Stages:
        """Return the stages for an images frame and a zoo: scores only, none for a failed image."""
        table = frames.check(images, "images")
        good = table.loc[table["failure"].isna(), "image_id"]
        by_image = {image: {name: _draw(seed, image, name) for name in zoo} for image in good}
        return only_scores(score_table(self, table, zoo, by_image))


def _draw(seed: int, image: str, name: str) -> float:
    """Return a number drawn from [0, 1) in steps of 2⁻⁵²."""
    return float(int(digest(["chance", seed, image, name])[:13], 16)) / 2.0**52
