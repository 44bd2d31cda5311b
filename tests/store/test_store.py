"""store: nothing is lost, nothing is half there, whoever dies, whoever writes at once."""

from __future__ import annotations

import os
import pickle
import random
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.store.conftest import META, file_of, fork, key, noise
from workbench import images
from workbench.store import store
from workbench.store.store import Generation, Store

# What goes in comes out


def test_pictures_are_png_files_under_the_digest_of_their_pixels(tmp_path) -> None:
    held = Store(tmp_path / "not" / "there yet")
    digest = held.put_picture(noise(0))
    assert digest == images.digest(noise(0))
    with Image.open(file_of(held, digest)) as file:
        assert (file.format, images.digest(file.convert("RGB"))) == ("PNG", digest)
    assert images.digest(held.picture(digest)) == digest
    assert held.put_picture(noise(0)) == digest
    assert held.info()["pictures"] == 1
    assert list((held.path / "tmp").iterdir()) == []


def test_rows_come_back_as_they_were(tmp_path) -> None:
    held = Store(tmp_path)
    prompt = {"text": "a ❤", "score": np.float32(0.5), "truncated": np.True_, "seconds": 2}
    held.put_prompts({key(1): prompt, key(2): {"failure": "too dark"}}, {"role": "inverter"})
    held.put_generations(
        {
            key(3): Generation(image=noise(3), seconds=1.5, paid=True),
            key(4): Generation(failure="the safety checker blacked it", seconds=0.5),
        },
        META,
    )
    held.put_features({key(5): np.arange(3)}, seconds=3.0, meta={"role": "encoder"})
    held.close()
    again = Store(tmp_path)
    assert again.prompts([key(2), key(1), key(9)]) == {
        key(2): {
            "text": None,
            "score": None,
            "truncated": False,
            "seconds": 0.0,
            "failure": "too dark",
        },
        key(1): {
            "text": "a ❤",
            "score": 0.5,
            "truncated": True,
            "seconds": 2.0,
            "failure": None,
        },
    }
    assert again.generations([key(3), key(4), key(9)]) == {
        key(3): Generation(images.digest(noise(3)), None, 1.5, True),
        key(4): Generation(None, "the safety checker blacked it", 0.5, False),
    }
    (vector,) = again.features([key(5), key(9)]).values()
    assert vector.dtype == np.float32
    assert vector.tolist() == [0.0, 1.0, 2.0]
    assert again.info() == {
        "path": str(tmp_path),
        "prompts": 2,
        "generations": 2,
        "features": 1,
        "pictures": 1,
        "bytes": sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()),
    }
    assert again.verify() == []


def test_the_first_writer_wins_and_the_second_reads_that_row(tmp_path) -> None:
    one, two = Store(tmp_path), Store(tmp_path)
    first = one.put_generations({key(0): Generation(image=noise(1))}, META)
    assert two.put_generations({key(0): Generation(image=noise(2))}, META) == first
    assert two.put_generations({key(0): Generation(failure="none")}, META) == first
    texts = [s.put_prompts({key(0): {"text": t}}, META) for s, t in [(one, "a"), (two, "b")]]
    assert [rows[key(0)]["text"] for rows in texts] == ["a", "a"]
    vectors = [s.put_features({key(0): [v]}, 1, META) for s, v in [(one, 1.0), (two, 2.0)]]
    assert [rows[key(0)][0] for rows in vectors] == [1.0, 1.0]


@settings(deadline=None, max_examples=25)
@given(st.lists(st.dictionaries(st.integers(0, 20), st.text(max_size=5), max_size=6)))
def test_the_store_is_a_dictionary_that_never_forgets(batches: list[dict[int, str]]) -> None:
    expected: dict[str, str] = {}
    with Store.temporary() as held:
        for batch in batches:
            rows = {key(number): {"text": text} for number, text in batch.items()}
            answer = held.put_prompts(rows, META)
            for name, row in rows.items():
                expected.setdefault(name, row["text"])
                assert answer[name]["text"] == expected[name]
        known = held.prompts(key(number) for number in range(21))
        assert {name: row["text"] for name, row in known.items()} == expected


def test_thousands_of_keys_come_back_in_the_order_asked(tmp_path) -> None:
    held = Store(tmp_path)
    keys = [key(number) for number in range(1234)]
    held.put_features({name: [float(i)] for i, name in enumerate(keys)}, 1.0, META)
    random.Random(0).shuffle(keys)
    assert list(held.features([*keys, key("unknown")])) == keys


def test_equal_meta_is_stored_once(tmp_path) -> None:
    held = Store(tmp_path)
    held.put_prompts({key(0): {"text": "a"}}, {"role": "r", "versions": store.versions()})
    held.put_prompts({key(1): {"text": "a"}}, {"versions": store.versions(), "role": "r"})
    held.put_prompts({key(2): {"text": "a"}}, {"role": "other"})
    with sqlite3.connect(tmp_path / "index.sqlite") as index:
        assert index.execute("SELECT count(*) FROM meta").fetchone() == (2,)
    assert {"python", "torch", "diffusers"} <= set(store.versions())


