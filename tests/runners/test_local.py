from __future__ import annotations

import threading
import time

import pytest

from workbench.runners import Work
from workbench.runners.local import Local, claim
from workbench.store.store import StoreError

KEYS = [f"{i:064x}"[::-1] for i in range(1, 13)]


class Shelf:
    """A store of rows that counts what was made."""

    def __init__(self):
        self.rows: dict[str, int] = {}
        self.calls: list[list[str]] = []

    def look(self, keys):
        return {key: self.rows[key] for key in keys if key in self.rows}

    def make(self, todo):
        self.calls.append(list(todo))
        time.sleep(0.01)
        self.rows |= todo
        return dict(todo)


def run(shelf, store, jobs, batch=4, tick=lambda done: None):
    return Local()(Work(jobs, shelf.look, shelf.make, store, batch), tick)


def test_what_is_missing_is_made_in_full_batches_in_order(store):
    shelf, jobs = Shelf(), dict(zip(KEYS, range(12), strict=True))
    shelf.rows = {KEYS[1]: 1, KEYS[5]: 5}
    seen: list[int] = []
    assert run(shelf, store, jobs, tick=seen.append) == jobs
    assert [len(call) for call in shelf.calls] == [4, 4, 2]
    assert [key for call in shelf.calls for key in call] == [
        k for k in KEYS if k not in KEYS[1:6:4]
    ]
    assert seen == [2, 6, 10, 12]


def test_nothing_missing_touches_nothing(store):
    shelf, jobs = Shelf(), dict(zip(KEYS, range(12), strict=True))
    shelf.rows = dict(jobs)
    assert run(shelf, store, jobs) == jobs
    assert not (store.path / "claims").exists()


def test_threads_that_want_the_same_make_it_once(store):
    shelf, jobs = Shelf(), dict(zip(KEYS, range(12), strict=True))
    threads = [threading.Thread(target=run, args=(shelf, store, jobs)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    made = [key for call in shelf.calls for key in call]
    assert sorted(made) == sorted(KEYS)


def test_a_claim_passes_over_what_another_holds_and_waits_where_nothing_is_free(store):
    with claim(store, KEYS, 3) as one, claim(store, KEYS, 3) as two:
        assert one == KEYS[:3]
        assert two == KEYS[3:6]
    order: list[str] = []

    def late() -> None:
        with claim(store, KEYS[:1], 1):
            order.append("late")

    with claim(store, KEYS[:1], 1):
        thread = threading.Thread(target=late)
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join(10)
    assert order == ["first", "late"]


def test_a_failure_lets_go_of_the_claim(store):
    with pytest.raises(KeyboardInterrupt), claim(store, KEYS, 2):
        raise KeyboardInterrupt
    with claim(store, KEYS, 2) as mine:
        assert mine == KEYS[:2]


def test_a_store_that_cannot_be_written_says_so(store):
    (store.path / "claims").write_text("in the way")
    with pytest.raises(StoreError, match=r"^the store .* cannot be written \("):
        run(Shelf(), store, dict.fromkeys(KEYS, 0))


class Slow(Shelf):
    """A shelf whose rows are kept by a second step, which takes its time."""

    def __init__(self, pause=0.05):
        super().__init__()
        self.pause, self.kept, self.threads = pause, [], set()

    def make(self, todo):
        self.calls.append(list(todo))
        time.sleep(self.pause)
        return todo

    def keep(self, made):
        time.sleep(self.pause)
        self.threads.add(threading.get_ident())
        self.kept.append(list(made))
        self.rows |= made
        return dict(made)


def keeping(shelf, store, jobs, tick=lambda done: None):
    return Local()(Work(jobs, shelf.look, shelf.make, store, 2, shelf.keep), tick)


def test_a_batch_is_kept_while_the_next_is_made(store):
    """Six batches of two: one after the other 12 pauses, side by side 7."""
    shelf, jobs = Slow(), dict(zip(KEYS, range(12), strict=True))
    seen: list[int] = []
    started = time.perf_counter()
    assert keeping(shelf, store, jobs, seen.append) == jobs
    assert time.perf_counter() - started < 11 * shelf.pause
    assert shelf.kept == shelf.calls
    assert shelf.threads.isdisjoint({threading.get_ident()})
    assert (seen[0], seen[-1], seen) == (0, 12, sorted(seen))
    with claim(store, KEYS, 12) as free:
        assert free == KEYS


def test_no_more_than_one_batch_waits_to_be_kept(store):
    shelf, jobs = Slow(0.01), dict(zip(KEYS, range(12), strict=True))
    behind = []
    plain = shelf.make

    def make(todo):
        behind.append(len(shelf.calls) - len(shelf.kept))
        return plain(todo)

    shelf.make = make
    keeping(shelf, store, jobs)
    assert max(behind) <= 1


def test_what_was_made_before_an_error_is_kept(store):
    shelf, jobs = Slow(0.01), dict(zip(KEYS, range(12), strict=True))
    plain = shelf.make

    def make(todo):
        if len(shelf.calls) == 3:
            raise KeyboardInterrupt
        return plain(todo)

    shelf.make = make
    with pytest.raises(KeyboardInterrupt):
        keeping(shelf, store, jobs)
    assert sorted(shelf.rows) == sorted(KEYS[:6])
    with claim(store, KEYS, 12) as free:
        assert free == KEYS


def test_an_error_in_keeping_is_raised_and_lets_claims_go(store):
    shelf, jobs = Slow(0.01), dict(zip(KEYS, range(12), strict=True))

    def keep(made):
        raise StoreError("the disk is full")

    shelf.keep = keep
    with pytest.raises(StoreError, match=r"^the disk is full$"):
        keeping(shelf, store, jobs)
    assert len(shelf.calls) <= 2
    with claim(store, KEYS, 12) as free:
        assert free == KEYS


def test_keys_of_one_claim_file_do_not_stop_their_own_run(store):
    """Keys that share their first digits share a lock: the second batch waits for the first."""
    keys = [f"abc{i:061x}" for i in range(6)]
    shelf, jobs = Slow(0.01), dict(zip(keys, range(6), strict=True))
    assert keeping(shelf, store, jobs) == jobs
    assert [len(call) for call in shelf.calls] == [2, 2, 2]
