"""Open pictures safely, name them by their pixels, and bring them to one size.

Every picture goes one way: decode → RGB → `fit` → lossless, so that no measure can see the file
format (method.md, trap 1). What is written here cannot be changed after the first stored picture.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import stat
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from workbench import frames

if TYPE_CHECKING:
    import pandas as pd

EXTENSIONS = frozenset(
    ".png .apng .jpg .jpeg .jpe .jfif .gif .webp .bmp .tif .tiff .avif .jp2 .ppm .pgm".split()
)
FORMATS = ("PNG", "JPEG", "MPO", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO")
MAX_PIXELS = 80_000_000  # just below where Pillow itself starts to warn


class ImageError(ValueError):
    """A picture that cannot be opened; the message is one sentence for the user, without path."""


@dataclass(frozen=True)
class Entry:
    """What one path turned out to be: its image_id, and why it could not be opened (or None)."""

    path: Path
    image_id: str
    failure: str | None


def open_image(path: str | Path) -> Image.Image:
    """Open a picture as RGB: its first frame, turned by EXIF, alpha laid over white.

    16-bit channels keep their upper byte, CMYK is converted, colour profiles are ignored.

    Raises ImageError for whatever cannot be opened: missing, a folder, no permission, empty, not
    a picture, cut short, or more than `MAX_PIXELS`.
    """
    try:
        return decode(read_bytes(path))
    except MemoryError:
        raise ImageError("there is not enough memory to open it") from None


def decode(data: bytes, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """Decode the bytes of a picture file, by the rules of `open_image`, if of one of `formats`.

    Raises ImageError; MemoryError is let through, for it says nothing about the picture.
    """
    Image.preinit()
    if not Image.OPEN.keys() >= set(formats):
        Image.init()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            known = [name for name in formats if name in Image.OPEN]
            with Image.open(io.BytesIO(data), formats=known) as image:
                _check_size(image.size)
                image.load()
                return _rgb(_turned(image))
        except (ImageError, MemoryError):
            raise
        except UnidentifiedImageError:
            kinds = ", ".join(formats)
            raise ImageError(f"it is not a picture of a known kind ({kinds})") from None
        except Image.DecompressionBombError:
            raise ImageError(
                f"it has far more than the {MAX_PIXELS:,} pixels that are opened"
            ) from None
        except Exception as error:  # a decoder fed with damaged bytes may raise anything
            reason = str(error).split("\n")[0] or type(error).__name__
            raise ImageError(f"the picture is damaged or cut short ({reason})") from None


def read_bytes(path: str | Path) -> bytes:
    """Read a regular file, or say in one sentence why not."""
    path = Path(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            if not os.access(path, os.R_OK | os.X_OK):
                raise ImageError("there is no permission to read this folder")
            raise ImageError("it is a folder that holds no picture")
        if not stat.S_ISREG(mode):
            raise ImageError("it is not a regular file")
        data = path.read_bytes()
    except FileNotFoundError:
        if path.is_symlink():
            raise ImageError("it is a link to a file that does not exist") from None
        if str(path).startswith(("http:/", "https:/")):
            raise ImageError("nothing is fetched: save the picture, and give its path") from None
        raise ImageError("there is no such file") from None
    except PermissionError:
        raise ImageError("there is no permission to read it") from None
    except OSError as error:
        raise ImageError(f"it could not be read ({error.strerror or error})") from None
    except ImageError:
        raise
    except ValueError as error:  # a path with a null character
        raise ImageError(f"it cannot be a path ({error})") from None
    if not data:
        raise ImageError("the file is empty")
    return data


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(f"it has no pixels ({width}×{height})")
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"it has {width}×{height} pixels, more than the {MAX_PIXELS:,} that are opened"
        )


def _turned(image: Image.Image) -> Image.Image:
    """Turn by the EXIF orientation; unreadable EXIF counts as none."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


