"""Inspect pictures given as paths, folders, PIL pictures, arrays, bytes or files."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from workbench import images, quiet
from workbench.evidence.inspection import frame

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


@quiet.warnings_logged()
def inspect(pictures: Any, progress: Callable[[str, int, int], None] | None = None) -> pd.DataFrame:
    """Return the evidence of origin in each picture.

    Args:
        pictures: a path of a picture or a folder, a PIL picture, an (H, W, 3) uint8 array, bytes,
            a file object, or a list of these. What is no path is named "picture 1", "picture 2",
            … by its place; of a PIL picture there is what it still carries.
        progress: called with ("inspect", done, total).

    Returns:
        what `evidence.frame` returns: path, kind, state, source, prompt, text. What lies in a
        folder and is no picture is counted in a logged warning.

    Raises:
        TypeError: something given is no picture, and no path of one.
        ValueError: nothing but folders without pictures is given.
    """
    wanted = images.given(pictures)
    files = images.find(wanted)
    table = frame(files, progress)
    if omitted := images.left_out(wanted):
        log.warning("%s", omitted)
    return table
