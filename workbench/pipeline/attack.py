"""Attack test images: x → A(x), each kept as a picture of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench import frames
from workbench.attacks import own_rng, without_intensity
from workbench.generators import Failure
from workbench.keys import digest
from workbench.pipeline.cache import CachedPlugin, call_each_on_failure
from workbench.pipeline.encoding import pictures_of
from workbench.pipeline.progress import Progress, ticker
from workbench.runners import Tick
from workbench.store.store import Generation, Store

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image


def attack(
    images: pd.DataFrame,
    attack: Any,
    store: Store,
    seed: int = 0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Attack every test image: x → A(x).

    An attacked picture is a picture of the store: ``image_id`` is the digest of its own pixels,
    ``parent_id`` that of the image it was made from, ``attack`` the attack without its intensity.
    Where two images become the same pixels, they are one row, of the first of them, as everywhere
    in the project; `attacked` tells what became of each. At intensity 0 the rows are the images'
    own, and so is the row of an image that failed before. An attack on an attacked image names the
    last attack alone; ``parent_id`` leads back.

    Args:
        images: frame of that name; its pictures lie in the store or at ``path``.
        attack: an Attack. It draws from `workbench.attacks.own_rng`, of the picture and not of the
            table, so that neither order nor company matters.
        store: where attacked pictures are kept.
        seed: the run's seed.
        progress: called with ("attack", done, total).

    Returns:
        images frame, a row for each distinct picture. One that could not be attacked has an
        image_id that begins with ``attack:``, and its reason in ``failure``.

    Raises:
        LookupError: the weights of the attack are missing.
    """
    table = attacked(images, attack, store, seed, progress)
    return frames.check(table.drop_duplicates("image_id"), "images")


def attacked(
    images: pd.DataFrame,
    attack: Any,
    store: Store,
    seed: int = 0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Return the attacked images, a row for each input image in order, equal pixels or not."""
    import pandas as pd

    table = frames.check(images, "images")
    name, intensity = without_intensity(attack), float(attack.intensity)
    good = table[table["failure"].isna()] if intensity else table.iloc[:0]
    generations = _attacked(good, attack, store, seed, ticker("attack", len(good), progress))
    rows = []
    for row in table.to_dict("records"):
        generation = generations.get(row["image_id"])
        if generation is not None:
            lost = f"attack:{digest([name, intensity, int(seed), row['image_id']])}"
            row |= {"parent_id": row["image_id"], "image_id": generation.picture or lost}
            row |= {"path": None, "failure": generation.failure}
        rows.append(row | {"attack": name, "intensity": intensity})
    return pd.DataFrame(rows, columns=list(table.columns))


def _attacked(
    good: pd.DataFrame, attack: Any, store: Store, seed: int, tick: Tick
) -> dict[str, Generation]:
    """Return image_id → generation of the store, attacking missing images one by one."""
    maker = CachedPlugin("attack", attack, store)
    jobs = {maker.key(picture=x, seed=int(seed)): x for x in good["image_id"]}
    load = pictures_of(good, store)

    def one(pairs: list[tuple[str, Image]]) -> list[Image]:
        return [attack(picture, own_rng(attack, image, seed)) for image, picture in pairs]

    def call(some: list[tuple[str, Image]]) -> list[Image | Failure]:
        return [call_each_on_failure(one, [pair])[0] for pair in some]

    generations = maker.generations(jobs, lambda image: (image, load(image)), call, tick)
    return {image: generations[key] for key, image in jobs.items()}
