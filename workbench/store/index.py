"""The index of the store: one SQLite file in WAL mode, shared by processes and threads.

It knows how to open, read, write and explain what went wrong; what the rows mean, `store` knows.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.store.rows import is_key
from workbench.text import brief

VERSION = 1
INDEX = "index.sqlite"
ELSEWHERE = "name another folder with WORKBENCH_STORE"
ROOM = 2**16
"""Bytes without which no log of the index can be begun."""
WAIT = 60.0  # seconds another process may hold the index before we give up
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CLOSED = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
UNWRITTEN = (*CLOSED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
"""With these an index that is there may still be read."""
CLOSED_FILE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR)
NETWORK = frozenset(
    "nfs nfs4 cifs smb2 smb3 smbfs afs ncpfs ceph lustre gpfs beegfs glusterfs pvfs2 davfs "
    "fuse.sshfs fuse.glusterfs fuse.ceph fuse.ceph-fuse fuse.rclone fuse.s3fs fuse.davfs2 "
    "fuse.gcsfuse fuse.smbnetfs fuse.curlftpfs".split()
)
TABLES = """
CREATE TABLE meta(id INTEGER PRIMARY KEY, json TEXT NOT NULL UNIQUE);
CREATE TABLE prompts(key TEXT PRIMARY KEY, text TEXT, score REAL, truncated INTEGER NOT NULL,
    seconds REAL NOT NULL, failure TEXT, meta INTEGER NOT NULL REFERENCES meta) WITHOUT ROWID;
CREATE TABLE generations(key TEXT PRIMARY KEY, picture TEXT, failure TEXT, seconds REAL NOT NULL,
    paid INTEGER NOT NULL, meta INTEGER NOT NULL REFERENCES meta) WITHOUT ROWID;
CREATE INDEX generations_picture ON generations(picture);
CREATE TABLE features(key TEXT PRIMARY KEY, vector BLOB NOT NULL, seconds REAL NOT NULL,
    meta INTEGER NOT NULL REFERENCES meta)
