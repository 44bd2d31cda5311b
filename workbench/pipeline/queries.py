"""Test images of known source: fresh ones with query seeds, and what attacks make of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

from workbench import frames
from workbench.attacks import without_intensity
from workbench.keys import digest, prompt_id, query_seed
from workbench.pipeline.attack import attacked
from workbench.pipeline.generation import generate, stored
from workbench.pipeline.progress import Progress
from workbench.store.store import Generation, Store

if TYPE_CHECKING:
    import pandas as pd


def make_queries(
    texts: Sequence[str],
    zoo: Mapping[str, Any],
    store: Store,
    seed: int = 0,
    progress: Progress | None = None,
    independent: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Generate test images: one picture of every prompt by every model, with query seeds.

    All models draw a prompt from one seed, so that models of one kind start from the same noise;
    with `independent` the model enters the seed too, and no two pictures share their noise.

    Args:
        texts: the natural prompts.
        zoo: name → Generator.
        store: where pictures are kept.
        seed: the run's seed; candidates of the same seed still differ.
        progress: called with ("generate", done, total).
        independent: let the model enter the query seeds.

    Returns:
        images frame (equal pictures once), and the truth: ``image_id``, ``truth`` (the generator),
        ``prompt`` and ``failure``, a row for each prompt and model. A picture that could not be
        made has an image_id that begins with ``query:`` and stands in the truth alone.
    """
    import pandas as pd

    table = pd.DataFrame({"prompt_id": [prompt_id(text) for text in texts], "prompt": list(texts)})
    parts: list[tuple[Mapping[str, Any], Callable[[int, str, int], int]]] = [(zoo, query_seed)]
    if independent:
        parts = [({name: model}, _own_seed(name)) for name, model in zoo.items()]
    queries = pd.concat(
        [generate(table, some, 1, seed, store, progress, draw) for some, draw in parts],
        ignore_index=True,
    )
    queries = queries.merge(table, on="prompt_id").rename(columns={"generator": "truth"})
    lost = [f"query:{digest([row.truth, row.prompt])}" for row in queries.itertuples()]
    queries["image_id"] = queries["candidate_id"].where(queries["candidate_id"].notna(), lost)
    whole = queries[queries["candidate_id"].notna()].drop_duplicates("image_id")
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
    return frames.build("images", rows), queries[["image_id", "truth", "prompt", "failure"]]


def stored_queries(
    texts: Sequence[str],
    zoo: Mapping[str, Any],
    store: Store,
    seed: int = 0,
    independent: bool = False,
) -> dict[str, list[Generation | None]]:
    """Return what the store has of the test images of `make_queries`: model → one a text, or None.

    Raises LookupError where the weights of a model are missing.
    """
    draws = {name: _own_seed(name) if independent else query_seed for name in zoo}
    return {name: stored(texts, zoo[name], 1, seed, store, draw) for name, draw in draws.items()}


def _own_seed(model: str) -> Callable[[int, str, int], int]:
    """Return the `query_seed` of one model, under that function's name in the store's keys."""

    @wraps(query_seed)
    def draw(run_seed: int, prompt: str, index: int) -> int:
        return query_seed(run_seed, prompt, index, model)

    return draw


def attacked_queries(
    images: pd.DataFrame,
    truth: pd.DataFrame,
    attack: Any,
    store: Store,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Attack test images, and return them with the truth about each.

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
    attacked_images = attacked(images, attack, store, seed, progress)
    heirs = dict(zip(images["image_id"], attacked_images["image_id"], strict=True))
    lost = dict(zip(images["image_id"], attacked_images["failure"], strict=True))
    known = truth.assign(
        image_id=truth["image_id"].map(lambda name: heirs.get(name, name)),
        failure=truth["image_id"].map(lost).astype("str"),
        attack=without_intensity(attack),
        intensity=float(attack.intensity),
    )
    if "failure" in truth:
        known["failure"] = truth["failure"].fillna(known["failure"])
    return frames.check(attacked_images.drop_duplicates("image_id"), "images"), known
