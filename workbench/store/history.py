"""What a store tells of what was made: seconds, bytes, captions, answers of hosted models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workbench.store import rows as checks
from workbench.store.index import Index

SAMPLE = 1_000
"""Pictures whose seconds tell what the next will take."""
ANSWER = "answer"
"""The part of a meta that holds what a hosted model told of a picture."""


class History(ABC):
    """The part of a `Store` that looks back; it writes nothing."""

    _index: Index

    @abstractmethod
    def _file(self, digest: str) -> Path:
        """Return where the picture of a digest lies."""

    def drawn(self, plugin: str) -> tuple[list[float], list[int]]:
        """Return the seconds of up to `SAMPLE` pictures of a generator, and some files' bytes.

        `plugin` is its repr, so that pictures of other weights or devices may be among them.
        """
        where = (
            f"meta IN ({self._metas('generator', plugin)}) AND picture IS NOT NULL LIMIT {SAMPLE}"
        )
        rows = self._index.read(f"SELECT seconds, picture FROM generations WHERE {where}")  # noqa: S608
        files = [self._file(name) for _, name in rows[:100] if checks.is_key(name)]
        sizes = [file.stat().st_size for file in files if file.is_file()]
        return [float(seconds) for seconds, _ in rows], sizes

    def captions(self, plugin: str) -> tuple[int, int]:
        """Return how many captions of an inverter the store holds, by its repr: distinct, all."""
        sql = "SELECT count(DISTINCT text), count(text) FROM prompts"
        ((distinct, whole),) = self._index.read(
            f"{sql} WHERE meta IN ({self._metas('inverter', plugin)})"
        )
        return distinct, whole

    def _metas(self, role: str, plugin: str) -> str:
        """Return the numbers of the last metas that name a plug-in in a role, for SQL."""
        metas = [
            (number, checks.meta_of(text) or {})
            for number, text in self._index.read("SELECT id, json FROM meta")
        ]
        named = [n for n, it in metas if (it.get("role"), it.get("repr")) == (role, plugin)]
        return ",".join(str(int(number)) for number in named[-SAMPLE:])

    def answers(self, pictures: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return what hosted models told of pictures, by digest; what told nothing is left out."""
        by_digest: dict[str, dict[str, Any]] = {}
        sql = "SELECT meta.json FROM generations JOIN meta ON meta.id = meta WHERE picture = ?"
        for digest in pictures:
            for (text,) in self._index.read(sql, (digest,)):
                answer = (checks.meta_of(text) or {}).get(ANSWER)
                if isinstance(answer, dict):
                    by_digest[digest] = answer
        return by_digest
