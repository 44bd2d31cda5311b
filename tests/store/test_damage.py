"""The store survives: kills, interrupts, damaged pictures, care at the wrong moment."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from tests.store.conftest import META, file_of, fork, key, noise
from workbench import images
from workbench.store.index import ELSEWHERE
from workbench.store.store import Generation, Store, StoreError

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
