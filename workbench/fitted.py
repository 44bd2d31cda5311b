"""What a plug-in learned: the arrays that `fit` leaves in it, as one immutable value.

Weights that come with a catalogue row are a `Checkpoint`; what is fitted here, on pictures of known
source, is `Fitted`. It enters the repr, and so every table and key, by its digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


class Fitted:
    """Hold named arrays, read-only copies, and how many pictures they were learned from.

    Equal, hashed and shown by the sha256 of the names, shapes, dtypes and bytes.

    Args:
        pictures: training pictures behind it, at least 1.
        arrays: name → array of numbers or text; no objects.

    >>> import numpy as np
    >>> found = Fitted(8, {"mean": np.zeros(3), "labels": np.array(["a", "b"])})
    >>> found
    fitted("ce511de6e244", pictures=8)
    >>> found["labels"].tolist(), found == Fitted(8, dict(found.arrays))
    (['a', 'b'], True)
    """

    def __init__(self, pictures: int, arrays: Mapping[str, np.ndarray]) -> None:
        import numpy as np

        if pictures < 1:
            raise ValueError(f"something is learned from at least 1 picture; seen {pictures}")
        self.pictures = pictures
        self.arrays: dict[str, np.ndarray] = {}
        for name, value in sorted(arrays.items()):
            kept = np.array(value, order="C")
            if kept.dtype.hasobject:
                raise ValueError(f"the fitted array {name!r} holds objects, not numbers or text")
            kept.setflags(write=False)
            self.arrays[name] = kept

    def __getitem__(self, name: str) -> np.ndarray:
        """Answer one array; LookupError where there is none of that name."""
        if name not in self.arrays:
            raise LookupError(
                f"nothing named {name!r} was fitted; there are: {', '.join(self.arrays)}"
            )
        return self.arrays[name]

    @cached_property
    def digest(self) -> str:
        """The sha256, 64 hex digits, of everything in it."""
        found = hashlib.sha256(str(self.pictures).encode())
        for name, value in self.arrays.items():
            found.update(f"\n{name} {value.dtype.str} {value.shape}\n".encode())
            found.update(value.tobytes())
        return found.hexdigest()

    def __eq__(self, other: object) -> bool:
        """Compare by digest."""
        return isinstance(other, Fitted) and other.digest == self.digest

    def __hash__(self) -> int:
        """Hash the digest."""
        return hash(self.digest)

    def __repr__(self) -> str:
        return f'fitted("{self.digest[:12]}", pictures={self.pictures})'
