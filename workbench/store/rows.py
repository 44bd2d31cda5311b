"""Check the rows of an index: a store may come from anybody, so no cell is trusted.

Each `*_fault` takes the cells of one row and returns what is wrong with it, or None.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from workbench.text import brief

KEY = re.compile(r"[0-9a-f]{64}")
LONGEST = 1_000_000
"""Characters that a text of the index may have."""
UNIT = 1e-3
"""By how much the length of a unit vector may differ from 1."""
CARE = "see `workbench store verify`, mend with `workbench store gc`"


def is_key(value: object) -> bool:
    """Return whether a value is a sha256 in hexadecimal digits, which alone may become a path."""
    return isinstance(value, str) and KEY.fullmatch(value) is not None


def prompt_fault(text: Any, score: Any, truncated: Any, seconds: Any, failure: Any) -> str | None:
    """Return what is wrong with the cells of a prompt; "" where nothing is."""
    if (text is None) == (failure is None):
        return "a prompt with both a text and a failure, or neither"
    return (
        _text_fault(text if failure is None else failure)
        or (None if score is None or _finite(score) else f"the score {brief(repr(score), 60)}")
        or (None if truncated in (0, 1) else f"the mark {brief(repr(truncated), 60)}")
        or _seconds_fault(seconds)
    )


def generation_fault(picture: Any, failure: Any, seconds: Any, paid: Any) -> str | None:
    """Return what is wrong with the cells of a generation; "" where nothing is."""
    if (picture is None) == (failure is None):
        return "a generation with both a picture and a failure, or neither"
    if picture is not None and not is_key(picture):
        return f"the picture {brief(repr(picture), 80)}, which is no digest"
    if failure is not None and (fault := _text_fault(failure)):
        return fault
    return (None if paid in (0, 1) else f"the mark {brief(repr(paid), 60)}") or (
        _seconds_fault(seconds)
    )


def vector_fault(blob: Any, seconds: Any = 0.0, unit: bool = False) -> str | None:
    """Return what is wrong with a vector: float32, finite, of length 1 where `unit`."""
    if not isinstance(blob, bytes):
        return f"a vector that is no bytes but {brief(repr(blob), 60)}"
    if not blob or len(blob) % 4:
        return f"a vector of {len(blob)} bytes, which is no whole row of float32"
    vector = np.frombuffer(blob, "<f4")
    if not np.isfinite(vector).all():
        return "a vector with values that are not finite"
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if unit and length and abs(length - 1) > UNIT:  # of nothing, normalising makes 0
        return f"a vector of length {length:.4g} where an encoder answers length 1"
    return _seconds_fault(seconds)


def sound_vectors(blobs: list[Any], unit: bool = False) -> np.ndarray | None:
    """Return vectors of one length as rows, (N, D) float32; None where any has a `vector_fault`.

    The same checks, of all at once.
    """
    sizes = {len(blob) if isinstance(blob, bytes) else 0 for blob in blobs}
    size = next(iter(sizes), 0)
    if len(sizes) != 1 or not size or size % 4:
        return None
    matrix = np.frombuffer(b"".join(blobs), "<f4").reshape(len(blobs), -1).astype(np.float32)
    if not np.isfinite(matrix).all():
        return None
    if unit:
        lengths = np.sqrt(np.einsum("nd,nd->n", matrix, matrix, dtype=np.float64))
        if ((lengths != 0) & (np.abs(lengths - 1) > UNIT)).any():
            return None
    return matrix


def meta_of(text: Any) -> dict[str, Any] | None:
    """Return the meta of a row; None where it is no JSON object."""
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def of_encoder(meta: dict[str, Any]) -> bool:
    """Return whether the meta of a row names an encoder, whose vectors have length 1."""
    return meta.get("role") in ("encoder", "text") and "repr" in meta


def odd_lengths(lengths: Iterable[tuple[Any, Any, int]]) -> dict[Any, tuple[int, int]]:
    """Return the vectors whose length differs from that of most others of the same meta.

    `lengths` holds (key, meta, dimensions); the answer is key → (its own, that of the others).
    """
    groups: dict[Any, list[tuple[Any, int]]] = {}
    for key, meta, size in lengths:
        groups.setdefault(meta, []).append((key, size))
    odd: dict[Any, tuple[int, int]] = {}
    for rows in groups.values():
        ((usual, count),) = Counter(size for _, size in rows).most_common(1)
        if count * 2 > len(rows):
            odd |= {key: (size, usual) for key, size in rows if size != usual}
    return odd


def _text_fault(text: Any) -> str | None:
    if not isinstance(text, str):
        return f"where a text belongs, {brief(repr(text), 60)}"
    if len(text) > LONGEST:
        return f"a text of {len(text):,} characters, more than {LONGEST:,}"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "a text that is not UTF-8"
    return None


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _seconds_fault(seconds: Any) -> str | None:
    return None if _finite(seconds) else f"the time {brief(repr(seconds), 60)}"
