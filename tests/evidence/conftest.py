"""One table of files for every test of evidence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evidence.making import write_files


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> Path:
    """Write a table of files that carry each kind of evidence, forged and stripped ones too."""
    return write_files(tmp_path_factory.mktemp("evidence"))
