"""Pictures of toy models to ask about."""

from __future__ import annotations

import pandas as pd

from tests.support import toys
from workbench import frames
from workbench.store.store import Store


def queries(store: Store, texts=("one", "two"), prompt=True) -> pd.DataFrame:
    """Put a picture of every toy model and text into the store; answer the images frame."""
    rows = []
    for name, toy in toys.zoo(refuses="nothing").items():
        for picture, text in zip(toy(list(texts), [7] * len(texts)), texts, strict=True):
            rows.append(
                {
                    "image_id": store.put_picture(picture),
                    "source": name,
                    "prompt": text if prompt else None,
                }
            )
    return frames.build("images", rows)
