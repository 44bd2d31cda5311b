"""The oracle and the control."""

from __future__ import annotations

import re

import pytest

from tests.contracts.plugins import pictures
from workbench.inverters import Prompt
from workbench.inverters.empty import Empty
from workbench.inverters.natural import Natural


def test_empty_answers_no_prompt():
    assert Empty()(pictures(2)) == [Prompt(""), Prompt("")]


def test_natural_answers_its_text_or_the_known_prompts():
    assert Natural(text="a fish")(pictures(2)) == [Prompt("a fish"), Prompt("a fish")]
    assert Natural().known(["a", ""]) == [Prompt("a"), Prompt("")]
    assert Natural(text="a fish").known(["a", None]) == [Prompt("a fish"), Prompt("a fish")]


def test_natural_needs_a_prompt():
    sentence = "natural sees pictures only; give it Natural(text=...), or images with prompts"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Natural()(pictures(1))
    sentence = "natural needs the known prompt of every picture; saw None"
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        Natural().known(["a", None])
