"""A hub on this computer, for every test here."""

from __future__ import annotations

from tests.support.repositories import folders, there  # noqa: F401
