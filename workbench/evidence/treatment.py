"""Estimate the last treatment of a picture, and apply it to another.

A candidate image comes straight from its model, a test picture seldom: it was compressed, or made
smaller and larger again. The trace of that can outweigh the model's, so candidates go the same way
before they are compared (`pipeline.treated`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from workbench import images
from workbench.evidence.quantisation import ANNEX_K, compressed
from workbench.evidence.traces import luminance_in
from workbench.plugin import Plugin

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

KERNELS = ("bicubic", "bilinear", "lanczos")
"""Filters by which a picture may have been enlarged: Pillow's, of that name."""
FACTORS = tuple(sorted({*(k / 100 for k in range(25, 97)), 1 / 3, 2 / 3}))
"""Sizes before the last enlargement that are tried, as parts of the size."""
ROUNDING = 1.0
"""Largest mean square of what no enlargement explains, in grey levels²; rounding alone is 1/12."""
DIP = 0.5
"""Part of its neighbours' residual that a size's own may have to be taken for the one."""
FEWEST = 12
"""Dimensions that an enlargement must leave free to be told: with fewer, chance finds one."""
COLUMNS = 32
"""Columns that are looked at, evenly over the picture."""
TALLEST = 2048
"""Height in pixels beyond which an enlargement is not looked for: it would take minutes."""
LEAST = 10.0
"""Standard errors by which coefficients must lie on a table's steps."""
TILE, TILES = 88, 4
"""Side of the parts searched for JPEG's steps where the whole shows none, and how many, at most."""


@dataclass(frozen=True, repr=False)
class Treatment(Plugin):
    """Do to an RGB picture what was done to another: bring it to its size, enlarge, compress.

    The largest centred square goes to `side` pixels a side; where `inner` is given, to that many
    first, bicubic, and by `kernel` from there to `side`; then through JPEG of `quality`, where that
    is given, its chroma as `subsampling` says. Calling it with a picture returns the treated one.

    >>> Treatment(256, quality=70)
    Treatment(256, quality=70)
    """

    side: int
    inner: int | None = None
    kernel: str = "bicubic"
    quality: int | None = None
    subsampling: str = "4:2:0"
    revision: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.kernel not in KERNELS:
            raise ValueError(f"no filter {self.kernel!r}; there are: {', '.join(KERNELS)}")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ValueError(f"the quality of JPEG runs from 1 to 100; seen {self.quality}")
        if self.side < 1 or (self.inner is not None and self.inner < 1):
            raise ValueError(f"a size is at least 1 pixel; seen {self.side} and {self.inner}")

    @property
    def plain(self) -> bool:
        """Return whether nothing is done but bringing to a size, as for every comparison."""
        return self.inner is None and self.quality is None

    def at(self, side: int) -> Treatment:
        """Return the same for a part of the picture with another side.

        >>> Treatment(256, 128, quality=70).at(192)
        Treatment(192, inner=96, quality=70)
        """
        inner = None if self.inner is None else max(1, round(self.inner * side / self.side))
        return replace(self, side=side, inner=inner)

    def __call__(self, image: Image) -> Image:
        """Return the treated picture, `side` pixels a side."""
        import io

        from PIL.Image import Resampling

        square = images.fit(image, self.inner or self.side)
        if self.inner is not None:
            square = square.resize((self.side,) * 2, Resampling[self.kernel.upper()])
        if self.quality is None:
            return square
        buffer = io.BytesIO()
        square.save(buffer, "JPEG", quality=self.quality, subsampling=self.subsampling)
        return images.decode(buffer.getvalue(), ("JPEG",))

    def sentence(self) -> str:
        """Return a sentence on the treatment of candidates."""
        done = []
        if self.inner is not None:
            done.append(f"brought to {self.inner} pixels a side and enlarged to {self.side}")
        if self.quality is not None:
            at = "" if self.inner is not None else f"brought to {self.side} pixels a side and "
            done.append(f"{at}compressed with JPEG of quality {self.quality}")
        if not done:
            return "No compression or enlargement was found: candidates stay as drawn"
        return f"As the picture seems to have been, candidates were {' and '.join(done)}"


def estimate(picture: Image, data: bytes = b"") -> Treatment:
    """Estimate what was done last to an RGB picture, as a `Treatment` of its centred square.

    The quality of JPEG is read in the quantisation tables where the file itself is a JPEG, else
    searched for in the pixels (`quantisation.compressed`); where none is found, the size before the
    last enlargement is searched for (`enlargement`), whose traces a compression hides. What was
    done before a resize, or by a filter that is not tried, is not seen.

    Args:
        picture: as opened.
        data: the bytes of its file, where there is one.
    """
    side = min(picture.size)
    tables = of_tables(data)
    if tables is not None:
        return Treatment(side, quality=tables[0], subsampling=tables[1])
    quality = quality_of(picture)
    if quality is not None:
        return Treatment(side, quality=quality)
    enlarged = enlargement(picture)
    if enlarged is None:
        return Treatment(side)
    factor, kernel = enlarged
    return Treatment(side, max(1, round(side * factor)), kernel)


