"""Open pictures safely, name them by their pixels, and bring them to one size.

Every picture goes one way: decode → RGB → `fit` → lossless, so that no measure can see the file
format (method.md, trap 1). What is written here cannot be changed after the first stored picture.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from workbench import frames, quiet
from workbench.images import _colour, _embedded, _folders, _heif, _pixels, _png, _tiff
from workbench.images._errors import ImageError as ImageError
from workbench.images._folders import EXTENSIONS as EXTENSIONS
from workbench.images._given import Handed as Handed
from workbench.images._given import given as given
from workbench.text import brief

if TYPE_CHECKING:
    import pandas as pd

FORMATS = (
    "PNG", "JPEG", "MPO", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "HEIF", "JPEG2000", "PPM",
    "ICO",
)  # fmt: skip
MAX_PIXELS = 80_000_000  # just below where Pillow itself starts to warn
ORIENTATION = 0x0112
TEXTS_LEFT_OUT = "texts left out"
URL = re.compile(r"(https?|ftps?|s3|gs|hf|file|data):", re.IGNORECASE)


@dataclass(frozen=True)
class Entry:
    """The result of opening one path: its image_id, and why it could not be opened (or None)."""

    path: Path | Handed
    image_id: str
    failure: str | None


def open_image(path: str | Path | Handed) -> Image.Image:
    """Open a picture as RGB in sRGB: its first frame, turned by EXIF, alpha laid over white.

    16-bit channels keep their upper byte. The colours of a profile, or of the gAMA, cHRM and cICP
    chunks of a PNG, are converted with the perceptual intent (`notes` tells of it); CMYK without a
    profile is converted by the plain formula.

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
    with _opened(data, formats) as (image, chunks, clean):
        _pixels.prepare(image, clean)
        with quiet.stderr_logged(image.format == "TIFF"):
            image.load()
        return _rgb(image, _colour.colours(image, chunks), clean)


def notes(path: str | Path | Handed) -> tuple[str, ...]:
    """Return sentences on what `open_image` does to the colours of a picture; mostly none.

    Only the head of the picture is looked at. Raises ImageError for whatever is no picture.
    """
    data = read_bytes(path)
    with _opened(data, FORMATS) as (image, chunks, _):
        colours = _colour.colours(image, chunks)
        sentences = (colours.note, _pixels.note(image, data, colours.transform is None))
    return tuple(note for note in sentences if note is not None)


def head(data: bytes) -> Image.Image:
    """Open a picture that `decode` can read as Pillow does, for its format, texts and EXIF.

    Its pixels are not looked at, and those of a kind that Pillow does not know are not its own.
    ``info`` holds which texts were left out, and why (`TEXTS_LEFT_OUT`).
    """
    with quiet.warnings_logged():
        if _heif.is_heic(data):
            opened: Image.Image = _heif.pixels(_heif.opened(data))
            opened.format = "HEIF"
            return opened
        try:
            omitted: tuple[str, ...] = ()
            if data.startswith(_png.SIGNATURE):
                data, omitted = _png.with_texts(data)
            opened = Image.open(io.BytesIO(data))
            opened.info[TEXTS_LEFT_OUT] = omitted
            return opened
        except UnidentifiedImageError:
            opened = Image.new("RGB", (1, 1))
            opened.format = "TIFF" if data.startswith(_tiff.MAGIC) else None
            return opened


@contextlib.contextmanager
def _opened(
    data: bytes, formats: tuple[str, ...]
) -> Iterator[tuple[Image.Image, dict[bytes, bytes], bytes]]:
    """Open a picture lazily, its size checked; what goes wrong is an ImageError or MemoryError.

    With it come its chunks of colour, if it is a PNG, and the bytes that Pillow reads.
    """
    Image.preinit()
    if not Image.OPEN.keys() >= set(formats) - {"HEIF"}:
        Image.init()
    with quiet.warnings_logged():
        try:
            if "HEIF" in formats and _heif.is_heic(data):
                heif = _heif.opened(data)
                _check_size(heif.size)
                yield _heif.pixels(heif), {}, data
                return
            if "TIFF" in formats and _tiff.is_strange(data):
                with _tiff.opened(data) as page:
                    _check_size((page.imagewidth, page.imagelength))
                    yield _tiff.pixels(page), {}, data
                return
            known = [name for name in formats if name in Image.OPEN and name != "HEIF"]
            png = _png.read(data) if data.startswith(_png.SIGNATURE) else _png.Png(data)
            with Image.open(io.BytesIO(png.data), formats=known) as image:
                _check_size(image.size)
                if image.format in ("BMP", "JPEG2000"):
                    image.info.setdefault("icc_profile", _embedded.profile(data))
                yield image, png.colour, png.data
        except (ImageError, MemoryError):
            raise
        except UnidentifiedImageError:
            raise ImageError(_unknown(data, formats)) from None
        except Image.DecompressionBombError:
            raise ImageError(
                f"it has far more than the {MAX_PIXELS:,} pixels that are opened"
            ) from None
        except Exception as error:  # a decoder fed with damaged bytes may raise anything
            reason = brief(str(error).split("\n")[0] or type(error).__name__, 200)
            raise ImageError(f"the picture is damaged or cut short ({reason})") from None


def _unknown(data: bytes, formats: tuple[str, ...]) -> str:
    """Return the kind of a file that no reader knows, as far as its first bytes tell."""
    if _heif.brands(data) & _heif.AVIF and "AVIF" in formats:
        return "it is an AVIF picture that this Pillow cannot read; save it as PNG"
    if data[:2] == b"\xff\x0a" or data[:12] == b"\0\0\0\x0cJXL \r\n\x87\n":
        return "it is a JPEG XL picture, which is not read here; save it as PNG"
    return f"it is not a picture of a known kind ({', '.join(formats)})"


