"""Sentences matched whole."""

from __future__ import annotations

import re


def exactly(sentence: str) -> str:
    return f"^{re.escape(sentence)}$"
