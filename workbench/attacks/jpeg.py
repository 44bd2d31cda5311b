"""JPEG compression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workbench.attacks import GradedAttack, recompressed

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


@dataclass(frozen=True, repr=False)
class JPEG(GradedAttack):
    """Compress with JPEG (ITU-T T.81) at quality 100 − intensity, rounded, at least 1.

    Pillow's encoder, chroma halved in both directions (4:2:0). The levels 90, 80 and 70 of RefPrint
    (arXiv:2607.12052) are the intensities 10, 20 and 30; its 100 is a compression too, which no
    whole intensity is. The paper's card (Li et al. 2024) gives no levels.

    >>> JPEG(intensity=25)
    JPEG(intensity=25)
    """

    intensity: float = 50
    revision: ClassVar[int] = 1

    def attacked(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the compressed RGB image, of the same size; nothing is drawn from `rng`."""
        quality = max(round(100 - self.intensity), 1)
        return recompressed(image, "JPEG", quality=quality, subsampling="4:2:0")