def read_bytes(path: str | Path | Handed) -> bytes:
    """Read a regular file, or what was handed over; say in one sentence why not (ImageError)."""
    if isinstance(path, Handed):
        if not path.data:
            raise ImageError("the file is empty")
        return path.data
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
        if URL.match(str(path)):
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


def _turned(image: Image.Image, file: Image.Image) -> Image.Image:
    """Turn pixels by the EXIF orientation of their file; unreadable EXIF counts as none."""
    try:
        if image is not file:  # pixels brought to 8 bits carry no EXIF
            turn = file.getexif().get(ORIENTATION, 1)
            image.getexif()[ORIENTATION] = turn
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


def _rgb(image: Image.Image, colours: _colour.Colours, data: bytes) -> Image.Image:
    """Convert a loaded picture to RGB, and turn it (rules: see `open_image`)."""
    image = _turned(_pixels.eight_bits(image, data), image)
    if not image.has_transparency_data:
        return colours.convert(image)
    whole = image.convert("RGBA")
    base = image if colours.mode == "L" and image.mode == "LA" else whole
    return _pixels.over_white(colours.convert(base), whole.getchannel("A"))


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


def image_id(path: str | Path | Handed) -> tuple[str, Image.Image | None, str | None]:
    """Open a picture and name it: (image_id, RGB picture, None), or (id, None, failure).

    The id is the `digest` of the pixels; of a file that cannot be decoded "file:" and the sha256
    of its bytes; of what cannot be read "path:" and the sha256 of the path as given.
    """
    try:
        image = open_image(path)
        return digest(image), image, None
    except ImageError as error:
        failure = str(error)
    if isinstance(path, Handed):
        return "file:" + hashlib.sha256(path.data).hexdigest(), None, failure
    try:
        if not Path(path).is_file():
            raise FileNotFoundError
        with Path(path).open("rb") as file:
            return "file:" + hashlib.file_digest(file, "sha256").hexdigest(), None, failure
    except (OSError, ValueError):
        name = os.fspath(path).encode("utf-8", "surrogateescape")
        return "path:" + hashlib.sha256(name).hexdigest(), None, failure


def find(paths: Iterable[str | Path | Handed]) -> list[Any]:
    """Return the pictures meant by `paths`: files as given, folders by their files, recursively.

    A file inside a folder is a picture by its ending (`EXTENSIONS`) or by its first bytes; what
    systems leave behind (``._*``, ``.ipynb_checkpoints``, …) is none; `left_out` tells what is not
    listed. Files inside a folder are sorted. Explicit files are always kept, even missing ones:
    they fail later, each with its sentence; so does an empty folder beside other paths.

    Raises ValueError if nothing but folders without pictures is given.
    """
    pictures: list[Path | Handed] = []
    bare: list[Path] = []
    for path in paths:
        if not _is_folder(path):
            pictures.append(path if isinstance(path, Handed) else Path(path))
            continue
        inside = _folders.look_into([Path(path)]).pictures
        if not inside:
            bare.append(Path(path))
        pictures.extend(inside or [Path(path)])
    if len(pictures) == len(bare):
        where = ", ".join(repr(str(path)) for path in bare) or "an empty list of paths"
        raise ValueError(
            f"no picture in {where}; a picture's name ends with one of: "
            f"{', '.join(sorted(EXTENSIONS))}"
        )
    return pictures


def left_out(paths: Iterable[str | Path | Handed]) -> str | None:
    """Return a sentence on the files in folders that `find` leaves out, by reason; else None.

    >>> left_out([])
    """
    listing = _folders.look_into(Path(path) for path in paths if _is_folder(path))
    return str(listing) or None


def _is_folder(path: str | Path | Handed) -> bool:
    return not isinstance(path, Handed) and os.path.isdir(path)  # noqa: PTH112 - never raises


def index(
    paths: Iterable[str | Path | Handed], keep: Callable[[Image.Image], object] | None = None
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


def written(path: str | Path | Handed) -> str:
    """Write a path as text to read; bytes that are not UTF-8 as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def frame(entries: Iterable[Entry]) -> pd.DataFrame:
    """Return the images frame of an `index`: one row for each image_id, the first path wins.

    `attack` is "none" and `intensity` 0. What was handed over has no path. Bytes of a path that are
    not UTF-8 are written as escapes, so `path` is for reading; the pictures themselves are handed
    over by `index(keep=…)`.
    """
    first: dict[str, Entry] = {}
    for entry in entries:
        first.setdefault(entry.image_id, entry)
    return frames.build(
        "images",
        [
            {
                "image_id": entry.image_id,
                "path": None if isinstance(entry.path, Handed) else written(entry.path),
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


def png_bytes(image: Image.Image, level: int = 6) -> bytes:
    """Encode an RGB picture as PNG, losslessly and without metadata; `level` is that of zlib."""
    _require_rgb(image)
    buffer = io.BytesIO()
    plain = Image.frombytes("RGB", image.size, image.tobytes())
    plain.save(buffer, "PNG", compress_level=level)
    return buffer.getvalue()


def data_uri(image: Image.Image, max_side: int | None = None) -> str:
    """Encode a picture as a PNG data URI for HTML, made smaller if a side exceeds `max_side`."""
    if max_side is not None and max(image.size) > max_side:
        image = image.copy()
        image.thumbnail((max_side, max_side), Image.Resampling.BICUBIC)
    return "data:image/png;base64," + base64.b64encode(png_bytes(image)).decode("ascii")
