"""Attacks on test images: what happens, or is done, to a picture before it is attributed.

One file, one plug-in; to add one, copy the nearest file beside this one. `pipeline.attack` runs
them over a table, `benchmark.evaluate(…, attacks=[…])` measures what is left of an attribution.
"""

from __future__ import annotations

import dataclasses
import io
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

from workbench.keys import digest
from workbench.plugin import Plugin, arguments

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


class Attack(Protocol):
    """Change a picture; `intensity` runs from 0 (the input itself) to 100, higher is farther.

    The plug-in's docstring says what the intensity means. All randomness comes from `rng`, and an
    attack that draws draws the same at every intensity, so that a place or a direction stays.
    """

    @property
    def intensity(self) -> float:
        """How strong the attack is, from 0 to 100."""
        ...

    def __call__(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the attacked RGB image, of any size; at intensity 0 the input object.

        Raises ValueError for a picture that cannot be attacked; the sentence says why.
        """
        ...


class GradedAttack(Plugin, ABC):
    """An Attack for a file to fill in: a frozen dataclass with a field `intensity`, and `attacked`.

    The intensity is checked as the attack is made, and 0 gives the input object back. One that
    checks more begins its own `__post_init__` with ``super().__post_init__()``.
    """

    intensity: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_intensity(self)

    def __call__(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the attacked RGB image; at intensity 0 the input object, and nothing is drawn."""
        return image if self.intensity == 0 else self.attacked(image, rng)

    @abstractmethod
    def attacked(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the attacked RGB image; the intensity is above 0."""


def check_intensity(attack: Any) -> None:
    """Check an attack's intensity, 0 … 100, and write it as plainly as can be: 25.0 as 25.

    A grid of numpy's numbers so gives attacks whose repr reads back. Raises ValueError.

    >>> from workbench.attacks.jpeg import JPEG
    >>> JPEG(intensity=25.0)
    JPEG(intensity=25)
    >>> JPEG(intensity=101)
    Traceback (most recent call last):
    ValueError: the intensity of JPEG runs from 0 to 100; seen 101
    """
    value = attack.intensity
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0 <= number <= 100:
        raise ValueError(
            f"the intensity of {type(attack).__name__} runs from 0 to 100; seen {value}"
        )
    object.__setattr__(attack, "intensity", int(number) if number.is_integer() else number)


def without_intensity(attack: Any) -> str:
    """Return an attack's repr without its intensity, which has a column of its own.

    >>> from workbench.attacks.social import Social
    >>> without_intensity(Social(intensity=25, platform="whatsapp"))
    'Social(platform="whatsapp")'
    """
    if not dataclasses.is_dataclass(attack):
        return repr(attack)
    return f"{type(attack).__name__}({', '.join(arguments(attack, without='intensity'))})"


def own_rng(attack: Any, image_id: str, seed: int) -> np.random.Generator:
    """Return the generator of random numbers that belongs to one picture under one attack.

    Seeded by sha256("attack", run seed, image_id, attack without its intensity): neither order nor
    company matters, and no two pictures share a place, angle or noise. The intensity stays out, so
    that along a curve of intensities a picture keeps its own place, angle and noise, and what
    changes from one intensity to the next is the intensity alone.
    """
    import numpy as np

    key = digest(["attack", int(seed), image_id, without_intensity(attack)])
    return np.random.default_rng(int(key, 16))


def recompressed(image: Image, kind: str, **options: Any) -> Image:
    """Save an RGB picture in a lossy format of Pillow and open it again."""
    from workbench import images

    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return images.decode(buffer.getvalue(), (kind,))
