"""Invert the prompt of test images: p̂ = PromptInversion(x)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from workbench import frames
from workbench.keys import prompt_id
from workbench.pipeline.cache import CachedPlugin, call_each_on_failure
from workbench.pipeline.encoding import pictures_of
from workbench.pipeline.progress import Progress, ticker
from workbench.runners import Tick
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd


def invert(
    images: pd.DataFrame, inverter: Any, store: Store, progress: Progress | None = None
) -> pd.DataFrame:
    """Invert the prompt of every test image: p̂ = PromptInversion(x).

    Args:
        images: frame of that name; its pictures lie in the store or at ``path``.
        inverter: an Inverter. One with a method ``known`` (`Natural`) is handed the images'
            ``prompt`` column instead of their pixels, one with ``of_file`` (`Metadata`) their path.
        store: where prompts are kept.
        progress: called with ("invert", done, total).

    Returns:
        prompts frame, a row for each image; a failed one keeps its reason in ``failure``.
    """
    table = frames.check(images, "images")
    good = table[table["failure"].isna()]
    tick = ticker("invert", len(good), progress)
    if hasattr(inverter, "known"):
        texts = good.set_index("image_id")["prompt"].items()
        made = {image: _known(inverter, text) for image, text in texts}
        tick(len(made))
    elif hasattr(inverter, "of_file"):
        made = {row.image_id: _of_file(inverter, row.path) for row in good.itertuples()}
        rest = good[[made[name]["text"] is None for name in good["image_id"]]]
        tick(len(good) - len(rest))
        if inverter.otherwise is not None:
            made |= _inverted(rest, inverter.otherwise, store, tick)
    else:
        made = _inverted(good, inverter, store, tick)
    rows = []
    for row in table.itertuples():
        found = made.get(row.image_id, {"text": None, "failure": row.failure})
        named = {"image_id": row.image_id, "inverter": repr(inverter), "prompt": found["text"]}
        if found["text"] is not None:
            named["prompt_id"] = prompt_id(found["text"])
        told = {name: found.get(name) for name in ("score", "failure", "seconds")}
        rows.append(named | told | {"truncated": bool(found.get("truncated"))})
    return frames.build("prompts", rows)


def _known(inverter: Any, text: Any) -> dict[str, Any]:
    """Ask for a known prompt; an image without one is a failure."""
    try:
        prompt = inverter.known([text if isinstance(text, str) else None])[0]
    except ValueError:
        return {"text": None, "failure": "the known prompt of this picture is missing"}
    return {"text": prompt.text, "score": prompt.score, "seconds": 0.0}


def _of_file(inverter: Any, path: Any) -> dict[str, Any]:
    """Ask for the prompt in a picture's file; a picture without one is a failure."""
    if not isinstance(path, str):
        return {"text": None, "failure": "this picture comes from no file"}
    try:
        return {"text": inverter.of_file(path).text, "seconds": 0.0}
    except ValueError as error:
        return {"text": None, "failure": str(error)}


def _inverted(
    good: pd.DataFrame, inverter: Any, store: Store, tick: Tick
) -> dict[str, dict[str, Any]]:
    """Return image_id → row of the store, inverting what is missing."""
    maker = CachedPlugin("inverter", inverter, store)
    jobs = {maker.key(image=image): image for image in good["image_id"]}
    found = maker.prompts(
        jobs, pictures_of(good, store), partial(call_each_on_failure, inverter), tick
    )
    return {image: found[key] for key, image in jobs.items()}
