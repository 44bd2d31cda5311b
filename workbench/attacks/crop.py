"""A part of the picture, made as large as the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workbench.attacks import GradedAttack

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


@dataclass(frozen=True, repr=False)
class Crop(GradedAttack):
    """Keep 1 − intensity / 200 of each side, at a random place, resized back (bicubic).

    The parts .9, .8, .7, .6 and .5 of Bongini et al. (arXiv:2510.24278) are the intensities 20, 40,
    60, 80 and 100; that they are parts of the side, not of the area, is our assumption.

    >>> Crop(intensity=20)
    Crop(intensity=20)
    """

    intensity: float = 50
    revision: ClassVar[int] = 1

    def attacked(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the RGB image, of the same size; the place is drawn from `rng`."""
        from PIL.Image import Resampling

        share = 1 - self.intensity / 200
        width, height = (max(round(side * share), 1) for side in image.size)
        across, down = rng.random(2)
        left = int(across * (image.width - width + 1))
        top = int(down * (image.height - height + 1))
        part = image.crop((left, top, left + width, top + height))
        return part.resize(image.size, Resampling.BICUBIC)
