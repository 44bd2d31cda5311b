"""Invert the prompt of test images: p̂ = PromptInversion(x)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from workbench import frames
from workbench.generators import Failure
from workbench.inverters import Prompt, RowInverter
from workbench.keys import check_prompt, prompt_id
from workbench.pipeline.cache import CachedPlugin, call_each_on_failure, paired
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
        inverter: an Inverter. A `RowInverter` (`Natural`, `Metadata`) is handed the rows of the
            images before their pixels.
        store: where prompts are kept.
        progress: called with ("invert", done, total).

    Returns:
        prompts frame, a row for each image; a failed one keeps its reason in ``failure``.
    """
    table = frames.check(images, "images")
    good = table[table["failure"].isna()]
    tick = ticker("invert", len(good), progress)
    ask = _of_rows if isinstance(inverter, RowInverter) else _of_pixels
    answers = ask(good, inverter, store, tick)
    rows = []
    for row in table.itertuples():
        answer = answers.get(row.image_id, {"text": None, "failure": row.failure})
        named = {"image_id": row.image_id, "inverter": repr(inverter), "prompt": answer["text"]}
        if answer["text"] is not None:
            named["prompt_id"] = prompt_id(answer["text"])
        measured = {name: answer.get(name) for name in ("score", "failure", "seconds")}
        rows.append(named | measured | {"truncated": bool(answer.get("truncated"))})
    return frames.build("prompts", rows)


def _of_rows(
    good: pd.DataFrame, inverter: RowInverter, store: Store, tick: Tick
) -> dict[str, dict[str, Any]]:
    """Return image_id → prompt by the rows of the pictures; where they do not say, by pixels."""
    answers = paired(inverter, good["image_id"], inverter.of_rows(good))
    found: dict[str, dict[str, Any]] = {}
    others: dict[int, tuple[Any, list[str]]] = {}
    for image, answer in answers.items():
        if isinstance(answer, Prompt) and (reason := _unusable(answer.text)):
            found[image] = {"text": None, "failure": reason}
        elif isinstance(answer, Prompt):
            score, truncated = answer.score, answer.truncated
            found[image] = {"text": answer.text, "score": score, "truncated": truncated}
            found[image]["seconds"] = 0.0
        elif isinstance(answer, Failure):
            found[image] = {"text": None, "failure": answer.reason}
        else:
            others.setdefault(id(answer), (answer, []))[1].append(image)
    tick(len(found))
    for other, images in others.values():
        rest = good[good["image_id"].isin(images)]
        found |= _of_pixels(rest, other, store, _after(len(found), tick))
    return found


def _unusable(text: str) -> str:
    """Say why a prompt, which anybody may have written, cannot be used; "" for any other."""
    try:
        check_prompt(text)
    except ValueError as error:
        return str(error)
    return ""


def _after(before: int, tick: Tick) -> Tick:
    """Count on from what is done already."""
    return lambda done: tick(before + done)


def _of_pixels(
    good: pd.DataFrame, inverter: Any, store: Store, tick: Tick
) -> dict[str, dict[str, Any]]:
    """Return image_id → row of the store, inverting what is missing."""
    maker = CachedPlugin("inverter", inverter, store)
    jobs = {maker.key(image=image): image for image in good["image_id"]}
    prompts = maker.prompts(
        jobs, pictures_of(good, store), partial(call_each_on_failure, inverter), tick
    )
    return {image: prompts[key] for key, image in jobs.items()}
