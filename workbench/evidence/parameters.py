"""Generation parameters in a file, held to the size of its picture."""

from __future__ import annotations

from functools import partial

from workbench.evidence import frontends
from workbench.evidence.base import Evidence, library_missing, opened, quoted
from workbench.evidence.frontends import Parameters


def read_parameters(data: bytes, size: tuple[int, int]) -> Evidence:
    """Read the generation parameters that a front end wrote, and hold their size to the picture."""
    try:
        import sd_parsers  # noqa: F401
    except ImportError as error:
        return library_missing("parameters", "sd-parsers", error)
    try:
        with opened(data) as picture:
            texts, sizes = frontends.texts(picture), {size, picture.size}  # turned by EXIF, and not
        found = frontends.read(texts)
    except Exception as error:  # the text is anybody's, and so is what a parser makes of it
        reason = f"{type(error).__name__}: {error}"[:100]
        text = f"Text that its parser stumbles over ({reason})."
        return Evidence("parameters", "unchecked", text)
    if found is None:
        named = ", ".join(map(quoted, sorted(texts)[:10]))
        other = f" Other texts: {named}." if texts else ""
        return Evidence("parameters", "absent", f"No parameters of a known front end.{other}")
    models = ", ".join(found.models)
    named = f"model {quoted(models)}" if models else "model not named"
    text = f"Parameters as {found.front} writes them, {named}"
    text += ", the prompt lost in its nodes" if found.lost else ""
    state, why = "claimed", "; anybody can write them"
    if found.size is not None and not any(map(partial(_made_at, found), sizes)):
        told, seen = ("×".join(map(str, each)) for each in (found.size, size))
        state, why = "contradicted", f", but they tell {told} pixels, the picture has {seen}"
    return Evidence(
        "parameters", state, f"{text}{why}.", models or found.front, found.prompt or None
    )


def _made_at(found: Parameters, seen: tuple[int, int]) -> bool:
    """Tell whether a picture may have come out at the size that is told.

    Models make whole blocks of 8 pixels, and leave out what is more; Automatic1111 writes the size
    of one picture into a grid of several.
    """
    for told, there in zip(found.size or seen, seen, strict=True):
        tiles = there // told if found.front == "AUTOMATIC1111" and told else 1
        if there not in (told, told // 8 * 8) and there != max(tiles, 1) * told:
            return False
    return True
