"""Inspect a file, or many, for every kind of evidence.

What was checked, what is merely written there, and what is not there are told apart (`STATES`).
All of it is lost when a picture is saved again, so its absence says nothing. Needs the extra
``evidence``: c2pa-python, sd-parsers, invisible-watermark. No network is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import images, quiet
from workbench.evidence.base import Evidence
from workbench.evidence.c2pa import read_manifest
from workbench.evidence.origin import read_origin
from workbench.evidence.parameters import read_parameters
from workbench.evidence.traces import read_traces
from workbench.evidence.watermark import read_watermark

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["path", "kind", "state", "source", "prompt", "text", "settings"]


def inspect(path: str | Path) -> list[Evidence]:
    """Return the evidence of every kind in a picture file.

    Returns:
        one Evidence of C2PA, one of parameters, one of a watermark, in this order; then one of
        the origin that XMP, IPTC and EXIF name, one of each trace of past compression and
        enlarging, and one of each thing that was done to the colours (`images.notes`), where there
        are such.

    Raises:
        images.ImageError: the file is no picture that can be opened.
    """
    data = images.read_bytes(path)
    picture = images.decode(data)
    with quiet.warnings_logged():
        parameters = read_parameters(data, picture.size)
        evidence = [read_manifest(data), parameters, read_watermark(picture)]
        origin = read_origin(data, parameters=parameters.settings is not None)
        evidence += [origin] if origin is not None else []
        notes = images.notes(images.Handed(str(path), data))
        evidence += read_traces(data, picture, converted=bool(notes))
    return evidence + [Evidence("colours", "done", f"Opened here, {note}.") for note in notes]


def parameters(path: str | Path) -> Evidence:
    """Return the generation parameters alone; ImageError where the file cannot be opened."""
    data = images.read_bytes(path)
    with quiet.warnings_logged():
        return read_parameters(data, images.decode(data).size)


def frame(
    paths: Iterable[str | Path], progress: Callable[[str, int, int], None] | None = None
) -> pd.DataFrame:
    """Inspect picture files.

    Args:
        paths: of the files.
        progress: called with ("inspect", done, total).

    Returns:
        frame with path, kind, state, source, prompt, text and settings, three rows a picture
        or more; one row of kind ``file`` and state ``unchecked`` where it cannot be opened.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    files = list(paths)
    for done, path in enumerate(files):
        if progress is not None:
            progress("inspect", done, len(files))
        try:
            evidence = inspect(path)
        except images.ImageError as error:
            evidence = [Evidence("file", "unchecked", f"It cannot be opened: {error}.")]
        except MemoryError:
            evidence = [Evidence("file", "unchecked", "There is not enough memory to open it.")]
        rows += [{"path": images.written(path), **vars(each)} for each in evidence]
    if progress is not None and files:
        progress("inspect", len(files), len(files))
    return pd.DataFrame(rows, columns=COLUMNS)
