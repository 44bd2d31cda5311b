"""The index of the store: damaged, full, of another format, on a network file system."""

from __future__ import annotations

import resource
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from tests.store.conftest import META, fork, key
from workbench.store.index import ELSEWHERE, filesystem
from workbench.store.store import Store, StoreError


def test_a_damaged_index_is_said(tmp_path) -> None:
    (tmp_path / "index.sqlite").write_bytes(b"no database at all, but long enough " * 100)
    with pytest.raises(
        StoreError, match=rf"^the index of the store .* is damaged \(.+\); {ELSEWHERE}$"
    ):
        Store(tmp_path)


def test_a_store_of_another_format_is_left_alone(tmp_path) -> None:
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / "index.sqlite") as index:
        index.execute("PRAGMA user_version = 9")
    with pytest.raises(
        StoreError, match=rf"^the store .* has format 9, this program reads 1; {ELSEWHERE}$"
    ):
        Store(tmp_path)


def test_a_full_index_is_said_and_leaves_the_store_valid(tmp_path) -> None:
    held = Store(tmp_path)
    held.put_features({key("before"): np.ones(4)}, 1, META)
    held._index._connection().execute("PRAGMA max_page_count = 20")
    with pytest.raises(StoreError, match=rf"^the disk of the store .* is full; .*{ELSEWHERE}$"):
        held.put_features({key(i): np.ones(999) for i in range(200)}, 1, META)
    held._index._connection().execute("PRAGMA max_page_count = 100000")
    assert list(held.features([key("before"), key(0)])) == [key("before")]
    held.put_features({key(0): np.ones(999)}, 1, META)
    assert held.verify() == []


def fill(folder: Path, sentences) -> None:
    held = Store(folder)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    try:
        for number in range(10_000):
            held.put_features({key(number, i): np.ones(500) for i in range(8)}, 1, META)
            sentences.put(number)
    except StoreError as error:
        sentences.put(str(error))


def test_a_limit_on_file_size_is_said_and_leaves_the_store_valid(tmp_path) -> None:
    said = fork.Queue()
    child = fork.Process(target=fill, args=(tmp_path, said))
    child.start()
    *numbers, sentence = drain(said)
    child.join(60)
    assert child.exitcode == 0
    assert sentence.startswith(f"the store {tmp_path} could not be used (disk I/O error)") or (
        sentence == f"the disk of the store {tmp_path} is full; free some space or {ELSEWHERE}"
    )
    held = Store(tmp_path)
    assert held.verify() == []
    assert held.info()["features"] == 8 * len(numbers) > 0


def drain(queue) -> list:
    """Take all up to and with the sentence that ends it."""
    taken = [queue.get(timeout=60)]
    while not isinstance(taken[-1], str):
        taken.append(queue.get(timeout=60))
    return taken


def test_a_network_file_system_is_refused(tmp_path, monkeypatch) -> None:
    mounts = tmp_path / "mounts"
    far = tmp_path / "far away"
    far.mkdir()
    (tmp_path / "link").symlink_to(far)
    point = str(far).replace(" ", r"\040")
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nhost:/x {point} nfs4 rw 0 0\ntmpfs /run tmpfs rw\n")
    assert filesystem(far / "not yet there", str(mounts)) == "nfs4"
    assert filesystem(tmp_path / "link", str(mounts)) == "nfs4"
    assert filesystem(tmp_path / "far", str(mounts)) == "ext4"
    assert filesystem(Path("/runner"), str(mounts)) == "ext4"
    assert filesystem(far, str(tmp_path / "no such file")) == ""
    monkeypatch.setattr(
        "workbench.store.index.filesystem", lambda path: filesystem(path, str(mounts))
    )
    with pytest.raises(StoreError) as caught:
        Store(far / "store")
    assert str(caught.value) == (
        f"the store {far / 'store'} lies on a network file system (nfs4), "
        f"where its index could be damaged; {ELSEWHERE}"
    )
    assert not (far / "store").exists()
