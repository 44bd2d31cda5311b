"""Outcomes of a zoo of four, right or wrong as a test says."""

from __future__ import annotations

import numpy as np
import pandas as pd

MODELS = ["sd", "ld", "glide", "dalle"]


def table(pairs, prompts=None) -> pd.DataFrame:
    """Make outcomes from (truth, predicted) pairs."""
    rows = [
        {"image_id": f"i{i}", "attributor": "m", "truth": truth, "predicted": predicted}
        for i, (truth, predicted) in enumerate(pairs)
    ]
    frame = pd.DataFrame(rows)
    frame["prompt"] = prompts or [f"p{i // len(MODELS)}" for i in range(len(frame))]
    frame["correct"] = frame["truth"] == frame["predicted"]
    frame["accepted"] = True
    frame["rank_of_truth"] = np.where(frame["correct"], 1.0, 2.0)
    return frame


def perfect(n: int = 50) -> list[tuple[str, str]]:
    return [(name, name) for _ in range(n) for name in MODELS]
