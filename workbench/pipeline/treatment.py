"""Let candidate images go the test picture's way: c → T_x(c), T_x what was done to x last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench import frames
from workbench.evidence.treatment import Treatment, estimate
from workbench.images import ImageError, read_bytes
from workbench.pipeline.aspect import View
from workbench.pipeline.cache import CachedPlugin
from workbench.pipeline.encoding import pictures_of
from workbench.pipeline.progress import Progress, ticker
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image


def treatments(
    images: pd.DataFrame,
    store: Store,
    progress: Progress | None = None,
    views: Mapping[str, View] | None = None,
) -> dict[str, Treatment]:
    """Estimate what was done last to every test image (`evidence.treatment.estimate`).

    Args:
        images: frame of that name; its pictures lie in the store or at ``path``, where a JPEG file
            tells its tables.
        store: where pictures are kept.
        progress: called with ("treatment", done, total).
        views: by image_id, what is compared in the place of the whole, whose side then counts.

    Returns:
        image_id → `Treatment` of every image that has not failed.
    """
    table = frames.check(images, "images")
    good = table[table["failure"].isna()]
    load = pictures_of(good, store)
    tick = ticker("treatment", len(good), progress)
    estimates = {}
    for done, row in enumerate(good.itertuples(), 1):
        treatment = estimate(load(row.image_id), _bytes(row.path))
        view = (views or {}).get(str(row.image_id))
        if view is not None:
            treatment = treatment.at(min(store.picture(view.picture).size))
        estimates[str(row.image_id)] = treatment
        tick(done)
    return estimates


def treated(
    pairs: pd.DataFrame,
    treatments: Mapping[str, Treatment],
    store: Store,
    progress: Progress | None = None,
) -> list[str | None]:
    """Treat the candidate images of each test image as the image itself was treated.

    Args:
        pairs: ``image_id`` and ``candidate_id``, missing for a candidate image that failed.
        treatments: by image_id; a plain one, or none, leaves the candidate as it is.
        store: where treated pictures are kept, as any other, each made once.
        progress: called with ("treat alike", done, total).

    Returns:
        the digest of the treated picture of each row, None where there is no candidate image.
    """
    known = pairs["candidate_id"].notna()
    wanted: dict[Treatment, dict[str, None]] = {}
    for row in pairs[known].itertuples():
        done = treatments.get(row.image_id)
        if done is not None and not done.plain:
            wanted.setdefault(done, {})[row.candidate_id] = None
    total, before = sum(map(len, wanted.values())), 0
    ids: dict[tuple[Treatment, str], str] = {}
    for treatment, names in wanted.items():
        tick = ticker("treat alike", total, progress, before)
        maker = CachedPlugin("treatment", treatment, store)
        jobs = {maker.key(picture=name): name for name in names}

        def call(some: Sequence[Image], treatment: Treatment = treatment) -> list[Image]:
            return [treatment(picture) for picture in some]

        generations = maker.generations(jobs, store.picture, call, tick)
        ids |= {(treatment, name): str(generations[key].picture) for key, name in jobs.items()}
        before += len(names)
    return [
        None if not there else ids.get((treatments.get(image), name), name)  # type: ignore[arg-type]
        for image, name, there in zip(pairs["image_id"], pairs["candidate_id"], known, strict=True)
    ]


def _bytes(path: object) -> bytes:
    """Read the file of a row, where there is one that can be read."""
    if not isinstance(path, str) or not Path(path).is_file():
        return b""
    try:
        return read_bytes(path)
    except ImageError:
        return b""
