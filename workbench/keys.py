"""Digests and seeds: what names a thing in the store, and what its random numbers derive from.

What is written here cannot be changed after the first stored picture: it enters every key.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any


def digest(value: Any) -> str:
    """Hash a value: sha256, 64 hex digits, of its canonical JSON. All keys are made by this.

    Canonical: keys sorted, no white space, non-ASCII escaped. Note that 1 and 1.0 differ.

    Raises ValueError for what JSON cannot say exactly: NaN, infinity, arrays, keys not text.

    >>> digest({"b": [1, 2], "a": "é"}) == digest({"a": "é", "b": (1, 2)})
    True
    """
    _text_keys(value)
    try:
        text = json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"a key is made of plain JSON values, but: {error}") from None
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _text_keys(value: Any) -> None:
    """Refuse mapping keys that JSON would silently turn into text (1 and "1" would be equal)."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(f"a key is made of plain JSON values, but {key!r} names a field")
            _text_keys(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _text_keys(item)


def prompt_id(text: str) -> str:
    """Hash a prompt: sha256, 64 hex digits, of its UTF-8 bytes.

    >>> prompt_id("")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def candidate_seed(run_seed: int, prompt: str, index: int) -> int:
    """Derive the seed, 48 bits, of the candidate picture number `index` (from 0) of a prompt.

    Neither γ, picture, batch nor generator enters: γ = 8 extends γ = 4, and the same caption
    reuses its candidates.

    >>> 0 <= candidate_seed(0, "a red heart", 3) < 2**48
    True
    """
    return _seed("candidate", run_seed, prompt, index)


def query_seed(run_seed: int, prompt: str, index: int = 0) -> int:
    """Derive the seed of a query (a test picture we make); it never equals a candidate's.

    Seeds leave traces in pictures (Xu et al., WACV 2025), so the two are drawn apart.
    """
    return _seed("query", run_seed, prompt, index)


def _seed(tag: str, run_seed: int, prompt: str, index: int) -> int:
    return int(digest([tag, int(run_seed), prompt, int(index)])[:12], 16)
