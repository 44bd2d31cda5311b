"""Words of victory, and what has to stand beside them: a test of the difference they claim."""

from __future__ import annotations

import re

VICTORY = re.compile(
    r"\b(best|beats?|worst|wins|winner of|favou?rs?|survives?|outperforms?|superior|hardest|"
    r"no difference|serves better|state of the art)\b",
    re.IGNORECASE,
)
TEST = re.compile(r"\bp\s*[=<≤]\s*\S*\d|points \([+−-]?[\d.]+ to [+−-]?[\d.]+")
"""A p value, or the interval of a difference."""
ORDER = re.compile(
    r"best (drawing|one seen|score|restart|match)|(behind|reports|to) the best\b|second best|"
    r"(worst|best|middle) third",
    re.IGNORECASE,
)
"""Where such a word orders the values of one picture, or names a part: nothing is claimed."""


def unproven(text: str) -> list[str]:
    """Return the sentences that claim a victory and bring no test; a question claims nothing.

    >>> unproven("A is best. B beats A by +3.0 points (+1.0 to +5.0, p = 0.01). Which is best?")
    ['A is best.']
    """
    sentences = re.split(r"(?<=[.!?])\s+(?=\S)|\n\s*\n|\n(?=\s*[-*|#])|\s\|\s", text)
    claims = (sentence.strip() for sentence in sentences)
    return [
        claim
        for claim in claims
        if VICTORY.search(ORDER.sub("", claim))
        and not TEST.search(claim)
        and not claim.rstrip("*_ ").endswith("?")
    ]
