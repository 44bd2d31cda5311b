"""A store that cannot be written, or whose disk is full, still answers what it holds."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.store.test_handed_over import META, filled, key, noise, unit
from workbench.store import StoreError
from workbench.store.store import Store

fork = multiprocessing.get_context("fork")
__all__ = ["filled"]


def as_nobody(question, say):
    if os.getuid() == 0:
        os.setuid(65534)  # root may write everywhere
    try:
        say.put(question())
    except StoreError as error:
        say.put(str(error))


def ask(question):
    said = fork.Queue()
    child = fork.Process(target=as_nobody, args=(question, said))
    child.start()
    answer = said.get(timeout=60)
    child.join(60)
    return answer


@pytest.fixture
def closed(filled, tmp_path):
    """Take away the right to write to a filled store."""
    paths = [filled, *filled.rglob("*")]
    for path in [tmp_path, *tmp_path.parents]:
        if path.is_relative_to(tempfile.gettempdir()) and path != Path(tempfile.gettempdir()):
            path.chmod(0o755)
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield filled
    for path in paths:
        path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_read_only_store_is_read(closed):
    def question():
        with Store(closed) as store:
            (row,) = store.generations([key("g", 1)]).values()
            assert store.picture(row.picture).tobytes() == noise(1).tobytes()
            assert store.put_picture(noise(1)) == row.picture  # it is there already
            assert store.features([key("f", 1)])[key("f", 1)].tobytes() == unit(1).tobytes()
            assert store.verify() == []
            return store.prompts([key("p", 1)])[key("p", 1)]["text"]

    assert ask(question) == "prompt 1"


@pytest.mark.parametrize("what", ["a prompt", "a picture", "gc"])
def test_what_would_be_written_to_it_is_told(closed, what):
    def question():
        store = Store(closed)
        if what == "a prompt":
            store.put_prompts({key("new"): {"text": "a"}}, META)
        elif what == "a picture":
            store.put_picture(noise(9))
        else:
            store.gc()

    said = ask(question)
    assert said.startswith(f"the store {closed} cannot be written (")
    assert said.endswith("; name another folder with WORKBENCH_STORE")


FULL = """
import os, sys
from pathlib import Path
from tests.store.test_handed_over import META, key, noise, unit
from workbench.store import StoreError
from workbench.store.store import Store
folder = Path(sys.argv[1])
try:
    with (folder / "fill").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
except OSError:
    pass
store = Store(folder / "store")
assert store.prompts([key("p", 1)])[key("p", 1)]["text"] == "prompt 1"
(row,) = store.generations([key("g", 1)]).values()
assert store.put_picture(store.picture(row.picture)) == row.picture
assert len(store.features([key("f", 1)])) == 1
for put in (
    lambda: store.put_picture(noise(9)),
    lambda: store.put_prompts({key("new", i): {"text": "a" * 1000} for i in range(99)}, META),
):
    try:
        put()
    except StoreError as error:
        print(error)
"""


def test_answers_are_given_on_a_full_disk_and_what_is_new_is_told(filled, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    own = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    mount = f"mount -t tmpfs -o size=2m none '{disk}' && cp -r '{filled}' '{disk}/store'"
    if not shutil.which("unshare") or subprocess.run([*own, "sh", "-c", mount]).returncode:
        pytest.skip("no small disk can be mounted here")
    shell = ["sh", "-c", f'{mount} && exec "$@"', "sh"]
    child = [*own, *shell, sys.executable, "-c", FULL, str(disk)]
    root = Path(__file__).parents[2]
    done = subprocess.run(child, capture_output=True, text=True, timeout=120, cwd=root)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == 2
    assert all(  # said by SQLite and by the file system
        line.startswith(f"the disk of the store {disk / 'store'} is full; free some")
        for line in said
    )
