"""The oracle and the control."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from tests.contracts.plugins import pictures
from workbench.generators import Failure
from workbench.inverters import Prompt
from workbench.inverters.empty import Empty
from workbench.inverters.natural import Natural


def test_empty_answers_no_prompt():
    assert Empty()(pictures(2)) == [Prompt(""), Prompt("")]


def test_natural_answers_its_text_or_the_known_prompts():
    assert Natural(text="a fish")(pictures(2)) == [Prompt("a fish"), Prompt("a fish")]
    rows = pd.DataFrame({"prompt": ["a", ""]})
    assert Natural().of_rows(rows) == [Prompt("a"), Prompt("")]
    assert Natural(text="a fish").of_rows(rows) == [Prompt("a fish"), Prompt("a fish")]


def test_natural_needs_a_prompt():
    sentence = "natural sees pictures only; give it Natural(text=...), or images with prompts"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Natural()(pictures(1))
    missing = Failure("the known prompt of this picture is missing")
    assert Natural().of_rows(pd.DataFrame({"prompt": ["a", None]})) == [Prompt("a"), missing]
