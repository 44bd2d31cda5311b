"""Text made safe to show."""

from __future__ import annotations

from workbench.text import shown


def test_nothing_in_text_acts_on_a_terminal():
    assert shown("a\x1b[31m\nb\u202e") == r"a\x1b[31m\nb\u202e"
    assert shown("ünïcode 🖼") == "ünïcode 🖼"
