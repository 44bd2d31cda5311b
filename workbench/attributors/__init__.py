"""Attributors: from test images and a zoo to scores. One file is one plug-in.

Regeneration (the paper) is one among rivals, so every comparison is one loop. To add one, copy
the nearest file beside this one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from workbench.store import Store

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Stages:
    """Hold what an attributor made on its way: the frames of `workbench.frames` by their names.

    ``scores`` is the answer: a row for each test image and candidate model, higher is more likely,
    missing where nothing could be compared.
    """

    prompts: pd.DataFrame
    candidates: pd.DataFrame
    similarities: pd.DataFrame
    scores: pd.DataFrame


class Attributor(Protocol):
    """Score every candidate model for every test image; the repr names it in every table.

    What learns from pictures of known source is `trained` (never listed as training-free) and has
    `fitted: Fitted | None`, shown in its repr, and `fit(images, zoo, *, store, seed, progress)`,
    which answers a fitted copy; the frame's ``source`` is the truth. While `unfitted` it refuses to
    be called, and once fitted it refuses a zoo with a model it was not fitted on.
    """

    def __call__(
        self,
        images: pd.DataFrame,
        zoo: Mapping[str, Any],
        *,
        store: Store,
        seed: int = 0,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Stages:
        """Answer the stages for the images frame and a zoo (name → Generator)."""
        ...
