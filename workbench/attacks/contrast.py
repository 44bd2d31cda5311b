"""Harder or softer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workbench.attacks import GradedAttack

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


@dataclass(frozen=True, repr=False)
class Contrast(GradedAttack):
    """Scale the distance from the mean grey by 2^(± intensity / 100): double or half at most.

    The mean is that of the picture's luma (ITU-R BT.601), the sign is drawn (default ours). Values
    are held within 0 … 255.

    >>> Contrast(intensity=100)
    Contrast(intensity=100)
    """

    intensity: float = 50
    revision: ClassVar[int] = 1

    def attacked(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the RGB image, of the same size; harder or softer is drawn from `rng`."""
        from PIL import ImageEnhance

        sign = 1 if rng.random() < 0.5 else -1
        return ImageEnhance.Contrast(image).enhance(2 ** (sign * self.intensity / 100))