def _rgb(image: Image.Image) -> Image.Image:
    """Convert any decoded picture to RGB (rules: see `open_image`)."""
    if image.mode.startswith("I"):  # "I;16", "I;16B", "I": 16-bit grey
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 0xFFFF:
            raise ImageError("its pixels have more than 16 bits; save it with 8 or 16 bits")
        clear = image.info.get("transparency")
        image = Image.fromarray((grey >> 8).astype(np.uint8))
        if isinstance(clear, int):
            alpha = np.where(grey == clear, 0, 255).astype(np.uint8)
            image = Image.merge("LA", (image, Image.fromarray(alpha)))
    elif image.mode == "F":
        raise ImageError("its pixels are floating-point numbers; save it with 8 or 16 bits")
    if not image.has_transparency_data:
        return image.convert("RGB")
    pixels = np.asarray(image.convert("RGBA")).astype(np.uint16)
    colour, cover = pixels[..., :3], pixels[..., 3:]
    return Image.fromarray(((colour * cover + 255 * (255 - cover) + 127) // 255).astype(np.uint8))


def digest(image: Image.Image) -> str:
    """Hash an RGB picture: sha256, 64 hex digits, of width, height (8 bytes each, big endian)
    and its RGB bytes, row by row.

    >>> digest(Image.new("RGB", (1, 1)))[:8]
    'ddf33e0e'
    """
    _require_rgb(image)
    sha = hashlib.sha256()
    sha.update(image.width.to_bytes(8, "big") + image.height.to_bytes(8, "big"))
    sha.update(image.tobytes())
    return sha.hexdigest()


def _require_rgb(image: Image.Image) -> None:
    if image.mode != "RGB":
        raise ValueError(f"a picture must be RGB here, not {image.mode}; see images.open_image")


def image_id(path: str | Path) -> tuple[str, Image.Image | None, str | None]:
    """Open a picture and name it: (image_id, RGB picture, None), or (id, None, failure).

    The id is the `digest` of the pixels; of a file that cannot be decoded "file:" and the sha256
    of its bytes; of what cannot be read "path:" and the sha256 of the path as given.
    """
    try:
        image = open_image(path)
        return digest(image), image, None
    except ImageError as error:
        failure = str(error)
    try:
        if not Path(path).is_file():
            raise FileNotFoundError
        with Path(path).open("rb") as file:
            return "file:" + hashlib.file_digest(file, "sha256").hexdigest(), None, failure
    except (OSError, ValueError):
        name = os.fspath(path).encode("utf-8", "surrogateescape")
        return "path:" + hashlib.sha256(name).hexdigest(), None, failure


def find(paths: Iterable[str | Path]) -> list[Path]:
    """List the pictures meant by `paths`: files as given, folders by `EXTENSIONS`, recursively.

    Files inside a folder are sorted. Explicit files are always kept, even missing ones: they fail
    later, each with its sentence; so does an empty folder beside other paths.

    Raises ValueError if nothing but folders without pictures is given.
    """
    found: list[Path] = []
    bare: list[Path] = []
    for path in map(Path, paths):
        inside = _inside(path) if os.path.isdir(path) else [path]  # noqa: PTH112 - never raises
        if not inside:
            bare.append(path)
        found.extend(inside or [path])
    if len(found) == len(bare):
        where = ", ".join(repr(str(path)) for path in bare) or "an empty list of paths"
        raise ValueError(
            f"no picture in {where}; a picture's name ends with one of: "
            f"{', '.join(sorted(EXTENSIONS))}"
        )
    return found


def _inside(folder: Path) -> list[Path]:
    """List the pictures below a folder; what may not be looked into is listed itself."""
    found: list[Path] = []

    def closed(error: OSError) -> None:
        found.append(Path(error.filename))

    for here, _, names in os.walk(folder, onerror=closed):
        inside = [Path(here, name) for name in names]
        found += [path for path in inside if path.suffix.lower() in EXTENSIONS]
    return sorted(found)


def index(
    paths: Iterable[str | Path], keep: Callable[[Image.Image], object] | None = None
) -> list[Entry]:
    """Open every picture of `find(paths)` once and tell what each is, in that order.

    `keep` is called with each picture that could be opened (`store.put_picture`, say); only one
    is in memory at a time.
    """
    entries = []
    for path in find(paths):
        name, image, failure = image_id(path)
        if image is not None and keep is not None:
            keep(image)
        entries.append(Entry(path, name, failure))
    return entries


def written(path: str | Path) -> str:
    """Write a path as text to read; bytes that are not UTF-8 as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def frame(entries: Iterable[Entry]) -> pd.DataFrame:
    """Make the images frame of an `index`: one row for each image_id, the first path wins.

    `attack` is "none" and `intensity` 0. Bytes of a path that are not UTF-8 are written as
    escapes, so `path` is for reading; the pictures themselves are handed over by `index(keep=…)`.
    """
    first: dict[str, Entry] = {}
    for entry in entries:
        first.setdefault(entry.image_id, entry)
    return frames.build(
        "images",
        [
            {
                "image_id": entry.image_id,
                "path": written(entry.path),
                "attack": "none",
                "intensity": 0.0,
                "failure": entry.failure,
            }
            for entry in first.values()
        ],
    )


def fit(image: Image.Image, size: int) -> Image.Image:
    """Bring an RGB picture to size × size: the one resize path of the project.

    The largest centred square is cut out, then resized, bicubic (a = -0.5) and antialiased. A
    picture that already has the size is returned untouched.

    >>> fit(Image.new("RGB", (300, 200), "red"), 64).size
    (64, 64)
    """
    _require_rgb(image)
    if size < 1:
        raise ValueError(f"a size is at least 1 pixel, not {size}")
    if image.size == (size, size):
        return image
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return square.resize((size, size), Image.Resampling.BICUBIC)


def array(image: Image.Image) -> np.ndarray:
    """Return the pixels of an RGB picture, (H, W, 3) float32 in [0, 1]."""
    _require_rgb(image)
    return np.asarray(image, dtype=np.float32) / np.float32(255)


def png_bytes(image: Image.Image) -> bytes:
    """Encode an RGB picture as PNG, losslessly and without metadata."""
    _require_rgb(image)
    buffer = io.BytesIO()
    Image.frombytes("RGB", image.size, image.tobytes()).save(buffer, "PNG")
    return buffer.getvalue()


def data_uri(image: Image.Image, max_side: int | None = None) -> str:
    """Encode a picture as a PNG data URI for HTML, made smaller if a side exceeds `max_side`."""
    if max_side is not None and max(image.size) > max_side:
        image = image.copy()
        image.thumbnail((max_side, max_side), Image.Resampling.BICUBIC)
    return "data:image/png;base64," + base64.b64encode(png_bytes(image)).decode("ascii")
