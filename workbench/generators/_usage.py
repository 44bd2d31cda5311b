"""What the answer of an images endpoint tells of a picture beside it, and what that costs."""

from __future__ import annotations

import math
from typing import Any

from workbench.text import brief

LONGEST = 4_000
"""Characters of a revised prompt that are kept."""


def told(answer: Any, secret: str = "") -> dict[str, Any]:
    """Return what an answer tells: quality, size, revised_prompt, tokens; only what is there.

    Nothing of it is trusted: what is no text, or no count, is left out, and so is a secret in it.
    """
    data = getattr(answer, "data", None)
    first = data[0] if isinstance(data, (list, tuple)) and data else None
    words = {name: getattr(answer, name, None) for name in ("quality", "size")}
    words["revised_prompt"] = getattr(first, "revised_prompt", None)
    fields: dict[str, Any] = {
        name: brief(word.replace(secret or "\0", "…"), LONGEST)
        for name, word in words.items()
        if isinstance(word, str) and word
    }
    usage = getattr(answer, "usage", None)
    for name in ("input_tokens", "output_tokens"):
        count = getattr(usage, name, None)
        if isinstance(count, int) and not isinstance(count, bool) and count >= 0:
            fields[name] = count
    return fields


def dollars(answer: Any, input_price: float | None, output_price: float | None) -> float | None:
    """Return what a picture cost, in US dollars, as its answer tells; None where it does not.

    That is the cost in its usage, as some endpoints write it, or its tokens times the prices of a
    million of them; both prices must be known where both kinds were counted.
    """
    cost = getattr(getattr(answer, "usage", None), "cost", None)
    if isinstance(cost, (int, float)) and not isinstance(cost, bool):
        return float(cost) if math.isfinite(cost) and cost >= 0 else None
    counts = told(answer)
    if "output_tokens" not in counts or output_price is None:
        return None
    read = counts.get("input_tokens", 0)
    if read and input_price is None:
        return None
    return float(counts["output_tokens"] * output_price + read * (input_price or 0)) / 1_000_000
