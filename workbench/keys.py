"""Digests that name things in the store, and the seeds derived from them.

What is written here cannot be changed after the first stored picture: it enters every key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii
from numbers import Integral
from typing import Any

from workbench.text import brief

_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
MAX_GAMMA = 10_000
"""Candidate images a model may be asked for of one prompt."""
MAX_PROMPT = 10_000
"""Characters that a prompt may have."""
SEEDS = 2**63
"""A run's seed lies between minus this and this, as the tables hold it."""


def digest(value: Any) -> str:
    """Return the sha256, 64 hex digits, of a value's canonical JSON; every key is made by this.

    Canonical: keys sorted, no white space, non-ASCII escaped. Note that 1 and 1.0 differ.

    Raises ValueError for what JSON cannot say exactly: NaN, infinity, arrays, keys not text.

    >>> digest({"b": [1, 2], "a": "é"}) == digest({"a": "é", "b": (1, 2)})
    True
    """
    return hashlib.sha256(canonical(value).encode("ascii")).hexdigest()


def canonical(value: Any) -> str:
    """Return a value as canonical JSON; ValueError as of `digest`.

    >>> canonical({"b": [1, 2], "a": "x"})
    '{"a":"x","b":[1,2]}'
    """
    if type(value) is str:
        return encode_basestring_ascii(value)
    if type(value) is int:
        return repr(value)
    _text_keys(value)
    try:
        return _JSON.encode(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"a key is made of plain JSON values, but: {error}") from None


def digest_fields(fields: Mapping[str, str]) -> str:
    """Return the `digest` of a mapping whose values are canonical JSON already.

    For many digests that share most of their fields.

    >>> digest_fields({"b": "[1,2]", "a": '"x"'}) == digest({"a": "x", "b": [1, 2]})
    True
    """
    parts = [f"{encode_basestring_ascii(name)}:{fields[name]}" for name in sorted(fields)]
    return hashlib.sha256(f"{{{','.join(parts)}}}".encode("ascii")).hexdigest()


def _text_keys(value: Any) -> None:
    """Raise ValueError for mapping keys that JSON turns into text (1 and "1" would be equal)."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(f"a key is made of plain JSON values, but {key!r} names a field")
            _text_keys(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _text_keys(item)


def prompt_id(text: str) -> str:
    """Return the sha256, 64 hex digits, of a prompt's UTF-8 bytes.

    >>> prompt_id("")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def candidate_seed(run_seed: int, prompt: str, index: int) -> int:
    """Return the seed, 48 bits, of the candidate image number `index` (from 0) of a prompt.

    Neither γ, picture, batch nor generator enters: γ = 8 extends γ = 4, and the same caption
    reuses its candidates.

    >>> 0 <= candidate_seed(0, "a red heart", 3) < 2**48
    True
    """
    return _seed("candidate", run_seed, prompt, index)


def query_seed(run_seed: int, prompt: str, index: int = 0, model: str = "") -> int:
    """Return the seed of a query (a test image made here); it never equals a candidate's.

    Seeds leave traces in pictures (Xu et al., WACV 2025), so the two are drawn apart. With the
    name of a `model` each draws its own noise, where else all draw a prompt from the same.
    """
    return _seed("query", run_seed, prompt, index, *filter(None, [model]))


def redrawn_seed(seed: int, number: int) -> int:
    """Return the seed that follows a candidate's, or a query's, own; `number` counts from 1.

    For a picture that the safety checker of a model blacked.
    """
    return int(digest(["redrawn", int(seed), int(number)])[:12], 16)


def _seed(tag: str, run_seed: int, prompt: str, index: int, *more: str) -> int:
    return int(digest([tag, int(run_seed), prompt, int(index), *more])[:12], 16)


def check_gamma(gamma: Any) -> None:
    """Raise ValueError unless γ, the candidate images per model, is a positive integer."""
    if isinstance(gamma, bool) or not isinstance(gamma, Integral):
        raise ValueError(
            f"gamma, the candidate images per model, is a whole number; seen {_brief(gamma)}"
        )
    gamma = int(gamma)
    if gamma < 1:
        raise ValueError(f"gamma, the candidate images per model, is at least 1; seen {gamma}")
    if gamma > MAX_GAMMA:
        raise ValueError(
            f"gamma, the candidate images per model, is at most {MAX_GAMMA}; seen {_brief(gamma)}"
        )


def check_seed(seed: Any) -> None:
    """Raise ValueError unless the value can be the seed of a run."""
    whole = isinstance(seed, Integral) and not isinstance(seed, bool)
    if not whole or not -SEEDS <= int(seed) < SEEDS:
        raise ValueError(
            f"the seed of a run is a whole number from -2**63 to 2**63 - 1; seen {_brief(seed)}"
        )


def check_prompt(prompt: Any) -> None:
    """Raise ValueError unless the value is a prompt of permitted length."""
    if not isinstance(prompt, str):
        raise ValueError(f"a prompt is text; seen {_brief(prompt)}")
    if len(prompt) > MAX_PROMPT:
        raise ValueError(
            f"a prompt has at most {MAX_PROMPT:,} characters; this one has {len(prompt):,}"
        )


def _brief(value: Any) -> str:
    """Return any value as text short enough for a sentence."""
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a number of more than 30 digits"
    return brief(repr(value), 80)
