"""A disk that fills up while weights come or pictures are kept is told, and a rerun completes."""

from __future__ import annotations

import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants
from PIL import Image

from tests.support.hub import Hub
from workbench.catalogue import hub
from workbench.store.store import Generation, Store, StoreError

ROOT = Path(__file__).parents[2]
SIZE = 3_000_000
META = {"wrote": "a test"}


def fill(disk: Path) -> None:
    """Write a file that leaves no byte."""
    with (disk / "filler").open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue


def fetch_twice(folder: Path, disk: Path, stop: Callable[[], None], free: Callable[[], None]):
    """Fetch a file, let the disk fill up on the way, free it, and fetch again."""
    (folder / "served").mkdir(parents=True)
    (folder / "served" / "model.safetensors").write_bytes(np.random.default_rng(0).bytes(SIZE))
    with Hub({"org/one": folder / "served"}) as there:
        constants.ENDPOINT = there.url
        constants.HUGGINGFACE_CO_URL_TEMPLATE = (
            there.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        constants.HF_HUB_CACHE, constants.HF_HUB_OFFLINE = str(disk / "cache"), False
        constants.DOWNLOAD_CHUNK_SIZE = 2**16
        found = hub.listing("org/one")
        steps = iter([*[lambda: None] * 9, stop])
        sentence = ""
        try:
            hub.fetch(found, found.files[0], lambda count: next(steps, lambda: None)())
        except OSError as error:
            sentence = str(error)
        parts = [path.stat().st_size for path in (disk / "cache").rglob("*.part")]
        free()
        there.asked.clear()
        path = hub.fetch(found, found.files[0])
        whole = path.read_bytes() == (folder / "served" / path.name).read_bytes()
        asked = [each for _, name, each in there.asked if name.endswith(path.name)]
    return {"said": sentence, "parts": parts, "asked": asked, "whole": whole}


def keep_twice(disk: Path):
    """Keep pictures until the disk is full, free it, and keep the same ones again."""
    store = Store(disk / "store")
    rng = np.random.default_rng(0)
    pictures = {
        f"{n:064x}": Generation(
            image=Image.fromarray(rng.integers(0, 256, (300, 300, 3), dtype=np.uint8))
        )
        for n in range(4)
    }
    first = dict(list(pictures.items())[:1])
    store.put_generations(first, META)
    fill(disk)
    sentence = ""
    try:
        store.put_generations(pictures, META)
    except StoreError as error:
        sentence = str(error)
    before = sorted(store.generations(list(pictures)))
    (disk / "filler").unlink()
    store.put_generations(pictures, META)
    after = sorted(store.generations(list(pictures)))
    return {
        "said": sentence,
        "before": before == list(first),
        "after": after == list(pictures),
        "problems": store.verify(),
    }


def on_a_small_disk(folder: str) -> None:
    """Do both on a disk of 8 MiB; run by a process of its own, with a mount of its own."""
    disk = Path(folder, "disk")
    free = (disk / "filler").unlink
    fetched = fetch_twice(Path(folder), disk, lambda: fill(disk), free)
    shutil.rmtree(disk / "cache")
    sys.stdout.write(json.dumps({"fetched": fetched, "kept": keep_twice(disk)}))


def with_small_files(folder: str) -> None:
    """Fetch where no file may grow beyond 1 MB, which needs no rights; then where it may."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    fetched = fetch_twice(Path(folder), Path(folder), lambda: limit(1_000_000), lambda: limit(hard))
    sys.stdout.write(json.dumps(fetched))


def child(function: Callable[[str], None], folder: Path, *before: str):
    """Run a function of this file in another process; answer what it printed."""
    code = f"from tests.system.test_disk import {function.__name__} as f; f({str(folder)!r})"
    done = subprocess.run(
        [*before, sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_on_a_full_disk_a_download_and_a_store_say_so_and_go_on_once_there_is_room(tmp_path):
    (tmp_path / "disk").mkdir()
    mount = f"mount -t tmpfs -o size=8m none {shlex.quote(str(tmp_path / 'disk'))}"
    own = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if not shutil.which("unshare") or subprocess.run([*own, "sh", "-c", mount]).returncode:
        pytest.skip("no small disk can be mounted here; files of limited size stand in for it")
    found = child(on_a_small_disk, tmp_path, *own, "sh", "-c", f'{mount} && exec "$@"', "sh")
    fetched, kept = found["fetched"], found["kept"]
    assert fetched["said"] == (
        "the disk is full; free some space, or set HF_HOME to a folder elsewhere; what was fetched "
        "is kept: the same command goes on from there"
    )
    goes_on(fetched)
    assert kept["said"].startswith(f"the disk of the store {tmp_path}/disk/store is full; free ")
    assert (kept["before"], kept["after"], kept["problems"]) == (True, True, [])


def test_a_download_that_may_not_grow_is_told_and_goes_on_where_it_stopped(tmp_path):
    fetched = child(with_small_files, tmp_path)
    assert fetched["said"] == (
        "org/one cannot be fetched: [Errno 27] File too large; what was fetched is kept: the same "
        "command goes on from there"
    )
    goes_on(fetched)


def goes_on(fetched) -> None:
    """Hold a second download to begin where the first was stopped."""
    (begun,) = fetched["parts"]
    assert 0 < begun < SIZE
    assert fetched["asked"] == [f"bytes={begun}-"]
    assert fetched["whole"]
