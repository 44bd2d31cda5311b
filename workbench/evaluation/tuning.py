"""Choose among attributors that learn, by cross-validation on calibration pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import frames
from workbench.evaluation.prompts import scenes
from workbench.pipeline.progress import Progress
from workbench.ranking import decide, rank
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd


def choose(
    grid: Sequence[Any],
    images: pd.DataFrame,
    zoo: Mapping[str, Any],
    *,
    store: Store,
    folds: int = 5,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Any, pd.DataFrame]:
    """Return the unfitted attributor that is right most often on held-out pictures.

    The pictures are dealt into folds by scene (scikit-learn's GroupKFold), so that none is judged
    by what learned from another of the same scene; each is attributed once, by what learned from
    the other folds. Equally good ones go to the earlier in the grid, which should begin with what
    is published.

    Args:
        grid: unfitted attributors, at least one; one alone is answered without any work.
        images: calibration pictures, frame of that name, whose ``source`` is the truth.
        zoo: name → Generator.
        store: where everything made is kept.
        folds: into which the scenes are dealt; a scene each, where there are fewer.
        seed: of the dealing and of what is learned.
        progress: called with ("choose", done, total).

    Returns:
        the best one, unfitted, and a frame with attributor, accuracy and n, in the order of the
        grid.

    Raises:
        ValueError: the grid is empty, or there are fewer than two scenes, so that a choice cannot
            be judged.
    """
    import pandas as pd

    if not grid:
        raise ValueError("there is nothing to choose from: the grid is empty")
    table = frames.check(images, "images")
    table = table[table["failure"].isna()].sort_values("image_id", ignore_index=True)
    splits = [] if len(grid) == 1 else _splits(table, folds, seed)
    rows = []
    for place, method in enumerate(grid):
        right: list[bool] = []
        for inside, outside in splits:
            learned = method.fit(table.iloc[inside], zoo, store=store, seed=seed)
            scores = learned(table.iloc[outside], zoo, store=store, seed=seed).scores
            best = decide(rank(scores)).set_index("image_id")["predicted"]
            truth = table.iloc[outside].set_index("image_id")["source"]
            right += (best.reindex(truth.index) == truth).tolist()
        accuracy = float(np.mean(right)) if right else float("nan")
        rows.append({"attributor": repr(method), "accuracy": accuracy, "n": len(right)})
        if progress is not None:
            progress("choose", place + 1, len(grid))
    measured = pd.DataFrame(rows)
    best_of_all = int(measured["accuracy"].fillna(0).to_numpy().argmax())
    return grid[best_of_all], measured


def _splits(table: pd.DataFrame, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import GroupKFold

    groups = np.array(scenes(table), dtype=str)
    count = len(set(groups))
    if count < 2:
        raise ValueError(f"a choice needs pictures of two scenes at least; seen {count}")
    parts = GroupKFold(min(folds, count), shuffle=True, random_state=seed)
    return list(parts.split(table, groups=groups))


def layers(encoder: Any) -> list[Any]:
    """Return an encoder at each place it can be read from: projected, then blocks, poolings.

    An encoder without layers is alone.
    """
    if not hasattr(encoder, "depth"):
        return [encoder]
    poolings = ("cls", "mean") if hasattr(encoder, "pooling") else (None,)
    encoders = [encoder.at(None)]
    for pooling in poolings:
        pooled = encoder if pooling is None else replace(encoder, pooling=pooling)
        encoders += [pooled.at(layer) for layer in range(1, encoder.depth() + 1)]
    return encoders
