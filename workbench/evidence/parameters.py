"""Generation parameters in a file, held to the size of its picture."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from functools import partial

from workbench import images
from workbench.evidence import frontends, origin, texts
from workbench.evidence.base import Evidence, library_missing, opened, quoted
from workbench.evidence.settings import Parameters
from workbench.text import brief, first_line

PAPERWORK = re.compile(
    r"(?i)software|author|artist|copyright|creat(ion|e).*|date.*|modif.*|title|(thumb|exif|icc|tiff|"
    r"photoshop|dc|xmp|xmpmm|png|jpeg|signature)[:.].*|raw profile.*|.*resolution|disclaimer|"
    r"warning|generator|source|url|credit|file|timestamp|xptitle|loop|duration"
)
"""Names of texts that tell of the file, not of what is seen: they are not quoted."""


def read_parameters(data: bytes, size: tuple[int, int]) -> Evidence:
    """Read the generation parameters that a front end wrote, and hold their size to the picture.

    Text that no parser knows is quoted, as a claim.
    """
    try:
        import sd_parsers  # noqa: F401
    except ImportError as error:
        return library_missing("parameters", "sd-parsers", error)
    try:
        with opened(data) as picture:
            found_texts = texts.gather(picture)
            sizes = {size, picture.size}  # turned by EXIF, and not
            omitted = picture.info.get(images.TEXTS_LEFT_OUT, ())
        parameters = frontends.read(found_texts)
    except Exception as error:  # the text is anybody's, and so is what a parser makes of it
        reason = f"{type(error).__name__}: {brief(first_line(error), 80)}"
        text = f"Text that its parser stumbles over ({reason})."
        return Evidence("parameters", "unchecked", text)
    left = f" Not read: {brief(', '.join(omitted), 300)}." if omitted else ""
    if parameters is None:
        other = _other(found_texts)
        state = "unchecked" if omitted and other.state == "absent" else other.state
        return dataclasses.replace(other, state=state, text=other.text + left)
    models = ", ".join(parameters.models)
    named = f"model {quoted(models)}" if models else "model not named"
    text = f"Parameters as {parameters.front} writes them, {named}"
    if parameters.front == "plain JSON":
        text = f"Parameters as {parameters.front}, {named}"
    text += ", the prompt lost in its nodes" if parameters.lost else ""
    state, why = "claimed", "; anybody can write them"
    if parameters.size is not None and not any(map(partial(_made_at, parameters), sizes)):
        stated, seen = ("×".join(map(str, each)) for each in (parameters.size, size))
        state, why = "contradicted", f", but they tell {stated} pixels, the picture has {seen}"
    source = models or parameters.front
    return Evidence(
        "parameters",
        state,
        f"{text}{why}.{left}",
        source,
        parameters.prompt or None,
        parameters.told(),
    )


def _other(texts: Mapping[str, str]) -> Evidence:
    """Quote what no parser knows; texts about the file alone count as none."""
    other = {
        name: text
        for name, text in sorted(texts.items())
        if text.strip() and not PAPERWORK.fullmatch(name) and not origin.MADE.match(text)
    }
    if not other:
        return Evidence("parameters", "absent", "No parameters of a known front end.")
    named = ", ".join(map(quoted, list(other)[:10]))
    words = "; ".join(f"{quoted(name)} says {quoted(other[name])}" for name in list(other)[:3])
    text = (
        f"No parameters of a known front end. Other texts: {named}. Other text, which anybody can "
        f"write: {words}."
    )
    return Evidence("parameters", "claimed", text)


def _made_at(parameters: Parameters, seen: tuple[int, int]) -> bool:
    """Return whether a picture may have come out at the size that is told.

    Models make whole blocks of 8 pixels, and leave out what is more; Automatic1111 writes the size
    of one picture into a grid of several.
    """
    for stated, there in zip(parameters.size or seen, seen, strict=True):
        tiles = there // stated if parameters.front == "AUTOMATIC1111" and stated else 1
        if there not in (stated, stated // 8 * 8) and there != max(tiles, 1) * stated:
            return False
    return True
