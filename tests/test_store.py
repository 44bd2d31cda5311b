"""store: nothing is lost, nothing is half there, whoever dies, whoever writes at once."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import pickle
import random
import resource
import signal
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

from workbench import images
from workbench.store import store
from workbench.store.index import ELSEWHERE, filesystem
from workbench.store.store import Generation, Store, StoreError

META = {"role": "generator", "repr": "Noise()"}
fork = multiprocessing.get_context("fork")


def key(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def noise(seed: int, side: int = 16) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def file_of(held: Store, digest: str) -> Path:
    return held.path / "pictures" / digest[:2] / f"{digest[2:]}.png"


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
    sentence = f"a key is 64 hexadecimal digits (frames.digest), not {bad!r}"
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


# Killed


WRITER = """
import hashlib, itertools, sys
import numpy as np
from PIL import Image
from workbench.store.store import Generation, Store
held, chance = Store(sys.argv[1]), np.random.default_rng(int(sys.argv[2]))
for batch in itertools.count(int(sys.argv[2])):
    rows = {}
    for number in range(4):
        image = Image.fromarray(chance.integers(0, 256, (64, 64, 3), dtype=np.uint8))
        key = hashlib.sha256(repr((batch, number)).encode()).hexdigest()
        rows[key] = Generation(image=image)
    held.put_generations(rows, {"batch": batch})
    print(batch, flush=True)
