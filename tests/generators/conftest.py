"""What the tests of generators paint and compare."""

from __future__ import annotations

import numpy as np
from PIL import Image

from workbench import images

PROMPTS, SEEDS = ["a red circle", "a blue star"], [3, 4]


def digests(answers):
    return [images.digest(answer) for answer in answers]


def smooth(count: int, side: int) -> list[Image.Image]:
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return [Image.fromarray(x).resize((side, side)) for x in coarse]
