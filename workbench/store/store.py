"""The content-addressed store: nothing is ever made twice.

Pictures are lossless PNG files under the digest of their pixels; a SQLite index in WAL mode holds
what each key led to: prompts, generations (key → picture) and feature vectors. Files are written
aside, flushed and renamed, the index last, in one transaction a batch: a killed run loses at most
the batch in the making. Several processes and threads may share a store: the first writer of a
key wins, and everybody reads that row.

Keys are made by `keys.digest` from everything that can change the answer (design.md lists it)
and nothing that cannot. The caller stores failures that would happen again (a prompt too long for
a model), never those that would not (out of memory, disk full).
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import platform
import tempfile
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from workbench import images
from workbench.store.index import KEY, Index, check_keys
from workbench.store.index import StoreError as StoreError

DAY = 86_400.0
PROMPT = ("text", "score", "truncated", "seconds", "failure")
LIBRARIES = ("attribution-workbench", "torch", "diffusers", "transformers", "open_clip_torch")


@dataclass(frozen=True)
class Generation:
    """What one key of a generator led to: a picture (its digest) or a failure (its reason).

    To put one, give `image` instead of `picture`. `paid`: it cost money, `Store.gc` never drops
    it. ValueError unless there is exactly one of picture (or image) and failure.
    """

    picture: str | None = None
    failure: str | None = None
    seconds: float = 0.0
    paid: bool = False
    image: Image.Image | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        made = self.picture is not None or self.image is not None
        if made == (self.failure is not None):
            raise ValueError("a generation is either a picture or a failure, and not both")


@functools.cache
def versions() -> dict[str, str]:
    """Name the versions of python and `LIBRARIES` that are installed, for `meta`."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


