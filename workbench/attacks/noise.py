"""Additive Gaussian noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workbench.attacks import GradedAttack

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


@dataclass(frozen=True, repr=False)
class Noise(GradedAttack):
    """Add Gaussian noise of σ = intensity / 2 of 255 grey levels to every value, independently.

    Values are rounded and held within 0 … 255. The σ = 15, 25 and 50 of the denoising literature
    (Zhang et al. 2017, doi:10.1109/TIP.2017.2662206) are the intensities 30, 50 and 100. A picture
    gets the same pattern at every intensity, only stronger.

    >>> Noise(intensity=30)
    Noise(intensity=30)
    """

    intensity: float = 50
    revision: ClassVar[int] = 1

    def attacked(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the noisy RGB image, of the same size; the noise is drawn from `rng`."""
        import numpy as np
        from PIL import Image

        pixels = np.asarray(image, np.float64)
        noisy = pixels + self.intensity / 2 * rng.standard_normal(pixels.shape)
        return Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8))
