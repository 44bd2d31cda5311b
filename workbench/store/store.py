"""The content-addressed store: nothing is ever made twice.

Pictures are lossless PNG files under the digest of their pixels; a SQLite index in WAL mode holds
what each key led to: prompts, generations (key → picture) and feature vectors. Files are written
aside, flushed and renamed, the index last, in one transaction a batch: a killed run loses at most
the batch in the making and the one being written. Several processes and threads may share a store:
the first writer of a key wins, and everybody reads that row.

Keys are made by `keys.digest` from everything that can change the answer (design.md lists it)
and nothing that cannot. The caller stores failures that would happen again (a prompt too long for
a model), never those that would not (out of memory, disk full).
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib.metadata
import os
import platform
import sqlite3
import stat
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from workbench import images
from workbench.paths import expanded
from workbench.store import rows as checks
from workbench.store.history import ANSWER, History
from workbench.store.index import Index, check_keys
from workbench.store.index import StoreError as StoreError
from workbench.text import brief, shown

DAY = 86_400.0
PROMPT = ("text", "score", "truncated", "seconds", "failure")
TABLES: dict[str, tuple[tuple[str, ...], Callable[..., str | None]]] = {
    "prompts": (PROMPT, checks.prompt_fault),
    "generations": (("picture", "failure", "seconds", "paid"), checks.generation_fault),
}
"""Columns of the tables without vectors, and what finds the fault of a row."""
MAX_BYTES = 512 * 2**20
"""What the file of a picture may hold; one of `images.MAX_PIXELS` fits."""
LARGE = 512 * 512
"""Pixels from which a picture is compressed fast: a third of the time, some 5 % more bytes."""
LIBRARIES = ("attribution-workbench", "torch", "diffusers", "transformers", "open_clip_torch")


@dataclass(frozen=True)
class Generation:
    """The result of one key of a generator: a picture (its digest) or a failure (its reason).

    To put one, give `image` instead of `picture`. `paid`: it cost money, `Store.gc` never drops
    it. `told`: what a hosted model told of the picture, plain values, kept in the row's meta
    (`History.answers`). ValueError unless there is exactly one of picture (or image) and failure.
    """

    picture: str | None = None
    failure: str | None = None
    seconds: float = 0.0
    paid: bool = False
    image: Image.Image | None = field(default=None, repr=False, compare=False)
    told: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        has_picture = self.picture is not None or self.image is not None
        if has_picture == (self.failure is not None):
            raise ValueError("a generation is either a picture or a failure, and not both")


@functools.cache
def versions() -> dict[str, str]:
    """Return the installed versions of python and `LIBRARIES`, for `meta`."""
    installed = {"python": platform.python_version()}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[name] = importlib.metadata.version(name)
    return installed


class Store(History):
    """The store in the folder `path`; default: $WORKBENCH_STORE, else ~/workbench-store.

    The folder is made when a Store is opened, never on import. `meta` (role, repr, versions, …)
    is stored once for each distinct value. Every `put_*` returns what the store holds afterwards.

    A store may have been handed over by anybody: what its index says is checked before it is used,
    and nothing is read, written or removed by a link that leads out of it. A new one is readable by
    its owner alone. One that cannot be written, or whose disk is full, still answers what it holds.

    Raises StoreError: a network file system, no permission, a full disk, a damaged index.

    >>> with Store.temporary() as store:
    ...     rows = store.put_features({"0" * 64: np.ones(2)}, seconds=0.1, meta={"role": "encoder"})
    >>> rows["0" * 64]
    array([1., 1.], dtype=float32)
    """

    DEFAULT: ClassVar[str] = "~/workbench-store"

    def __init__(self, path: str | Path | None = None) -> None:
        place = path or os.environ.get("WORKBENCH_STORE") or self.DEFAULT
        self.path = expanded(place)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._index = Index(self.path)
        with self._index.guard():
            for folder in (self.path / "pictures", self.path / "tmp"):
                self._index.check_inside(folder)
                if not (folder.is_dir() or self._index.read_only):
                    folder.mkdir(mode=0o700, exist_ok=True)

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
        file = self._file(digest)
        try:
            image = images.decode(_read(file), ("PNG",))
            if images.digest(image) == digest:
                return image
            reason = "is damaged: it holds other pixels"
        except FileNotFoundError:
            reason = "is missing"
        except images.ImageError as error:
            reason = f"is damaged: {error}"
        raise StoreError(f"the stored picture {digest} {reason}; {checks.CARE}")

    def _fault(self, digest: str) -> str | None:
        try:
            self._load(digest)
        except StoreError as error:
            return str(error)
        return None

    def _write(self, digest: str, image: Image.Image) -> None:
        aside = self.path / "tmp" / f"{os.getpid()}-{uuid.uuid4().hex}.png"
        target = self._file(digest)
        self._index.check_inside(target.parent)
        try:
            with aside.open("xb") as file:
                large = image.width * image.height >= LARGE
                file.write(images.png_bytes(image, 1 if large else 6))
                file.flush()
                os.fsync(file.fileno())
            target.parent.mkdir(exist_ok=True)
            aside.replace(target)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise

    def _digests(self) -> list[str]:
        files = (self.path / "pictures").glob("??/*.png")
        return [name for file in files if checks.is_key(name := file.parent.name + file.stem)]

    def prompts(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the prompts known: key → text, score, truncated, seconds, failure."""
        rows = self._checked("prompts", keys)
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
        rows = self._checked("generations", keys)
        return {key: Generation(p, f, s, bool(paid)) for key, p, f, s, paid in rows}

    def _checked(self, table: str, keys: Iterable[str]) -> list[tuple[Any, ...]]:
        """Return the rows of a table; StoreError for one that this program never writes."""
        columns, fault_of = TABLES[table]
        rows = self._index.rows(table, ",".join(columns), keys)
        for key, *row in rows:
            if fault := fault_of(*row):
                raise StoreError(_sentence(table, key, fault))
        return rows

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

        groups: dict[str, tuple[Mapping[str, Any], list[tuple[Any, ...]]]] = {}
        for key, row in rows.items():
            cells = (key, new.get(key, row.picture), row.failure, float(row.seconds))
            own = meta if row.told is None else {**meta, ANSWER: row.told}
            group = groups.setdefault("" if row.told is None else key, (own, []))
            group[1].append((*cells, bool(row.paid)))
        for own, values in groups.values():
            self._index.insert("generations", values, own, present)
        return self.generations(rows)

    def features(self, keys: Iterable[str], unit: bool = False) -> dict[str, np.ndarray]:
        """Return the feature vectors known: key → (D,) float32.

        Raises StoreError for one that is not finite, or, where `unit`, not of length 1.
        """
        rows = self._index.rows("features", "vector", keys)
        matrix = checks.sound_vectors([blob for _, blob in rows], unit=unit)
        if matrix is not None:
            return dict(zip((key for key, _ in rows), matrix, strict=True))
        for key, blob in rows:
            if fault := checks.vector_fault(blob, unit=unit):
                raise StoreError(_sentence("features", key, fault))
        return {key: np.frombuffer(blob, "<f4").astype(np.float32) for key, blob in rows}

    def put_features(
        self, rows: Mapping[str, np.ndarray], seconds: float, meta: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        """Store feature vectors, (D,) and finite; `seconds` is what all of them took together."""
        vectors = {key: np.asarray(vector, dtype="<f4") for key, vector in rows.items()}
        for vector in vectors.values():
            if vector.ndim != 1 or not np.isfinite(vector).all():
                raise ValueError("a feature vector is one row of finite numbers")
        share = float(seconds) / max(len(rows), 1)
        self._index.insert("features", [(k, v.tobytes(), share) for k, v in vectors.items()], meta)
        return self.features(rows)

    def info(self) -> dict[str, Any]:
        """Return the contents of the store: path, rows of each kind, pictures, bytes on disk."""
        info: dict[str, Any] = {"path": str(self.path)}
        with self._index.guard():
            for table in ("prompts", "generations", "features"):
                sql = f"SELECT count(*) FROM {table}"  # noqa: S608
                ((info[table],),) = self._index.read(sql)
            sizes = [_size(file) for file in self.path.rglob("*")]
        return info | {"pictures": len(self._digests()), "bytes": sum(sizes)}

    def verify(self) -> list[str]:
        """Read every picture and every row; return a sentence for each fault found."""
        damage = [text for (text,) in self._index.read("PRAGMA quick_check") if text != "ok"]
        damage = [f"the index is damaged: {shown(text)}" for text in damage]
        rows = [_sentence(table, key, fault) for table, key, fault in self._strange_rows()]
        return [*damage, *rows, *self._faults().values()]

    def _strange_rows(self) -> list[tuple[str, Any, str]]:
        """Return the rows that this program never writes: table, key, what is wrong."""
        strange: list[tuple[str, Any, str]] = []
        metas = {}
        for number, text in self._index.each("SELECT id, json FROM meta"):
            metas[number] = checks.meta_of(text)
        for table, (columns, fault_of) in TABLES.items():
            sql = f"SELECT key,meta,{','.join(columns)} FROM {table}"  # noqa: S608
            for key, meta, *row in self._index.each(sql):
                if fault := _key_fault(key, metas.get(meta)) or fault_of(*row):
                    strange.append((table, key, fault))
        lengths = []
        for key, meta, blob, seconds in self._index.each(
            "SELECT key,meta,vector,seconds FROM features"
        ):
            known = metas.get(meta)
            unit = known is not None and checks.of_encoder(known)
            if fault := _key_fault(key, known) or checks.vector_fault(blob, seconds, unit):
                strange.append(("features", key, fault))
            else:
                lengths.append((key, meta, len(blob) // 4))
        for key, (size, usual) in checks.odd_lengths(lengths).items():
            strange.append(("features", key, f"a vector of {size} numbers among those of {usual}"))
        return strange

    def _faults(self) -> dict[str, str]:
        with self._index.guard():
            digests = sorted(self._named() | set(self._digests()))
            return {name: fault for name in digests if (fault := self._fault(name)) is not None}

    def gc(self, min_age: float = DAY) -> dict[str, int]:
        """Remove what is of no use; return how many of each.

        That is: rows that no store of ours holds (counted as ``rows``, where there are any);
        generations whose picture is missing or damaged, and that picture (never paid ones);
        pictures that no generation names and temporary files, if older than `min_age` seconds (a
        run in progress may be about to name them). Nothing outside of the store is touched.
        """
        suspects = self._faults()
        removed = {"generations": 0, "damaged": 0, "unnamed": 0, "temporary": 0}
        with self._index.transaction() as index:
            if strange := self._strange_rows():
                removed["rows"] = sum(_forget(index, table, key) for table, key, _ in strange)
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
        return {picture for (picture,) in self._index.read(sql) if checks.is_key(picture)}

    def _remove(self, file: Path, min_age: float) -> bool:
        """Remove a file, or a link, of the store's own folders; return whether it was removed."""
        self._index.check_inside(file.parent)
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            state = file.lstat()
            if time.time() - state.st_mtime >= min_age and not stat.S_ISDIR(state.st_mode):
                file.unlink()
                return True
        return False


def _sentence(table: str, key: Any, fault: str) -> str:
    """Return a sentence on a faulty row, safe to show on a terminal."""
    name = key if checks.is_key(key) else brief(repr(key), 80)
    return f"the row {name} of {table} in the store's index holds {fault}; {checks.CARE}"


def _key_fault(key: Any, meta: dict[str, Any] | None) -> str | None:
    """Return what is wrong with the key and the meta of a row."""
    if not checks.is_key(key):
        return "a key that is no digest"
    return "a meta that is no JSON object, or none" if meta is None else None


def _forget(index: sqlite3.Connection, table: str, key: Any) -> int:
    """Delete the rows of a key, which may be any value; return how many."""
    sql = f"DELETE FROM {table} WHERE key IS ?"  # noqa: S608
    if isinstance(key, str) and not checks.is_key(key):  # perhaps not UTF-8: by its bytes
        sql = f"DELETE FROM {table} WHERE CAST(key AS BLOB) IS ?"  # noqa: S608
        key = key.encode("utf-8", "surrogateescape")
    return index.execute(sql, (key,)).rowcount


def _touch(file: Path) -> bool:
    """Mark a picture as in use, so that `gc` spares it as young; False if it is gone."""
    try:
        os.utime(file)
    except FileNotFoundError:
        return False
    except OSError:  # another user's, or on a disk that cannot be written
        return True
    return True


def _read(file: Path) -> bytes:
    """Read the file of a picture; ImageError for what can be none."""
    try:
        state = file.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise images.ImageError("it is a link that leads in a circle") from None
        raise
    if not stat.S_ISREG(state.st_mode):
        raise images.ImageError("it is not a regular file")
    if state.st_size > MAX_BYTES:
        raise images.ImageError(f"it has more than {MAX_BYTES // 2**20} MiB")
    return file.read_bytes()


def _size(file: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return file.stat().st_size if file.is_file() else 0
    return 0
