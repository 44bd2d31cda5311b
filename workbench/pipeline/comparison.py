"""Compare test images with candidate images: a_kj = sim(φ(x), φ(c_kj))."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import frames
from workbench.evidence.treatment import Treatment
from workbench.images import fit
from workbench.pipeline.aspect import View
from workbench.pipeline.encoding import encode, pictures_of
from workbench.pipeline.progress import Progress, ticker
from workbench.pipeline.treatment import treated
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image


def similarity(
    images: pd.DataFrame,
    prompts: pd.DataFrame,
    candidates: pd.DataFrame,
    similarity: Any,
    store: Store,
    size: int,
    progress: Progress | None = None,
    treatments: Mapping[str, Treatment] | None = None,
    views: Mapping[str, View] | None = None,
) -> pd.DataFrame:
    """Compare every test image with the candidate images of its prompts: a_kj.

    Args:
        images: frame of that name.
        prompts: frame of that name, or any with ``image_id`` and ``prompt_id`` (an image may have
            several: a reference bank's).
        candidates: frame of that name.
        similarity: a Similarity; one with ``encoder`` and ``compare`` takes features of the store,
            one with ``parts`` and ``combine`` is put together from its parts' values.
        store: where pictures and features are kept.
        size: side in pixels every picture goes to first.
        progress: called with ("encode", …) and ("similarity", done, total).
        treatments: by image_id, what is done to the candidate images of each before they are
            compared (`treatments`); nothing when left out.
        views: by image_id, what is compared in the place of the whole (`views`).

    Returns:
        similarities frame, higher is closer; the value of a failed candidate image is missing.
    """
    table = frames.check(images, "images")
    good = table[table["failure"].isna()][["image_id", "path"]]
    pairs = good.merge(prompts[["image_id", "prompt_id"]].dropna(), on="image_id")
    pairs = pairs.merge(candidates, on="prompt_id")
    pairs["similarity"] = repr(similarity)
    if treatments:
        pairs["candidate_id"] = treated(pairs, treatments, store, progress)
    seen = {name: view.picture for name, view in (views or {}).items()}
    shown = pairs.assign(image_id=[seen.get(name, name) for name in pairs["image_id"]])
    values = _compared(shown, similarity, pictures_of(good, store), store, size, progress)
    return frames.check(pairs.assign(value=values), "similarities")


def _compared(
    pairs: pd.DataFrame,
    similarity: Any,
    pictures: Callable[[str], Image],
    store: Store,
    size: int,
    progress: Progress | None,
) -> np.ndarray:
    """Return the value of each pair, NaN where the candidate image failed."""
    if hasattr(similarity, "parts") and hasattr(similarity, "combine"):
        parts = [
            _compared(pairs, part, pictures, store, size, progress) for part in similarity.parts
        ]
        return similarity.combine(parts)
    values = np.full(len(pairs), np.nan)
    valid = pairs[pairs["candidate_id"].notna()]
    if hasattr(similarity, "encoder") and hasattr(similarity, "compare"):
        ids = [*valid["image_id"], *valid["candidate_id"]]
        cached_features = encode(ids, similarity.encoder, store, size, progress, pictures)

        def compare(image: str, others: list[str]) -> np.ndarray:
            return similarity.compare(cached_features.rows([image]), cached_features.rows(others))

    else:
        fitted = lru_cache(maxsize=1024)(lambda name: fit(pictures(name), size))

        def compare(image: str, others: list[str]) -> np.ndarray:
            return similarity([fitted(image)], [fitted(name) for name in others])

    groups = valid.groupby("image_id", sort=False)
    tick = ticker("similarity", len(groups), progress)
    for done, (image, group) in enumerate(groups, 1):
        values[group.index] = compare(str(image), list(group["candidate_id"]))[0]
        tick(done)
    return values
