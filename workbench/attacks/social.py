"""Recompression by a social network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workbench.attacks import GradedAttack, recompressed

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

PLATFORMS = {
    "x": (0.9, 85, "4:2:0"),
    "facebook": (0.8, 75, "4:2:0"),
    "instagram": (0.8, 80, "4:2:0"),
    "whatsapp": (0.65, 65, "4:2:0"),
}
"""Part of each side that is kept, JPEG quality, and chroma subsampling. Assumptions of ours."""


@dataclass(frozen=True, repr=False)
class Social(GradedAttack):
    """Send through a platform: made smaller (bicubic), then JPEG with chroma subsampling.

    The idea is of Bongini et al. (arXiv:2510.24278). **The numbers are not**: those of `PLATFORMS`
    are our assumptions, nothing measured at the platform named. They hold at the default intensity
    50; the part cut from the side and 100 − quality both grow in proportion, so that 100 is twice
    as strong. The maximal side is relative to the picture's own, for ours are small.

    >>> Social(platform="whatsapp")
    Social(platform="whatsapp")
    """

    intensity: float = 50
    platform: str = "x"
    revision: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.platform not in PLATFORMS:
            raise ValueError(
                f"no platform {self.platform!r}; there are: {', '.join(sorted(PLATFORMS))}"
            )

    def attacked(self, image: Image, rng: np.random.Generator) -> Image:
        """Return a smaller RGB image; nothing is drawn from `rng`."""
        from PIL.Image import Resampling

        share, quality, subsampling = PLATFORMS[self.platform]
        share = 1 - (1 - share) * self.intensity / 50
        quality = max(round(100 - (100 - quality) * self.intensity / 50), 1)
        width, height = (max(round(side * share), 1) for side in image.size)
        small = image.resize((width, height), Resampling.BICUBIC)
        return recompressed(small, "JPEG", quality=quality, subsampling=subsampling)
