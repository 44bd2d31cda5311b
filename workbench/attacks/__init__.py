"""Attacks on test images. One file is one plug-in; none is here yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


class Attack(Protocol):
    """Change a picture; `intensity` runs from 0 (the input untouched) to 100."""

    intensity: float

    def __call__(self, image: Image, rng: np.random.Generator) -> Image:
        """Answer the attacked RGB image; `rng` is the picture's own."""
        ...