class Store:
    """The store in the folder `path`; default: $WORKBENCH_STORE, else ~/workbench-store.

    The folder is made when a Store is opened, never on import. `meta` (role, repr, versions, …)
    is stored once for each distinct value. Every `put_*` returns what the store holds afterwards.

    Raises StoreError: a network file system, no permission, a full disk, a damaged index.

    >>> with Store.temporary() as store:
    ...     rows = store.put_features({"0" * 64: np.ones(2)}, seconds=0.1, meta={"role": "encoder"})
    >>> rows["0" * 64]
    array([1., 1.], dtype=float32)
    """

    DEFAULT: ClassVar[str] = "~/workbench-store"

    def __init__(self, path: str | Path | None = None) -> None:
        wanted = path or os.environ.get("WORKBENCH_STORE") or self.DEFAULT
        self.path = Path(os.path.expandvars(wanted)).expanduser().absolute()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._index = Index(self.path)
        with self._index.guard():
            for folder in ("pictures", "tmp"):
                (self.path / folder).mkdir(exist_ok=True)

    @classmethod
    def temporary(cls) -> Store:
        """Open a store in a folder of its own that goes when the store is closed or forgotten."""
        folder = tempfile.TemporaryDirectory(prefix="workbench-", ignore_cleanup_errors=True)
        store = cls(folder.name)
        store._folder = folder
        return store

    def close(self) -> None:
        """Close the index; the store opens it again when used."""
        self._index.close()
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return Store, (str(self.path),)

    def put_picture(self, image: Image.Image) -> str:
        """Store an RGB picture; return its digest."""
        digest = images.digest(image)
        with self._index.guard():
            if self._fault(digest) is not None or not _touch(self._file(digest)):
                self._write(digest, image)
        return digest

    def picture(self, digest: str) -> Image.Image:
        """Return the RGB picture of a digest; StoreError if it is missing or damaged."""
        check_keys([digest])
        with self._index.guard():
            return self._load(digest)

    def _file(self, digest: str) -> Path:
        return self.path / "pictures" / digest[:2] / f"{digest[2:]}.png"

    def _load(self, digest: str) -> Image.Image:
        try:
            image = images.decode(self._file(digest).read_bytes(), ("PNG",))
            if images.digest(image) == digest:
                return image
            reason = "is damaged: it holds other pixels"
        except FileNotFoundError:
            reason = "is missing"
        except images.ImageError as error:
            reason = f"is damaged: {error}"
        care = "see `workbench store verify`, mend with `workbench store gc`"
        raise StoreError(f"the stored picture {digest} {reason}; {care}")

    def _fault(self, digest: str) -> str | None:
        try:
            self._load(digest)
        except StoreError as error:
            return str(error)
        return None

    def _write(self, digest: str, image: Image.Image) -> None:
        aside = self.path / "tmp" / f"{os.getpid()}-{uuid.uuid4().hex}.png"
        target = self._file(digest)
        try:
            with aside.open("xb") as file:
                file.write(images.png_bytes(image))
                file.flush()
                os.fsync(file.fileno())
            target.parent.mkdir(exist_ok=True)
            aside.replace(target)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise

    def _digests(self) -> list[str]:
        files = (self.path / "pictures").glob("??/*.png")
        return [name for file in files if KEY.fullmatch(name := file.parent.name + file.stem)]

    def prompts(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the prompts known: key → text, score, truncated, seconds, failure."""
        rows = self._index.rows("prompts", ",".join(PROMPT), keys)
        return {
            key: dict(zip(PROMPT, row, strict=True)) | {"truncated": bool(row[2])}
            for key, *row in rows
        }

    def put_prompts(
        self, rows: Mapping[str, Mapping[str, Any]], meta: Mapping[str, Any]
    ) -> dict[str, dict[str, Any]]:
        """Store prompts: key → text or failure, and score, truncated, seconds where known."""
        values = []
        for key, row in rows.items():
            if set(row) - set(PROMPT) or (row.get("text") is None) == (row.get("failure") is None):
                raise ValueError(f"a prompt has either a text or a failure, not {dict(row)!r}")
            score, seconds = row.get("score"), float(row.get("seconds", 0.0))
            score = None if score is None else float(score)
            cells = (row.get("text"), score, bool(row.get("truncated", False)), seconds)
            values.append((key, *cells, row.get("failure")))
        self._index.insert("prompts", values, meta)
        return self.prompts(rows)

    def generations(self, keys: Iterable[str]) -> dict[str, Generation]:
        """Return the generations known: key → `Generation`."""
        rows = self._index.rows("generations", "picture,failure,seconds,paid", keys)
        return {key: Generation(p, f, s, bool(paid)) for key, p, f, s, paid in rows}

    def put_generations(
        self, rows: Mapping[str, Generation], meta: Mapping[str, Any]
    ) -> dict[str, Generation]:
        """Store generations: first the pictures, then, in one transaction, the index."""
        check_keys(rows)
        new = {k: self.put_picture(row.image) for k, row in rows.items() if row.image is not None}

        def present() -> None:  # under the lock of the index, which `gc` holds while it removes
            for key, row in rows.items():
                digest = new.get(key, row.picture)
                if digest is not None and not self._file(digest).exists():
                    if row.image is None:
                        raise ValueError(f"the picture {digest} must be put before its generation")
                    self._write(digest, row.image)

        values = [
            (key, new.get(key, row.picture), row.failure, float(row.seconds), bool(row.paid))
            for key, row in rows.items()
        ]
        self._index.insert("generations", values, meta, present)
        return self.generations(rows)

    def features(self, keys: Iterable[str]) -> dict[str, np.ndarray]:
        """Return the feature vectors known: key → (D,) float32."""
        rows = self._index.rows("features", "vector", keys)
        return {key: np.frombuffer(blob, "<f4").astype(np.float32) for key, blob in rows}

    def put_features(
        self, rows: Mapping[str, np.ndarray], seconds: float, meta: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        """Store feature vectors, (D,) and finite; `seconds` is what all of them took together."""
        vectors = {key: np.asarray(vector, dtype="<f4") for key, vector in rows.items()}
        for vector in vectors.values():
            if vector.ndim != 1 or not np.isfinite(vector).all():
                raise ValueError("a feature vector is one row of finite numbers")
        each = float(seconds) / max(len(rows), 1)
        self._index.insert("features", [(k, v.tobytes(), each) for k, v in vectors.items()], meta)
        return self.features(rows)

    def info(self) -> dict[str, Any]:
        """Count what the store holds: path, rows of each kind, pictures, bytes on disk."""
        info: dict[str, Any] = {"path": str(self.path)}
        with self._index.guard():
            for table in ("prompts", "generations", "features"):
                sql = f"SELECT count(*) FROM {table}"  # noqa: S608
                ((info[table],),) = self._index.read(sql)
            sizes = [_size(file) for file in self.path.rglob("*")]
        return info | {"pictures": len(self._digests()), "bytes": sum(sizes)}

    def verify(self) -> list[str]:
        """Read every picture and the index; return a sentence for each fault found."""
        found = [text for (text,) in self._index.read("PRAGMA quick_check") if text != "ok"]
        return [f"the index is damaged: {text}" for text in found] + [*self._faults().values()]

    def _faults(self) -> dict[str, str]:
        with self._index.guard():
            digests = sorted(self._named() | set(self._digests()))
            return {name: fault for name in digests if (fault := self._fault(name)) is not None}

    def gc(self, min_age: float = DAY) -> dict[str, int]:
        """Remove what is of no use; return how many of each.

        That is: generations whose picture is missing or damaged, and that picture (never paid
        ones); pictures that no generation names and temporary files, if older than `min_age`
        seconds (a run in progress may be about to name them).
        """
        suspects = self._faults()
        removed = {"generations": 0, "damaged": 0, "unnamed": 0, "temporary": 0}
        with self._index.transaction() as index:
            paid = self._named("paid")
            for digest in suspects:
                if digest not in paid and self._fault(digest):
                    rows = index.execute("DELETE FROM generations WHERE picture = ?", (digest,))
                    removed["generations"] += rows.rowcount
                    removed["damaged"] += self._remove(self._file(digest), 0)
            for digest in set(self._digests()) - self._named():
                removed["unnamed"] += self._remove(self._file(digest), min_age)
            for file in (self.path / "tmp").iterdir():
                removed["temporary"] += self._remove(file, min_age)
        return removed

    def _named(self, where: str = "picture IS NOT NULL") -> set[str]:
        sql = f"SELECT DISTINCT picture FROM generations WHERE {where}"  # noqa: S608
        return {picture for (picture,) in self._index.read(sql) if picture}

    @staticmethod
    def _remove(file: Path, min_age: float) -> bool:
        with contextlib.suppress(FileNotFoundError):
            if time.time() - file.stat().st_mtime >= min_age:
                file.unlink()
                return True
        return False


def _touch(file: Path) -> bool:
    """Mark a picture as in use, so that `gc` spares it as young; False if it is gone."""
    try:
        with contextlib.suppress(PermissionError):  # another user's
            os.utime(file)
    except FileNotFoundError:
        return False
    return True


def _size(file: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return file.stat().st_size if file.is_file() else 0
    return 0