def of_tables(data: bytes) -> tuple[int, str] | None:
    """Return the quality nearest to a JPEG file's luminance table, and its chroma subsampling.

    Nearest of the tables that libjpeg scales from Annex K of ITU-T T.81, by mean absolute
    difference of the logarithms. None for what is no JPEG.
    """
    import numpy as np
    from PIL import JpegImagePlugin

    if not data.startswith(b"\xff\xd8\xff"):
        return None
    try:
        opened: Any = images.head(data)
        table = np.array(opened.quantization[0], np.float64)
    except (OSError, AttributeError, KeyError, SyntaxError, ValueError):
        return None
    scales = np.array([5000 // q if q < 50 else 200 - 2 * q for q in range(1, 101)])
    tables = np.clip((np.outer(scales, ANNEX_K) + 50) // 100, 1, 255)
    distance = np.abs(np.log(tables) - np.log(np.maximum(table, 1))).mean(axis=1)
    halved = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}
    return int(distance.argmin()) + 1, halved.get(JpegImagePlugin.get_sampling(opened), "4:4:4")


def quality_of(picture: Image) -> int | None:
    """Search the pixels for JPEG's steps: in the whole, then in its most detailed parts."""
    import numpy as np

    strength, quality, _ = compressed(luminance_in(picture))
    if strength >= LEAST:
        return quality
    grey = np.asarray(picture.convert("L"), np.float32)
    places = [
        (left, top)
        for top in range(0, picture.height - TILE + 1, TILE)
        for left in range(0, picture.width - TILE + 1, TILE)
    ]

    def detail(place: tuple[int, int]) -> float:
        part = grey[place[1] : place[1] + TILE, place[0] : place[0] + TILE]
        return float(np.abs(np.diff(part, axis=0)).mean() + np.abs(np.diff(part, axis=1)).mean())

    for left, top in sorted(places, key=detail, reverse=True)[:TILES]:
        part = picture.crop((left, top, left + TILE, top + TILE))
        strength, quality, _ = compressed(luminance_in(part))
        if strength >= LEAST:
            return quality
    return None


def enlargement(picture: Image) -> tuple[float, str] | None:
    """Return the size before the last enlargement, as a part of the height, and the filter.

    A column of n pixels enlarged from m lies in the m-dimensional space that the filter's n × m
    matrix U spans, but for rounding. r(m), the mean square of what least squares leave of the
    columns over the n − m dimensions besides, is 1/12 then, and several times larger at the sizes
    beside it, where it falls slowly for a picture never enlarged. For each filter the smallest m
    with r(m) ≤ `ROUNDING` and at most `DIP` times that of both neighbours, which rounding alone
    does not explain (2/12), counts, and of these the one with the smallest r is told. It is the
    linear dependence that resampling leaves (Popescu & Farid 2005), solved with the filter known.

    Returns:
        (m / n, filter), or None where there is no such dip; for a picture of more than `TALLEST`
        pixels too, and of fewer than 32. Of 64 rows, enlargements from up to 52 are told.
    """
    import numpy as np

    pixels = np.asarray(picture, np.float64)[..., 1]
    height = len(pixels)
    if not 32 <= height <= TALLEST:
        return None
    columns = pixels[:, :: max(1, pixels.shape[1] // COLUMNS)]
    every = {round(height * factor) for factor in FACTORS}
    sizes = sorted(size for size in every if height - size >= FEWEST - 1)
    dips = []
    for kernel in KERNELS:
        left = [_residual(columns, size, kernel) for size in sizes]
        for place in range(1, len(sizes) - 1):
            beside = min(left[place - 1], left[place + 1])
            if left[place] <= min(ROUNDING, DIP * beside) and beside >= 2 / 12:
                dips.append((left[place], sizes[place] / height, kernel))
                break
    return min(dips)[1:] if dips else None


def _residual(columns: np.ndarray, size: int, kernel: str) -> float:
    """Return the mean square of (n, W) columns outside the space of an enlargement from `size`."""
    from scipy.linalg import solveh_banded

    matrix, band = _enlarging(len(columns), size, kernel)
    rest = columns - matrix @ solveh_banded(band, matrix.T @ columns)
    return float((rest**2).sum() / ((len(columns) - size) * columns.shape[1]))


@lru_cache(maxsize=1024)
def _enlarging(height: int, size: int, kernel: str) -> tuple[Any, np.ndarray]:
    """Return the matrix (n, m) of Pillow's filter, sparse, and UᵀU as the bands of LAPACK."""
    import numpy as np
    from scipy import sparse

    reach, weigh = _FILTERS[kernel]
    centre = (np.arange(height)[:, None] + 0.5) * size / height
    columns = np.floor(centre - reach).astype(int) + np.arange(2 * reach + 2)
    inside = (columns >= 0) & (columns < size)
    weights = np.where(inside, weigh(np.abs(columns + 0.5 - centre)), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.broadcast_to(np.arange(height)[:, None], columns.shape)[inside]
    matrix = sparse.csr_matrix((weights[inside], (rows, columns[inside])), (height, size))
    matrix.eliminate_zeros()
    gram = (matrix.T @ matrix).todia()
    width = int(gram.offsets.max())
    band = np.zeros((width + 1, size))
    for offset in range(width + 1):
        band[width - offset, offset:] = gram.diagonal(offset)
    return matrix, band


def _bicubic(x: np.ndarray) -> np.ndarray:
    """Keys' filter with a = −½, of distances in pixels."""
    import numpy as np

    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _bilinear(x: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.maximum(1 - x, 0)


def _lanczos(x: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.where(x < 3, np.sinc(x) * np.sinc(x / 3), 0)


_FILTERS = {"bicubic": (2, _bicubic), "bilinear": (1, _bilinear), "lanczos": (3, _lanczos)}
