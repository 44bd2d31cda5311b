"""Invert the prompt of test images: p̂ = PromptInversion(x)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from workbench import frames
from workbench.generators import Failure
from workbench.inverters import Prompt, RowInverter
from workbench.keys import check_prompt, prompt_id
from workbench.pipeline.aspect import SQUARE, View, in_bucket
from workbench.pipeline.cache import CachedPlugin, call_each_on_failure, paired
from workbench.pipeline.encoding import pictures_of
from workbench.pipeline.progress import Progress, ticker
from workbench.runners import Tick
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image


def invert(
    images: pd.DataFrame,
    inverter: Any,
    store: Store,
    progress: Progress | None = None,
    views: Mapping[str, View] | None = None,
) -> pd.DataFrame:
    """Invert the prompt of every test image: p̂ = PromptInversion(x).

    Args:
        images: frame of that name; its pictures lie in the store or at ``path``.
        inverter: an Inverter. A `RowInverter` (`Natural`, `Metadata`) is handed the rows of the
            images before their pixels.
        store: where prompts are kept.
        progress: called with ("invert", done, total).
        views: by image_id, what the inverter sees in the place of the whole (`views`); in a bucket
            a prompt has an id of its own, since its candidate images are others.

    Returns:
        prompts frame, a row for each image; a failed one keeps its reason in ``failure``.
    """
    table = frames.check(images, "images")
    good = table[table["failure"].isna()]
    tick = ticker("invert", len(good), progress)
    ask = _of_rows if isinstance(inverter, RowInverter) else _of_pixels
    seen = views or {}
    answers = ask(good, inverter, store, tick, seen)
    rows = []
    for row in table.itertuples():
        answer = answers.get(row.image_id, {"text": None, "failure": row.failure})
        named = {"image_id": row.image_id, "inverter": repr(inverter), "prompt": answer["text"]}
        if answer["text"] is not None:
            sides = seen[row.image_id].sides if row.image_id in seen else SQUARE
            named["prompt_id"] = in_bucket(prompt_id(answer["text"]), sides)
        measured = {name: answer.get(name) for name in ("score", "failure", "seconds")}
        rows.append(named | measured | {"truncated": bool(answer.get("truncated"))})
    return frames.build("prompts", rows)


def inverted(images: Iterable[str], inverter: Any, store: Store) -> dict[str, str | None]:
    """Return image_id → prompt of what the store holds by an inverter; nothing is made.

    A picture that could not be inverted has None. Raises LookupError where weights are missing.
    """
    maker = CachedPlugin("inverter", inverter, store)
    keys = {image: maker.key(image=image) for image in images}
    there = store.prompts(keys.values())
    return {image: there[key]["text"] for image, key in keys.items() if key in there}


def _of_rows(
    good: pd.DataFrame,
    inverter: RowInverter,
    store: Store,
    tick: Tick,
    views: Mapping[str, View],
) -> dict[str, dict[str, Any]]:
    """Return image_id → prompt from the rows of the pictures; from pixels where a row has none."""
    answers = paired(inverter, good["image_id"], inverter.of_rows(good))
    prompts: dict[str, dict[str, Any]] = {}
    others: dict[int, tuple[Any, list[str]]] = {}
    for image, answer in answers.items():
        if isinstance(answer, Prompt) and (reason := _unusable(answer.text)):
            prompts[image] = {"text": None, "failure": reason}
        elif isinstance(answer, Prompt):
            score, truncated = answer.score, answer.truncated
            prompts[image] = {"text": answer.text, "score": score, "truncated": truncated}
            prompts[image]["seconds"] = 0.0
        elif isinstance(answer, Failure):
            prompts[image] = {"text": None, "failure": answer.reason}
        else:
            others.setdefault(id(answer), (answer, []))[1].append(image)
    tick(len(prompts))
    for other, images in others.values():
        rest = good[good["image_id"].isin(images)]
        prompts |= _of_pixels(rest, other, store, _after(len(prompts), tick), views)
    return prompts


def _unusable(text: str) -> str:
    """Return why a prompt, which anybody may have written, cannot be used; else ""."""
    try:
        check_prompt(text)
    except ValueError as error:
        return str(error)
    return ""


def _after(before: int, tick: Tick) -> Tick:
    """Return a tick that counts on from what is done already."""
    return lambda done: tick(before + done)


def _of_pixels(
    good: pd.DataFrame, inverter: Any, store: Store, tick: Tick, views: Mapping[str, View]
) -> dict[str, dict[str, Any]]:
    """Return image_id → row of the store, inverting what is missing."""
    maker = CachedPlugin("inverter", inverter, store)
    load = pictures_of(good, store)
    seen = {name: views[name].picture if name in views else name for name in good["image_id"]}
    keys = {image: maker.key(image=name) for image, name in seen.items()}
    jobs = {keys[image]: name for image, name in seen.items()}

    def take(name: str) -> Image:
        return load(name) if name in seen else store.picture(name)

    prompts = maker.prompts(jobs, take, partial(call_each_on_failure, inverter), tick)
    return {image: prompts[key] for image, key in keys.items()}