"""


def test_kill_at_any_moment_leaves_a_valid_store(tmp_path) -> None:
    chance = random.Random(0)
    folder, done = tmp_path / "store", -1
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(6):
        command = [sys.executable, "-c", WRITER, folder, str(done + 1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
            first = child.stdout.readline()
            time.sleep(chance.uniform(0, 0.3))
            child.send_signal(signal.SIGKILL)
            said = (first + child.stdout.read()).split(b"\n")[:-1]
        assert child.returncode == -signal.SIGKILL
        assert said, "the writer never came to write"
        done = int(said[-1])
        held = Store(folder)
        assert held.verify() == []
        whole = [len(held.generations(key(b, i) for i in range(4))) for b in range(done + 2)]
        assert whole[:-1] == [4] * (done + 1)  # what was reported is there
        assert whole[-1] in (0, 4)  # of the batch in the making all or nothing
        held.close()
    held.gc(min_age=0)
    assert held.verify() == []
    assert list((folder / "tmp").iterdir()) == []
    assert held.info()["pictures"] == held.info()["generations"] == sum(whole)


def test_an_interrupt_leaves_all_or_nothing(tmp_path, monkeypatch) -> None:
    held = Store(tmp_path)
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        held.put_generations({key(0): Generation(image=noise(0))}, META)
    monkeypatch.undo()
    assert held.generations([key(0)]) == {}
    assert list((tmp_path / "tmp").iterdir()) == []
    assert held.verify() == []
    held.put_generations({key(0): Generation(image=noise(0))}, META)


def interrupt(_: int) -> None:
    raise KeyboardInterrupt


# Damage and care


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-60]), r"is damaged: the picture is .+"),
        (lambda file: file.write_bytes(b""), "is damaged: it is not a picture of a known kind .+"),
        (
            lambda file: file.write_bytes(images.png_bytes(noise(99))),
            "is damaged: it holds other pixels",
        ),
        (lambda file: file.unlink(), "is missing"),
    ],
)
def test_damage_is_found_said_mended_and_made_again(spoil, reason: str, tmp_path) -> None:
    held = Store(tmp_path)
    rows = {key(i): Generation(image=noise(i), paid=i == 1) for i in range(3)}
    broken, paid, _ = (row.picture for row in held.put_generations(rows, META).values())
    spoil(file_of(held, broken))
    spoil(file_of(held, paid))
    sentences = {
        digest: f"the stored picture {digest} {reason}; "
        "see `workbench store verify`, mend with `workbench store gc`"
        for digest in (broken, paid)
    }
    with pytest.raises(StoreError, match=f"^{sentences[broken]}$"):
        held.picture(broken)
    problems = held.verify()
    assert len(problems) == 2
    for problem, digest in zip(problems, sorted([broken, paid]), strict=True):
        with pytest.raises(StoreError, match=f"^{sentences[digest]}$"):
            held.picture(digest)
        assert problem.startswith(f"the stored picture {digest} is ")
    removed = held.gc()
    assert removed == {
        "generations": 1,
        "damaged": int(reason != "is missing"),
        "unnamed": 0,
        "temporary": 0,
    }
    assert set(held.generations(rows)) == {key(1), key(2)}  # the paid one stays
    held.put_generations(rows, META)  # made again: both pictures are whole again
    assert held.verify() == []
    assert held.picture(paid).tobytes() == noise(1).tobytes()


def test_gc_spares_what_is_young_or_named(tmp_path) -> None:
    held = Store(tmp_path)
    held.put_generations({key(0): Generation(image=noise(0))}, META)
    test_picture = held.put_picture(noise(1))
    (tmp_path / "tmp" / "1-left.png").write_bytes(b"half")
    nothing = {"generations": 0, "damaged": 0, "unnamed": 0, "temporary": 0}
    assert held.gc() == nothing
    for file in [*tmp_path.rglob("*.png")]:
        os.utime(file, (0, 0))
    held.put_picture(noise(1))  # in use again
    assert held.gc() == nothing | {"temporary": 1}
    assert held.gc(min_age=0) == nothing | {"unnamed": 1}
    with pytest.raises(StoreError, match=f"^the stored picture {test_picture} is missing; "):
        held.picture(test_picture)
    assert held.verify() == []


def test_gc_between_picture_and_index_does_no_harm(tmp_path, monkeypatch) -> None:
    held, other = Store(tmp_path), Store(tmp_path)
    put_picture = Store.put_picture

    def and_gc(self: Store, image: Image.Image) -> str:
        digest = put_picture(self, image)
        assert other.gc(min_age=0)["unnamed"] == 1
        return digest

    monkeypatch.setattr(Store, "put_picture", and_gc)
    held.put_generations({key(0): Generation(image=noise(0))}, META)
    assert held.verify() == []
    assert held.info()["pictures"] == 1


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


# Disks that do not work


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_and_leaves_the_store_valid(number, tmp_path, monkeypatch) -> None:
    held = Store(tmp_path)
    held.put_generations({key(0): Generation(image=noise(0))}, META)

    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    sentence = f"the disk of the store {tmp_path} is full; free some space or {ELSEWHERE}"
    with pytest.raises(StoreError) as caught:
        held.put_generations({key(1): Generation(image=noise(1))}, META)
    assert str(caught.value) == sentence
    monkeypatch.undo()
    assert list((tmp_path / "tmp").iterdir()) == []
    assert held.verify() == []
    assert set(held.generations([key(0), key(1)])) == {key(0)}
    held.put_generations({key(1): Generation(image=noise(1))}, META)
    assert set(held.generations([key(0), key(1)])) == {key(0), key(1)}


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


def in_child(question, say) -> None:
    if os.getuid() == 0:
        os.setuid(65534)  # root may write everywhere
    try:
        question()
    except StoreError as error:
        say.put(str(error))


def test_a_folder_that_may_not_be_written_is_said(tmp_path) -> None:
    for parent in [tmp_path, *tmp_path.parents[:2]]:
        parent.chmod(0o755)
    old = Store(tmp_path / "old")
    old.put_prompts({key(0): {"text": "a"}}, META)
    old.close()
    tmp_path.chmod(0o555)
    (tmp_path / "old").chmod(0o555)
    said = fork.Queue()

    def write_old() -> None:
        Store(tmp_path / "old").put_prompts({key(1): {"text": "a"}}, META)

    for question in (lambda: Store(tmp_path / "new"), write_old):
        child = fork.Process(target=in_child, args=(question, said))
        child.start()
        sentence = said.get(timeout=60)
        child.join(60)
        assert sentence.startswith(f"the store {tmp_path}")
        assert " cannot be written (" in sentence
        assert sentence.endswith(f"; {ELSEWHERE}")
    for folder in (tmp_path, tmp_path / "old"):
        folder.chmod(0o755)
    assert len(Store(tmp_path / "old").prompts([key(0), key(1)])) == 1


def test_a_file_is_no_store(tmp_path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match=r"^the store .* cannot be written \(.+\); name"):
            Store(path)


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
