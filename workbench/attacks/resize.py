"""Down and back up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workbench.attacks import GradedAttack

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


@dataclass(frozen=True, repr=False)
class Resize(GradedAttack):
    """Resize by the factor 1 − intensity / 100 and back, bicubic; at least 1 pixel a side.

    RefPrint's factors (arXiv:2607.12052) 1, .75, .5 and .35 are the intensities 0, 25, 50 and 65.
    Antialiased on the way down, as everything is in this project.

    >>> Resize(intensity=25)
    Resize(intensity=25)
    """

    intensity: float = 50
    revision: ClassVar[int] = 1

    def attacked(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the RGB image, of the same size; nothing is drawn from `rng`."""
        from PIL.Image import Resampling

        factor = 1 - self.intensity / 100
        width, height = (max(round(side * factor), 1) for side in image.size)
        small = image.resize((width, height), Resampling.BICUBIC)
        return small.resize(image.size, Resampling.BICUBIC)
