"""A slight turn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workbench.attacks import GradedAttack

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


@dataclass(frozen=True, repr=False)
class Rotation(GradedAttack):
    """Turn by an angle drawn evenly from ± intensity / 10 degrees, and cut the empty corners off.

    The ±5° of Bongini et al. (arXiv:2510.24278) are the intensity 50, and 100 is ±10°. What is kept
    is the largest centred part of the picture's own shape without an empty corner (a square of side
    s becomes one of ``s / (|cos θ| + |sin θ|)``), enlarged to the whole in the same bicubic step:
    black corners would betray the attack.

    >>> Rotation(intensity=50)
    Rotation()
    """

    intensity: float = 50
    revision: ClassVar[int] = 1

    def attacked(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the turned RGB image, of the same size; the angle is drawn from `rng`."""
        return turned(image, self.intensity / 10 * rng.uniform(-1, 1))


def turned(image: Image, degrees: float) -> Image:
    """Turn counter-clockwise about the centre, enlarged until no corner is empty."""
    from PIL.Image import Resampling, Transform

    width, height = image.size
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    across, down = width * cos + height * abs(sin), width * abs(sin) + height * cos
    scale = min(width / across, height / down)
    cos, sin = scale * cos, scale * sin
    x, y = width / 2, height / 2
    back = (cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)
    return image.transform(image.size, Transform.AFFINE, back, Resampling.BICUBIC)
