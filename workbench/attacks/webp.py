"""WebP compression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workbench.attacks import GradedAttack, recompressed

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


@dataclass(frozen=True, repr=False)
class WebP(GradedAttack):
    """Compress with lossy WebP (RFC 9649) at quality 100 − intensity, rounded, at least 1.

    Pillow's encoder, method 4. Bongini et al. (arXiv:2510.24278) go down to 50, the intensity 50.

    >>> WebP(intensity=30)
    WebP(intensity=30)
    """

    intensity: float = 50
    revision: ClassVar[int] = 1

    def attacked(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the compressed RGB image, of the same size; nothing is drawn from `rng`."""
        return recompressed(image, "WEBP", quality=max(round(100 - self.intensity), 1), method=4)
