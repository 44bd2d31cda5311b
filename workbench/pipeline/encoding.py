"""Encode pictures and captions: φ(x), (N, D) float32 unit rows, by the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.frames import Features
from workbench.images import fit, open_image
from workbench.pipeline.cache import cached_features
from workbench.pipeline.progress import Progress, ticker
from workbench.store import StoreError
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image


def encode(
    ids: Iterable[str],
    encoder: Any,
    store: Store,
    size: int,
    progress: Progress | None = None,
    pictures: Callable[[str], Image] | None = None,
) -> Features:
    """Encode pictures, brought to one size: φ(x).

    Args:
        ids: digests of pictures, repeated ones count once.
        encoder: an Encoder.
        store: where feature vectors are kept.
        size: side in pixels every picture goes to first.
        progress: called with ("encode", done, total).
        pictures: digest → RGB picture, the store's own when left out.

    Returns:
        `Features` of N pictures, (N, D) float32.
    """
    features = _encoded(
        ids, [encoder], lambda some: [encoder(some)], store, size, progress, pictures
    )
    return features[0]


def encode_layers(
    ids: Iterable[str],
    encoder: Any,
    layers: Sequence[int | None],
    store: Store,
    size: int,
    progress: Progress | None = None,
    pictures: Callable[[str], Image] | None = None,
) -> dict[int | None, Features]:
    """Encode pictures at several layers in one pass; arguments as of `encode`.

    Returns:
        {layer: Features}, each stored under the encoder of that layer, ``encoder.at(layer)``.
    """

    def compute(some: list[Image]) -> list[np.ndarray]:
        of_layer = encoder.layers(some, layers)
        return [of_layer[layer] for layer in layers]

    at = [encoder.at(layer) for layer in layers]
    features = _encoded(ids, at, compute, store, size, progress, pictures)
    return dict(zip(layers, features, strict=True))


def encode_texts(texts: Sequence[str], encoder: Any, store: Store) -> np.ndarray:
    """Encode captions with the encoder's text tower: (N, D) float32 unit rows, by the store.

    Raises:
        ValueError: the encoder has no text tower.
    """
    if not hasattr(encoder, "text"):
        raise ValueError(f"{encoder!r} has no text tower, which is needed to compare captions")
    inputs = {text: {"text": text} for text in texts}
    (features,) = cached_features(
        "text", [encoder], inputs, str, lambda some: [encoder.text(some)], store, lambda _: None
    )
    return features.rows(texts)


def _encoded(
    ids: Iterable[str],
    encoders: Sequence[Any],
    compute: Callable[[list[Image]], list[np.ndarray]],
    store: Store,
    size: int,
    progress: Progress | None,
    pictures: Callable[[str], Image] | None,
) -> list[Features]:
    load = pictures or store.picture
    inputs = {name: {"picture": name, "size": size} for name in ids}
    tick = ticker("encode", len(inputs), progress)
    return cached_features(
        "encoder", encoders, inputs, lambda name: fit(load(name), size), compute, store, tick
    )


def pictures_of(images: pd.DataFrame, store: Store) -> Callable[[str], Image]:
    """Return image_id → RGB picture: of the store, else of the row's ``path``, and then kept."""
    paths = dict(zip(images["image_id"], images["path"], strict=True))

    def load(name: str) -> Image:
        try:
            return store.picture(name)
        except StoreError:
            path = paths.get(name)
            if not isinstance(path, str) or not Path(path).is_file():
                raise
            image = open_image(path)
            if store.put_picture(image) != name:
                raise
            return image

    return load