"""


class StoreError(RuntimeError):
    """The store cannot be used as asked; the message says why and what would work."""


class Index:
    """The index in `folder`, which is made if need be; one connection a process, under a lock.

    Raises StoreError: a network file system, no permission, a full disk, a damaged index.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.RLock()
        self._connections: dict[int, sqlite3.Connection] = {}
        self._closed: sqlite3.Error | None = None
        kind = filesystem(folder)
        if kind in NETWORK:
            raise StoreError(
                f"the store {folder} lies on a network file system ({kind}), where its index "
                f"could be damaged; {ELSEWHERE}"
            )
        with self.guard():
            if not folder.is_dir():
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.check_inside(folder / INDEX)
            self._connection()

    def check_inside(self, path: Path) -> None:
        """Raise StoreError for a part of the store that is a link to somewhere outside of it.

        A store that somebody else filled could else have us write, or remove, what is not its own.
        """
        place = Path(os.path.realpath(path))  # which, unlike resolve, bears a circle of links
        if not place.is_relative_to(os.path.realpath(self.folder)):
            raise StoreError(
                f"{path} of the store leads out of it, to {place}: nothing of it is used; put a "
                f"folder or file of its own there, or {ELSEWHERE}"
            )

    @property
    def read_only(self) -> bool:
        """Whether the index exists but cannot be written to."""
        return self._closed is not None

    def close(self) -> None:
        """Close the connection of this process; the next use opens it again."""
        with self._lock:
            connection = self._connections.pop(os.getpid(), None)
            if connection is not None:
                connection.close()

    def read(self, sql: str, values: Sequence[str] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a SELECT."""
        with self.guard(), self._lock:
            return self._connection().execute(sql, values).fetchall()

    def each(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a SELECT, one in memory at a time."""
        with self.guard(), self._lock:
            yield from self._connection().execute(sql)

    def rows(self, table: str, fields: str, keys: Iterable[str]) -> list[tuple[Any, ...]]:
        """Return rows of key and fields, of those of `keys` that the table has, in their order."""
        distinct = check_keys(keys)
        rows_by_key: dict[str, tuple[Any, ...]] = {}
        with self.guard(), self._lock:
            for start in range(0, len(distinct), 500):
                some = distinct[start : start + 500]
                marks = ",".join("?" * len(some))
                sql = f"SELECT key,{fields} FROM {table} WHERE key IN ({marks})"  # noqa: S608
                rows_by_key |= {row[0]: row for row in self.read(sql, some)}
        return [rows_by_key[key] for key in distinct if key in rows_by_key]

    def insert(
        self,
        table: str,
        rows: list[tuple[Any, ...]],
        meta: Mapping[str, Any],
        first: Callable[[], None] = lambda: None,
    ) -> None:
        """Insert rows (key, …) into a table, after `first` under the lock; known keys stay."""
        check_keys(row[0] for row in rows)
        text = json.dumps(meta, sort_keys=True, separators=(",", ":"), allow_nan=False)
        if not rows:
            return
        with self.transaction() as index:
            first()
            index.execute("INSERT INTO meta(json) VALUES (?) ON CONFLICT DO NOTHING", (text,))
            (number,) = index.execute("SELECT id FROM meta WHERE json = ?", (text,)).fetchone()
            marks = "?," * len(rows[0]) + "?"
            sql = f"INSERT INTO {table} VALUES ({marks}) ON CONFLICT(key) DO NOTHING"  # noqa: S608
            index.executemany(sql, [(*row, number) for row in rows])

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Raise errors of the disk and of SQLite as StoreErrors of one sentence."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreError(self._sentence(error)) from error

    def _sentence(self, error: Exception) -> str:
        """Return a sentence on an error of the disk or the index."""
        number = getattr(error, "errno", None)
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        if code == sqlite3.SQLITE_FULL or number in FULL or self._has_no_room(code):
            return f"the disk of the store {self.folder} is full; free some space or {ELSEWHERE}"
        if code in CLOSED or number in CLOSED_FILE:
            return f"the store {self.folder} cannot be written ({error}); {ELSEWHERE}"
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return f"the store {self.folder} was held by another process for over {WAIT:.0f} s"
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return f"the index of the store {self.folder} is damaged ({error}); {ELSEWHERE}"
        return f"the store {self.folder} could not be used ({error})"

    def _has_no_room(self, code: int) -> bool:
        """Return whether an I/O error of SQLite comes from a full disk, which it does not say."""
        if code != sqlite3.SQLITE_IOERR:
            return False
        with contextlib.suppress(OSError):
            return shutil.disk_usage(self.folder).free < ROOM
        return False

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Lock the index; commit at the end, or, after an error, write nothing."""
        with self.guard(), self._lock:
            index = self._connection()
            if self._closed is not None:
                raise self._closed
            index.execute("BEGIN IMMEDIATE")
            try:
                yield index
                index.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    index.rollback()
                raise

    def _connection(self) -> sqlite3.Connection:
        """Return the connection of this process (a forked one needs its own)."""
        if os.getpid() not in self._connections:
            self._connections[os.getpid()] = self._open()
        return self._connections[os.getpid()]

    def _open(self) -> sqlite3.Connection:
        """Open the index; for reading alone where it is there and nothing can be written."""
        self._closed = None
        try:
            return self._opened(self._connect())
        except sqlite3.Error as error:
            if (error.sqlite_errorcode & 0xFF) not in UNWRITTEN or not self._file.is_file():
                raise
            log = self._file.with_name(f"{INDEX}-wal")
            if log.exists() and log.stat().st_size:
                raise  # its last rows lie in the log, which cannot be read without writing
            self._closed = error
            return self._opened(self._connect(alone=True))

    @property
    def _file(self) -> Path:
        return self.folder / INDEX

    def _connect(self, alone: bool = False) -> sqlite3.Connection:
        """Connect to the file, made for its owner alone; `alone`: as to one that nobody writes."""
        where = str(self._file)
        if alone:
            where = f"{self._file.as_uri()}?mode=ro&immutable=1"
        elif self._file.exists():
            if not stat.S_ISREG(self._file.stat().st_mode):
                raise StoreError(f"{self._file} is no file; {ELSEWHERE}")
        else:
            with contextlib.suppress(FileExistsError):  # another process is just doing so
                os.close(os.open(self._file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        return sqlite3.connect(
            where, timeout=WAIT, isolation_level=None, check_same_thread=False, uri=alone
        )

    def _opened(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """Check what a connection leads to, and make the tables of a new index."""
        connection.text_factory = _decoded
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA synchronous = FULL")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, VERSION):
                raise StoreError(
                    f"the store {self.folder} has format {version}, this program reads {VERSION}; "
                    f"{ELSEWHERE}"
                )
            if strange := _strange(connection):
                raise StoreError(
                    f"the index of the store {self.folder} holds {brief(strange, 100)}, which no "
                    f"store has: nothing of it is used; {ELSEWHERE}"
                )
            if version == 0:
                _make_tables(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _decoded(data: bytes) -> str:
    """Return text of the index; bytes that are not UTF-8 become lone surrogates, for `verify`."""
    return data.decode("utf-8", "surrogateescape")


def _strange(connection: sqlite3.Connection) -> str:
    """Return a table, view or trigger that is not as `TABLES` makes it; "" for none.

    A view or a trigger would run when the index is read or written.
    """
    ours = {_squeezed(statement) for statement in TABLES.split(";")}
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    for kind, name, sql in rows:
        of_analyze = kind == "table" and str(name).startswith("sqlite_stat")
        if sql is not None and _squeezed(str(sql)) not in ours and not of_analyze:
            return f"the {kind} {name!r}"
    return ""


def _squeezed(sql: str) -> str:
    return "".join(sql.split())


def _make_tables(connection: sqlite3.Connection) -> None:
    """Create the tables, unless another process is doing so."""
    for patience in range(int(WAIT * 50), -1, -1):
        try:  # the change to WAL does not wait for others by itself
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            if (error.sqlite_errorcode & 0xFF) != sqlite3.SQLITE_BUSY or not patience:
                raise
            time.sleep(0.02)
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("PRAGMA user_version").fetchone() == (0,):
        for statement in TABLES.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def filesystem(path: Path, mounts: str = "/proc/mounts") -> str:
    """Return the file system that `path` lies on ("ext4", "nfs4"); "" where unknown."""
    try:
        lines = Path(mounts).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    place = path.resolve()
    deepest, kind = -1, ""
    for line in lines:
        _, point, name, *_ = line.split(" ")
        mount = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point))
        if len(mount.parts) >= deepest and place.is_relative_to(mount):
            deepest, kind = len(mount.parts), name
    return kind


def check_keys(keys: Iterable[str]) -> list[str]:
    """Return the distinct keys, in order; ValueError for what is no sha256."""
    distinct = list(dict.fromkeys(keys))
    for key in distinct:
        if not is_key(key):
            raise ValueError(f"a key is 64 hexadecimal digits (keys.digest), not {key!r}")
    return distinct