@pytest.mark.parametrize("bad", ["", "x", "A" * 64, "g" * 64, "0" * 63, "0" * 64 + "\n", None])
def test_a_key_is_a_sha256(bad: str, tmp_path) -> None:
    held = Store(tmp_path)
    sentence = f"a key is 64 hexadecimal digits (keys.digest), not {bad!r}"
    for ask in (
        lambda: held.features([bad]),
        lambda: held.picture(bad),
        lambda: held.put_features({bad: [1.0]}, 1, META),
        lambda: held.put_generations({bad: Generation(image=noise(0))}, META),
        lambda: held.put_prompts({bad: {"text": ""}}, META),
    ):
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole sentence is compared
            ask()
        assert str(caught.value) == sentence
    assert held.info()["pictures"] == 0


def test_what_makes_no_sense_is_refused(tmp_path) -> None:
    held = Store(tmp_path)
    with pytest.raises(ValueError, match=r"^a prompt has either a text or a failure, not {}$"):
        held.put_prompts({key(0): {}}, META)
    with pytest.raises(ValueError, match=r"^a prompt has either a text or a failure, not {'txt"):
        held.put_prompts({key(0): {"txt": "a", "text": "a"}}, META)
    with pytest.raises(ValueError, match=r"^a generation is either a picture or a failure, and"):
        Generation()
    with pytest.raises(ValueError, match=r"^a generation is either a picture or a failure, and"):
        Generation("0" * 64, "failure")
    with pytest.raises(ValueError, match=r"^the picture 0{64} must be put before its generation$"):
        held.put_generations({key(0): Generation("0" * 64)}, META)
    for vector in ([[1.0]], [float("nan")], 1.0):
        with pytest.raises(ValueError, match=r"^a feature vector is one row of finite numbers$"):
            held.put_features({key(0): vector}, 1, META)
    assert held.info() | {"path": "", "bytes": 0} == {
        "path": "",
        "prompts": 0,
        "generations": 0,
        "features": 0,
        "pictures": 0,
        "bytes": 0,
    }


# Several at once


def write_all(folder: Path, seed: int, gate, answers) -> None:
    """Open the store when the others do and write the same keys, each its own pictures."""
    gate.wait()
    held = Store(folder)
    seen = {}
    for start in range(0, 40, 4):
        rows = {
            key(number): Generation(image=noise(1000 * seed + number), seconds=seed)
            for number in range(start, start + 4)
        }
        seen |= held.put_generations(rows, {"role": "generator", "process": seed})
    answers.put({name: (row.picture, row.seconds) for name, row in seen.items()})


def test_processes_that_open_and_write_at_once_all_read_the_first_rows(tmp_path) -> None:
    gate, answers = fork.Barrier(4), fork.Queue()
    folder = tmp_path / "store"
    workers = [
        fork.Process(target=write_all, args=(folder, seed, gate, answers)) for seed in range(4)
    ]
    for worker in workers:
        worker.start()
    first, *others = [answers.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert all(other == first for other in others)
    held = Store(folder)
    assert held.verify() == []
    rows = held.generations(key(number) for number in range(40))
    assert {name: (row.picture, row.seconds) for name, row in rows.items()} == first
    for row in rows.values():
        held.picture(row.picture)


def test_threads_share_a_store(tmp_path) -> None:
    held = Store(tmp_path)
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for number in range(30):
                rows = {key(number): {"text": f"{seed}"}, key(seed, number): {"text": "own"}}
                assert held.put_prompts(rows, META)[key(seed, number)]["text"] == "own"
                held.put_picture(noise(number % 3))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert held.info()["prompts"] == 30 + 6 * 30
    assert held.verify() == []


def test_a_store_goes_through_fork_and_pickle(tmp_path) -> None:
    held = Store(tmp_path)
    held.put_prompts({key(0): {"text": "before"}}, META)
    child = fork.Process(target=lambda: held.put_prompts({key(1): {"text": "child"}}, META))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    again = pickle.loads(pickle.dumps(held))
    assert [row["text"] for row in again.prompts([key(0), key(1)]).values()] == ["before", "child"]


# Manners


def test_the_default_place(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WORKBENCH_STORE")
    assert Store().path == tmp_path / "workbench-store"
    monkeypatch.setenv("WORKBENCH_STORE", "~/else where")
    assert repr(Store()) == f"Store({str(tmp_path / 'else where')!r})"


def test_a_temporary_store_goes(tmp_path) -> None:
    with Store.temporary() as held:
        held.put_picture(noise(0))
        assert held.path.exists()
    assert not held.path.exists()


def test_importing_makes_nothing_and_needs_neither_torch_nor_pandas(tmp_path) -> None:
    code = (
        "import sys, workbench.store, workbench.images; "
        "print({'torch', 'pandas', 'scipy', 'diffusers'} & set(sys.modules))"
    )
    environment = os.environ | {
        "HOME": str(tmp_path),
        "WORKBENCH_STORE": str(tmp_path / "store"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environment, check=True, text=True
    )
    assert child.stdout == "set()\n"
    assert list(tmp_path.iterdir()) == []


def quickest(work, times: int = 20) -> float:
    """Measure the best of some tries: what the code needs, not what the machine does besides."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def test_reading_and_opening_are_quick(tmp_path) -> None:
    held = Store(tmp_path)
    keys = [key(number) for number in range(2000)]
    held.put_features({name: np.ones(512) for name in keys}, 1, META)
    held.put_generations({name: Generation(failure="none") for name in keys}, META)
    assert quickest(lambda: held.features(keys[::125])) < 0.003
    assert quickest(lambda: held.generations(keys[::125])) < 0.003
    assert quickest(lambda: Store(tmp_path).close()) < 0.010
