"""How many settings agree with a call: layers of the encoder × aggregations, the rest alike."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import ranking
from workbench.pipeline.comparison import similarity as compare
from workbench.pipeline.encoding import encode_layers, pictures_of
from workbench.pipeline.progress import Progress
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd

AGGREGATIONS = ("mean", "max")
LAYERS = 8
"""Blocks of a deep encoder that are asked, evenly spaced; of a shallow one all of them."""


def agreement(
    images: pd.DataFrame,
    prompts: pd.DataFrame,
    candidates: pd.DataFrame,
    called: pd.DataFrame,
    similarity: Any,
    store: Store,
    size: int,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Count for each image the share of settings whose first model is the one called.

    A setting is a layer of the similarity's encoder, the projected embedding being one, with an
    aggregation; a similarity without layers is asked as it is. All layers take one pass.

    Args:
        images: frame of that name.
        prompts: likewise.
        candidates: likewise.
        called: ``image_id`` and ``predicted``, missing where none could be compared.
        similarity: a Similarity.
        store: where pictures and features are kept.
        size: side in pixels every picture goes to first.
        progress: called with ("encode", …) and ("similarity", done, total).

    Returns:
        ``image_id`` and ``agreement`` in [0, 1], missing where no model was called.
    """
    good = images[images["failure"].isna()]
    ids = [*good["image_id"], *candidates["candidate_id"].dropna()]
    settings = at_layers(similarity)
    if len(settings) > 1:
        layers = [each.encoder.layer for each in settings]
        load = pictures_of(good, store)
        encode_layers(ids, similarity.encoder, layers, store, size, progress, load)
    table = called[["image_id", "predicted"]].reset_index(drop=True)
    models = sorted(set(candidates["generator"]))
    votes = []
    for each in settings:
        values = compare(images, prompts, candidates, each, store, size, progress)
        for aggregate in AGGREGATIONS:
            scores = ranking.score(values, "", aggregate, table["image_id"], models)
            first = ranking.decide(ranking.rank(scores)).set_index("image_id")["predicted"]
            votes.append(first.reindex(table["image_id"]).to_numpy() == table["predicted"])
    share = np.mean(votes, axis=0)
    return table[["image_id"]].assign(agreement=np.where(table["predicted"].isna(), np.nan, share))


def at_layers(similarity: Any) -> list[Any]:
    """Return a similarity at every layer of its encoder, or as it is where that has none."""
    encoder: Any = getattr(similarity, "encoder", None)
    if not (hasattr(encoder, "layers") and hasattr(encoder, "at")):
        return [similarity]
    depth = encoder.depth()
    blocks = np.unique(np.linspace(1, depth, min(LAYERS, depth)).round().astype(int)).tolist()
    layers = [None, *blocks]
    if encoder.layer is not None and encoder.layer not in layers:
        layers.append(encoder.layer)
    return [replace(similarity, encoder=encoder.at(layer)) for layer in layers]
