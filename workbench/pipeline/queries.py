"""Test images of known source: fresh ones with query seeds, and what attacks make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench import frames
from workbench.attacks import without_intensity
from workbench.keys import digest, prompt_id, query_seed
from workbench.pipeline.attack import attacked
from workbench.pipeline.generation import generate
from workbench.pipeline.progress import Progress
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd


def make_queries(
    texts: Sequence[str],
    zoo: Mapping[str, Any],
    store: Store,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make fresh test images: one picture of every prompt by every model, with query seeds.

    Args:
        texts: the natural prompts.
        zoo: name → Generator.
        store: where pictures are kept.
        seed: the run's seed; candidates of the same seed still differ.
        progress: called with ("generate", done, total).

    Returns:
        images frame (equal pictures once), and the truth: ``image_id``, ``truth`` (the generator),
        ``prompt`` and ``failure``, a row for each prompt and model. A picture that could not be
        made has an image_id that begins with ``query:`` and stands in the truth alone.
    """
    import pandas as pd

    table = pd.DataFrame({"prompt_id": [prompt_id(text) for text in texts], "prompt": list(texts)})
    made = generate(table, zoo, 1, seed, store, progress, draw=query_seed)
    made = made.merge(table, on="prompt_id").rename(columns={"generator": "truth"})
    lost = [f"query:{digest([row.truth, row.prompt])}" for row in made.itertuples()]
    made["image_id"] = made["candidate_id"].where(made["candidate_id"].notna(), lost)
    whole = made[made["candidate_id"].notna()].drop_duplicates("image_id")
    rows = [
        {
            "image_id": row.image_id,
            "source": row.truth,
            "prompt": row.prompt,
            "attack": "none",
            "intensity": 0.0,
        }
        for row in whole.itertuples()
    ]
    return frames.build("images", rows), made[["image_id", "truth", "prompt", "failure"]]


def attacked_queries(
    images: pd.DataFrame,
    truth: pd.DataFrame,
    attack: Any,
    store: Store,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Attack test images, and let their truth follow them.

    Args:
        images: frame of that name.
        truth: of these images, as `queries` answers it.
        attack: an Attack.
        store: where attacked pictures are kept.
        seed: the run's seed.
        progress: called with ("attack", done, total).

    Returns:
        images frame (equal pictures once), and the truth with ``attack`` and ``intensity``, a row
        for each of before. What failed to be attacked is a failure in both.
    """
    made = attacked(images, attack, store, seed, progress)
    heirs = dict(zip(images["image_id"], made["image_id"], strict=True))
    lost = dict(zip(images["image_id"], made["failure"], strict=True))
    known = truth.assign(
        image_id=truth["image_id"].map(lambda name: heirs.get(name, name)),
        failure=truth["image_id"].map(lost).astype("str"),
        attack=without_intensity(attack),
        intensity=float(attack.intensity),
    )
    if "failure" in truth:
        known["failure"] = truth["failure"].fillna(known["failure"])
    return frames.check(made.drop_duplicates("image_id"), "images"), known
