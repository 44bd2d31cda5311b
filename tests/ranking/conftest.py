"""Similarities as a frame."""

from __future__ import annotations

import numpy as np
import pandas as pd


def similarities(cube: np.ndarray, images=None, models=None) -> pd.DataFrame:
    """Lay an (N, K, γ) cube out as the similarities frame."""
    rows = []
    for n, k, j in np.ndindex(cube.shape):
        rows.append(
            {
                "image_id": (images or [f"i{n}" for n in range(cube.shape[0])])[n],
                "prompt_id": "p",
                "generator": (models or [f"g{k}" for k in range(cube.shape[1])])[k],
                "index": j,
                "similarity": "s",
                "value": cube[n, k, j],
            }
        )
    return pd.DataFrame(rows)
