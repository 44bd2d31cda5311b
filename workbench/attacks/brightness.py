"""Lighter or darker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workbench.attacks import GradedAttack

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


@dataclass(frozen=True, repr=False)
class Brightness(GradedAttack):
    """Multiply every value by 2^(± intensity / 100): up to double or half; the sign is drawn.

    In the words of photography, intensity / 100 stops lighter or darker (default ours). Values are
    held within 0 … 255.

    >>> Brightness(intensity=100)
    Brightness(intensity=100)
    """

    intensity: float = 50
    revision: ClassVar[int] = 1

    def attacked(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the RGB image, of the same size; lighter or darker is drawn from `rng`."""
        from PIL import ImageEnhance

        sign = 1 if rng.random() < 0.5 else -1
        return ImageEnhance.Brightness(image).enhance(2 ** (sign * self.intensity / 100))
