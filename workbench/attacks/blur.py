"""Gaussian blur."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workbench.attacks import GradedAttack

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

SIDE = 512
"""Shorter side in pixels of the pictures that the σ of RefPrint is given for."""


@dataclass(frozen=True, repr=False)
class Blur(GradedAttack):
    """Blur with a Gaussian of σ = intensity / 10 pixels of a picture whose shorter side is `side`.

    For another shorter side σ scales with it. The levels σ = 1, 2 and 3 of RefPrint
    (arXiv:2607.12052) are the intensities 10, 20 and 30. That they hold for 512 pixels, and scale,
    is our assumption; at 64 pixels they are 0.125 (which changes no 8-bit value), 0.25 and 0.375
    pixels, and 100 is 1.25. With the picture's own side, σ is in its own pixels.
    Pillow's filter: three boxes in a row, within about one grey level (root mean square) of the
    Gaussian itself.

    >>> Blur(intensity=30).sigma(512)
    3.0
    >>> Blur(intensity=30, side=64).sigma(64)
    3.0
    """

    intensity: float = 50
    side: int = SIDE
    revision: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.side < 1:
            raise ValueError(f"a side is of at least 1 pixel; seen {self.side}")

    def sigma(self, side: int) -> float:
        """Return σ in pixels for a picture of that shorter side."""
        return self.intensity / 10 * side / self.side

    def attacked(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the blurred RGB image, of the same size; nothing is drawn from `rng`."""
        from PIL import ImageFilter

        return image.filter(ImageFilter.GaussianBlur(self.sigma(min(image.size))))
