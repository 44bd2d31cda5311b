"""Similarities a_kj = sim(x, c_kj) between test images and candidate images; one file, one plug-in.

To add one, copy the nearest file beside this one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from workbench.encoders import Encoder
from workbench.plugin import Plugin, arguments
from workbench.weights.checkpoint import Checkpoint

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


class Similarity(Protocol):
    """Compare pictures; higher is closer.

    One that works on features also has `encoder` and `compare(tests, candidates)`, which takes
    their (N, D) and (M, D) rows, so that cached features serve. One made of others has `parts` and
    `combine(values)`, which takes an array for each part; until it is fitted it is `unfitted`.
    """

    def __call__(self, tests: Sequence[Image], candidates: Sequence[Image]) -> np.ndarray:
        """Return (N, M) values for N tests and M candidates, RGB images of equal size."""
        ...


class OverEncoder(Plugin, ABC):
    """Share what similarities of features have in common; each adds the field and `between`.

    An encoder may be given by its name, with fields of its own: ``Cosine("pocket-clip", layer=4)``.
    """

    encoder: Encoder

    def __init__(self, encoder: Encoder | str | None = None, **fields: Any) -> None:
        if isinstance(encoder, str) and fields:
            import workbench as wb  # names are the façade's: the catalogue stands above this folder

            encoder, fields = wb.load(encoder, "encoder", **fields), {}
        if fields:
            label = type(self).__name__
            raise TypeError(
                f"{label} takes fields of an encoder, such as {next(iter(fields))!r}, beside its "
                f'name: wb.load("pocket-clip", "similarity", layer=4) is '
                f'{label}("pocket-clip", layer=4)'
            )
        object.__setattr__(self, "encoder", encoder)
        self.__post_init__()

    def __repr__(self) -> str:
        """Write an encoder of the catalogue as its name and fields, any other by its own repr."""
        named = isinstance(getattr(self.encoder, "checkpoint", None), Checkpoint)
        inner = arguments(self.encoder) if named else [repr(self.encoder)]
        return f"{type(self).__name__}({', '.join(inner)})"

    def __call__(self, tests: Sequence[Image], candidates: Sequence[Image]) -> np.ndarray:
        """Return (N, M) float32 values; higher is closer."""
        return self.compare(self.encoder(tests), self.encoder(candidates))

    def compare(self, tests: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return (N, M) float32 values of unit rows (N, D) and (M, D).

        The sums run in float64 and are rounded to float32, so that equal pictures tie exactly.
        Raises ValueError when the widths D differ.
        """
        import numpy as np

        if not len(tests) or not len(candidates):
            return np.zeros((len(tests), len(candidates)), np.float32)
        if tests.shape[1] != candidates.shape[1]:
            raise ValueError(
                "features of one width are needed; "
                f"there are {tests.shape[1]} and {candidates.shape[1]}"
            )
        values = self.between(tests.astype(np.float64), candidates.astype(np.float64))
        return values.astype(np.float32)

    @abstractmethod
    def between(self, tests: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return (N, M) values of unit rows (N, D) and (M, D), all float64, none of them empty."""


def check_size(images: Sequence[Image]) -> tuple[int, int]:
    """Return the one size of pictures, (0, 0) of none; ValueError where they differ."""
    sizes = sorted({image.size for image in images})
    if len(sizes) > 1:
        seen = ", ".join(f"{width}×{height}" for width, height in sizes)
        raise ValueError(f"the pictures must have one size to be compared; there are {seen}")
    return sizes[0] if sizes else (0, 0)


def pixels(tests: Sequence[Image], candidates: Sequence[Image]) -> tuple[np.ndarray, np.ndarray]:
    """Return both sets as (N, H, W, 3) and (M, H, W, 3) float64 arrays in [0, 1].

    Raises ValueError for images that differ in size.
    """
    import numpy as np

    width, height = check_size([*tests, *candidates])

    def stack(images: Sequence[Image]) -> np.ndarray:
        rows = [np.asarray(image.convert("RGB"), np.float64) / 255 for image in images]
        return np.stack(rows) if rows else np.zeros((0, height, width, 3))

    return stack(tests), stack(candidates)
