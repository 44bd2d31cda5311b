"""The search of the Explorer: prompts near a text, by an encoder's text tower or by words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import pipeline
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd

MOST = 5
"""Prompts that a search answers, at most."""


def nearest(
    prompts: Sequence[str], query: str, encoders: Sequence[Any], store: Store
) -> tuple[pd.DataFrame, str]:
    """Return the prompts nearest to a query, and how they were looked for.

    By the first encoder with a text tower whose weights are at hand, by shared words otherwise.
    """
    for encoder in encoders:
        if hasattr(encoder, "text"):
            try:
                return by_text_tower(prompts, query, encoder, store), f"by {encoder!r}"
            except (LookupError, ValueError):
                continue
    return by_words(prompts, query), "by words"


def sentence(query: str, prompts: pd.DataFrame, how: str) -> str:
    """Return what was found as a sentence."""
    rows = zip(prompts["prompt"], prompts["similarity"], strict=True)
    nearest = "; ".join(f"“{prompt}” {value:.2f}" for prompt, value in rows)
    return f"Nearest to “{query}” {how}: {nearest or 'no prompt'}."


def by_words(prompts: Sequence[str], query: str, most: int = MOST) -> pd.DataFrame:
    """Return the prompts that share words with a query, those that share most first.

    Args:
        prompts: each once.
        query: any text; its case does not matter.
        most: prompts answered.

    Returns:
        frame with ``prompt`` and ``similarity``, the share of the query's words in it, in (0, 1].
    """
    words = set(query.casefold().split())
    shared = [
        sum(word in prompt.casefold() for word in words) / max(len(words), 1) for prompt in prompts
    ]
    return _ranked(prompts, np.array(shared), most)


def by_text_tower(
    prompts: Sequence[str], query: str, encoder: Any, store: Store, most: int = MOST
) -> pd.DataFrame:
    """Return the prompts whose embedding is nearest to that of a query.

    Args:
        prompts: each once.
        query: any text.
        encoder: with a text tower.
        store: where the embeddings of the prompts are kept.
        most: prompts answered.

    Returns:
        frame with ``prompt`` and ``similarity``, their cosine in [-1, 1].

    Raises:
        ValueError: the encoder has no text tower.
        LookupError: its weights are missing.
    """
    tower = encoder.projected() if hasattr(encoder, "projected") else encoder
    rows = pipeline.encode_texts(list(prompts), tower, store)
    own = tower.text([query])[0]
    return _ranked(prompts, rows @ own, most, floor=-np.inf)


def _ranked(
    prompts: Sequence[str], similarity: np.ndarray, most: int, floor: float = 0.0
) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame({"prompt": list(prompts), "similarity": similarity.astype(float)})
    table = table[table["similarity"] > floor]
    return table.sort_values("similarity", ascending=False, kind="stable", ignore_index=True)[:most]
