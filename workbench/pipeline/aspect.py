"""Let what is inverted, drawn and compared have one aspect: that of a bucket near the picture's.

Models are trained in a few sides of about one area, wide and tall ones too (aspect ratio buckets of
Podell et al. 2023, arXiv:2307.01952). A picture that is not square is cut to the nearest bucket
that every candidate model draws in; where one of them draws squares alone, to its centred square.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.pipeline.encoding import pictures_of
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

Sides = tuple[int, int]
"""Width and height in eighths of the side that a model draws."""
SQUARE: Sides = (8, 8)
WIDE: tuple[Sides, ...] = ((9, 7), (10, 6), (11, 6), (12, 5))
BUCKETS: tuple[Sides, ...] = (SQUARE, *WIDE, *((height, width) for width, height in WIDE))


class View(NamedTuple):
    """What is seen of a picture: the digest of its part in the store, and the bucket of that."""

    picture: str
    sides: Sides


def nearest(size: tuple[int, int]) -> Sides:
    """Return the bucket whose aspect is nearest to that of a width and height, by its logarithm.

    >>> nearest((640, 480)), nearest((600, 1000)), nearest((640, 600))
    ((9, 7), (6, 10), (8, 8))
    """
    aspect = math.log(size[0] / size[1])
    return min(BUCKETS, key=lambda sides: abs(math.log(sides[0] / sides[1]) - aspect))


def cut(picture: Image, sides: Sides) -> Image:
    """Cut the largest centred part of a bucket's aspect out of an RGB picture."""
    width = max(1, min(picture.width, round(picture.height * sides[0] / sides[1])))
    height = max(1, min(picture.height, round(picture.width * sides[1] / sides[0])))
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def shaped(zoo: Mapping[str, Any], sides: Sides) -> dict[str, Any] | None:
    """Return the models drawing in a bucket; None where one of them draws squares alone."""
    if sides == SQUARE:
        return dict(zoo)
    models = {
        name: model.shaped(sides) if hasattr(model, "shaped") else None
        for name, model in zoo.items()
    }
    return None if None in models.values() else models


def views(images: pd.DataFrame, zoo: Mapping[str, Any], store: Store) -> dict[str, View]:
    """Choose what is seen of each picture that is not square, by its image_id.

    Args:
        images: frame of that name; its pictures lie in the store or at ``path``.
        zoo: name → Generator; with none every view is a centred square.
        store: where the parts are kept.
    """
    good = images[images["failure"].isna()]
    load = pictures_of(good, store)
    chosen = {}
    for name in good["image_id"]:
        picture = load(name)
        if picture.width != picture.height:
            sides = nearest(picture.size)
            sides = sides if shaped(zoo, sides) else SQUARE
            chosen[str(name)] = View(store.put_picture(cut(picture, sides)), sides)
    return chosen


def in_bucket(prompt: str, sides: Sides) -> str:
    """Name a prompt whose candidate images are drawn in a bucket, and so are others.

    >>> in_bucket("e3b0", (10, 6)), in_bucket("e3b0", SQUARE)
    ('e3b0:10x6', 'e3b0')
    """
    return prompt if sides == SQUARE else f"{prompt}:{sides[0]}x{sides[1]}"


def bucket_of(prompt: str) -> Sides:
    """Return the bucket of a prompt_id (`in_bucket`).

    >>> bucket_of("e3b0:10x6"), bucket_of("e3b0")
    ((10, 6), (8, 8))
    """
    named = re.search(r":(\d+)x(\d+)$", prompt)
    return (int(named[1]), int(named[2])) if named else SQUARE
