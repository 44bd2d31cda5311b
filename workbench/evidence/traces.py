"""Traces of past compression and of enlarging in the pixels of a picture.

They confound every comparison: a candidate image was never compressed. Each is an observation, with
the error rates that ``python -m workbench.pocket.traces`` measured and wrote into
data/reference/traces, and no word on who did it, or why.
"""

from __future__ import annotations

import tomllib
from functools import cache
from typing import TYPE_CHECKING, Any

from workbench.evidence.base import Evidence, opened
from workbench.paths import data_folder

if TYPE_CHECKING:
    from PIL.Image import Image

JPEGS = ("JPEG", "MPO")
LOSSY = ("AVIF", "GIF", "HEIF", "JPEG2000", "WEBP")
"""Formats whose own compression may hide, or feign, the steps of another."""
COLOURED = ("RGB", "RGBA", "L", "LA")
"""Modes of a file whose pixels can be looked at as they are stored."""
SIDE = 2048
"""Pixels a side that are looked at, of what is no JPEG: more would take memory for nothing."""
MISSING = "Traces are not looked for: their error rates (data/reference/traces) are not there."


def read_traces(data: bytes, picture: Image, converted: bool = False) -> list[Evidence]:
    """Return traces of what was done to a picture before it was saved; mostly none.

    Args:
        data: bytes of a picture file.
        picture: the same picture as it was decoded, RGB.
        converted: its colours were; the pixels are then looked at as they are stored.
    """
    try:
        measurements = measured()
    except (OSError, ValueError):
        return [Evidence("traces", "unchecked", MISSING)]
    try:
        with opened(data) as file:
            if file.format in JPEGS:
                traces = _in_jpeg(file, measurements)
            else:
                seen = file if converted and file.mode in COLOURED else picture
                traces = _in_pixels(seen, str(file.format), measurements)
    except (OSError, ValueError, SyntaxError, AttributeError, KeyError):
        return []  # no luminance and table of the kind that is looked at
    return [Evidence("traces", "observed", f"{text} {rates(name)}") for name, text in traces]


def _in_jpeg(file: Image, measurements: dict[str, Any]) -> list[tuple[str, str]]:
    from workbench.evidence.quantisation import compressed, compressed_twice
    from workbench.evidence.resampling import resampled

    if file.mode not in ("RGB", "L"):
        return []
    luminance, table = luminance_of(file)
    traces = []
    strength, quality = compressed_twice(luminance, table)
    if strength >= measurements["threshold"]["twice"]:
        text = "The coefficients look as those of a JPEG that was one before, of a quality of about"
        traces.append(("twice", f"{text} {quality}."))
    strength, quality, place = compressed(luminance, elsewhere=True)
    if strength >= measurements["threshold"]["cropped"]:
        text = (
            f"The pixels look as if they had been a JPEG before, of a quality of about {quality}, "
            f"and were cut since: its blocks begin at column {place[1]}, row {place[0]}."
        )
        traces.append(("cropped", text))
    return traces + _period(*resampled(luminance), measurements)


def _in_pixels(picture: Image, form: str, measurements: dict[str, Any]) -> list[tuple[str, str]]:
    from workbench.evidence.quantisation import compressed
    from workbench.evidence.resampling import resampled

    grey = luminance_in(_middle(picture))
    traces = []
    strength, quality, place = (0.0, 0, (0, 0)) if form in LOSSY else compressed(grey)
    if strength >= measurements["threshold"]["compressed"]:
        cut = f"; its blocks begin at column {place[1]}, row {place[0]}: cut since"
        text = (
            f"The pixels look as if compressed as JPEG before, at a quality of about {quality}, "
            f"though the file is {form}{cut if any(place) else ''}."
        )
        traces.append(("compressed", text))
    return traces + _period(*resampled(grey), measurements)


def _period(
    strength: float, frequency: float, measurements: dict[str, Any]
) -> list[tuple[str, str]]:
    """Return the possible causes of the period that rows and columns share."""
    if strength < measurements["threshold"]["resampled"]:
        return []
    text = (
        f"The pixels look as if resized: how well they follow from their neighbours has a period "
        f"of {1 / frequency:.2f} pixels across and down, as enlarging leaves it; a fine pattern of "
        "that period does so too."
    )
    return [("resampled", text)]


def _middle(picture: Image) -> Image:
    """Cut out at most `SIDE` pixels a side, from the middle, at a place of the grid of 8 pixels."""
    left, top = (max(0, side - SIDE) // 16 * 8 for side in picture.size)
    right, bottom = min(left + SIDE, picture.width), min(top + SIDE, picture.height)
    return picture.crop((left, top, right, bottom)) if left or top else picture


def luminance_of(file: Image) -> tuple[Any, list[int]]:
    """Decode the luminance of a JPEG that is not loaded yet, (H, W), and its table, row by row."""
    import numpy as np

    draft: Any = file
    table = list(draft.quantization[0])
    draft.draft("L", file.size)
    return np.asarray(draft.convert("L") if draft.mode != "L" else draft), table


def luminance_in(picture: Image) -> Any:
    """Return the luminance of a picture, (H, W) float32, 0 to 255, unrounded."""
    import numpy as np

    pixels = np.asarray(picture)
    if pixels.ndim == 2 or pixels.shape[2] < 3:
        return pixels.reshape(*pixels.shape[:2], -1)[..., 0].astype(np.float32)
    return pixels[..., :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


@cache
def measured() -> dict[str, Any]:
    """Read the thresholds and the error rates; OSError or ValueError where they are not there."""
    path = data_folder() / "reference" / "traces" / "traces.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def rates(name: str) -> str:
    """Return the error rates of a trace, each with n and its interval, as they were measured."""
    words = []
    for row in measured()["rate"]:
        if row["trace"] == name and row["pictures"] == "all":
            words.append(
                f"of {row['n']:,} pictures {row['case']}, {row['seen']:,} looked so "
                f"({_percent(row['low'])} to {_percent(row['high'])} at 95 %)"
            )
    return f"Measured: {'; '.join(words)}."


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
