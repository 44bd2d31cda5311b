"""The sides that a pipeline draws: its row's own, or those of an aspect bucket."""

from __future__ import annotations

import inspect

from workbench.weights.checkpoint import Checkpoint, resolve_class


def pixels(size: int, bucket: tuple[int, int]) -> tuple[int, int]:
    """Return width and height of a bucket, in eighths of a size: multiples of 64, of 8 below 512.

    >>> pixels(1024, (9, 7)), pixels(512, (6, 10)), pixels(64, (10, 6)), pixels(500, (8, 8))
    ((1152, 896), (384, 640), (80, 48), (500, 500))
    """
    unit = 64 if size >= 512 else 8
    width, height = (
        size if part == 8 else max(1, round(size * part / 8 / unit)) * unit for part in bucket
    )
    return width, height


def draws(row: Checkpoint, bucket: tuple[int, int]) -> bool:
    """Return whether the pipeline of a row draws in a bucket.

    Its class must take height and width, which a cascade hands on to nobody, and its size have
    sides within a tenth of the bucket's aspect.
    """
    if row.stages or not row.class_name:
        return False
    width, height = pixels(row.size, bucket)
    if abs(width * bucket[1] / (height * bucket[0]) - 1) > 0.1:
        return False
    call = inspect.signature(resolve_class(row.class_name).__call__)
    return {"height", "width"} <= {*call.parameters}
