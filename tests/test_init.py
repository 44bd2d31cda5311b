"""The façade: every name leads somewhere, and nothing heavy loads on import."""

from __future__ import annotations

import subprocess
import sys

import pytest

import workbench as wb

HEAVY = ("torch", "pandas", "numpy", "diffusers", "transformers", "matplotlib")


@pytest.mark.parametrize("name", wb.__all__)
def test_every_name_leads_somewhere(name):
    assert getattr(wb, name) is not None
    assert name in dir(wb)


def test_another_name_is_told():
    with pytest.raises(AttributeError, match="module 'workbench' has no attribute 'atribute'"):
        _ = wb.atribute


def test_the_import_is_light():
    code = f"import sys, workbench; print([name for name in {HEAVY!r} if name in sys.modules])"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert child.stdout == "[]\n"
