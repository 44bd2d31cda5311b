"""Two nodes of a cluster, each with a store's folder of its own, make what one process would."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support import toys
from tests.support.cluster import Seen, cluster
from workbench import catalogue, pipeline
from workbench.keys import prompt_id
from workbench.runners import _pool, using
from workbench.runners.ray import Ray
from workbench.store.store import Store
from workbench.weights import device
from workbench.weights.checkpoint import Checkpoint

TEXTS = [f"scene {number}" for number in range(32)]
BATCH = 4
KILLS = range(int(os.environ.get("KILLS", "1")))
"""Moments at which something is killed: KILLS=5 tries five."""
pytestmark = pytest.mark.slow
DRIVER = """
import sys
from pathlib import Path
from tests.runners.test_ray import Ray, Seen, TEXTS, generated
from workbench.store.store import Store
generated(Store(sys.argv[1]), Ray(gpus=0), Seen((1, 0, 0), log=sys.argv[2], wait=0.2))
"""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """Two nodes, the second with a GPU, as far as Ray is told; the folder of their stores."""
    folder = tmp_path_factory.mktemp("nodes")
    with cluster(folder, 0, 1):
        yield folder


@pytest.fixture(scope="module")
def crew(nodes):
    """A runner whose actors live through all tests."""
    runner = Ray(gpus=0)
    with runner.session() as pool:
        pool.ray()
        until(lambda: None not in [pool.actor(place) for place in range(2)])
        yield runner


def prompts(texts):
    return pd.DataFrame({"prompt_id": list(map(prompt_id, texts)), "prompt": list(texts)})


def generated(store, runner, model, texts=TEXTS, gamma=1):
    """Generate by a runner; the candidates but for their seconds."""
    with using(runner):
        table = pipeline.generate(prompts(texts), {"model": model}, gamma, 0, store)
    return table.drop(columns="seconds")


def encoded(store, runner, encoder, ids):
    with using(runner):
        return pipeline.encode(ids, encoder, store, 16).rows(ids)


def files(store):
    """Return the files of the pictures of a store by their names."""
    return {path.name: path.read_bytes() for path in store.path.glob("pictures/??/*.png")}


def lines(log, word="make"):
    text = Path(log).read_text() if Path(log).exists() else ""
    return [line for line in text.splitlines() if line.startswith(f"{word} ")]


def kept(store, model):
    """Return the lines of the log of what a store has."""
    made = pipeline.stored(TEXTS, model, 1, 0, store)
    return {text for text, one in zip(TEXTS, made, strict=True) if one is not None}


def texts_of(some):
    return {line.partition(") ")[2].rpartition(" ")[0] for line in some}


def until(true, seconds=120):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to this"
        time.sleep(0.01)


def test_actors_of_two_nodes_make_what_one_process_makes_to_the_byte(crew, nodes, tmp_path):
    log = str(tmp_path / "log")
    models = [Seen((1, 0, 0), log=log, wait=0.05), catalogue.load("pocket-sd", steps=2)]
    tables = []
    for name, runner in (("local", None), ("cluster", crew)):
        with Store(tmp_path / name) as store:
            made = [generated(store, runner, model, TEXTS[:12], 2) for model in models]
            ids = list(made[0]["candidate_id"])
            vectors = encoded(store, runner, toys.Mean(), ids)
            tables.append((pd.concat(made), vectors.tobytes(), files(store)))
            assert store.verify() == []
    (one, vectors, pictures), (other, far, copies) = tables
    pd.testing.assert_frame_equal(one, other)
    assert vectors == far
    assert pictures == copies
    places = {line.split()[2] for line in lines(log, "at")} - {os.environ["WORKBENCH_STORE"]}
    assert places
    assert places <= {str(nodes / "node-0"), str(nodes / "node-1")}
    assert not any(map(os.path.exists, places))  # only the driver writes, into its own


def test_actors_without_a_gpu_go_to_the_nodes_in_turns(crew, nodes):
    with crew.session() as pool:
        ray = pool.ray()
        until(lambda: None not in [pool.actor(place) for place in range(2)])
        asked = [
            pool.actor(place).__ray_call__.remote(lambda _: os.environ["WORKBENCH_STORE"])
            for place in range(2)
        ]
        assert set(ray.get(asked)) == {str(nodes / "node-0"), str(nodes / "node-1")}


@pytest.mark.parametrize("kill", KILLS)
def test_an_actor_killed_at_a_random_moment_changes_nothing(crew, tmp_path, store, kill):
    log = tmp_path / "log"
    model, before = Seen((0, 1, 0), log=str(log), wait=0.2), {}
    moment = np.random.default_rng(kill).uniform(BATCH, len(TEXTS) - 2 * BATCH)

    def end():
        until(lambda: len(lines(log)) >= moment)
        before["kept"], before["lines"] = kept(store, model), len(lines(log))
        os.kill(int(lines(log, "at")[-1].split()[1]), signal.SIGKILL)

    thread = threading.Thread(target=end)
    thread.start()
    table = generated(store, crew, model)
    thread.join()
    with Store(tmp_path / "quiet") as quiet:
        pd.testing.assert_frame_equal(table, generated(quiet, None, Seen((0, 1, 0))))
    again = lines(log)[before["lines"] :]
    assert again
    assert not texts_of(again) & before["kept"]
    assert len(lines(log)) - len(set(lines(log))) <= BATCH


@pytest.mark.parametrize("kill", KILLS)
def test_a_driver_killed_at_a_random_moment_goes_on_with_nothing_made_twice(crew, tmp_path, kill):
    log, place = tmp_path / "log", tmp_path / "store"
    moment = np.random.default_rng(kill).uniform(3 * BATCH, len(TEXTS) - BATCH)
    code = [sys.executable, "-c", DRIVER, str(place), str(log)]
    with subprocess.Popen(code) as driver:
        until(lambda: len(lines(log)) >= moment or driver.poll() is not None)
        driver.kill()
    actors = {int(line.split()[1]) for line in lines(log, "at")}
    until(lambda: not any(map(lives, actors)))  # a GPU of theirs would be free again
    model, done = Seen((1, 0, 0), log=str(log)), len(lines(log))
    with Store(place) as store, Store(tmp_path / "quiet") as quiet:
        had = kept(store, model)
        assert had
        assert len(had) < len(TEXTS)
        table = generated(store, crew, model)
        pd.testing.assert_frame_equal(table, generated(quiet, None, Seen((1, 0, 0))))
        assert store.verify() == []
    assert texts_of(lines(log)[done:]) == set(TEXTS) - had


def lives(pid):
    """Return whether a process runs; one that ended and was not asked for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_what_ends_every_actor_is_told_of_the_picture_alone(crew, tmp_path, store, monkeypatch):
    monkeypatch.setattr(_pool, "TRIES", 2)
    texts = [*TEXTS[:2], "a deadly scene"]
    model = Seen((0, 0, 1), log=str(tmp_path / "log"))
    table = generated(store, crew, model, texts).set_index("prompt_id")["failure"]
    assert table.pop(prompt_id(texts[2])) == "2 machines of the cluster failed over it"
    assert table.isna().all()
    assert pipeline.stored(texts, model, 1, 0, store)[2] is None  # it may be asked for again


def test_a_machine_that_would_run_something_else_is_refused(crew, store, tmp_path, monkeypatch):
    names = toys.Mean(), catalogue.load("pocket-clip")
    ids = [store.put_picture(toys.Toy((1, 0, 0))(["x"], [seed])[0]) for seed in range(2)]
    with monkeypatch.context() as patch:  # this process has a GPU, as far as it knows
        patch.setattr(device, "kind", lambda: "cuda")
        encoded(store, crew, names[0], ids)
        with pytest.raises(
            ValueError,
            match=r"^the machine '.*' cannot take part: device of OpenClip\(\"pocket-clip\"\) is "
            r"'cpu' there, and 'cuda' where the run was started; give every machine",
        ):
            encoded(store, crew, names[1], ids)
    file = tmp_path / "weights" / "one"
    file.parent.mkdir()
    file.write_text("one")
    state = file.stat()
    model = Weighed(Checkpoint("mine", "generator", "", str(file.parent)))
    pipeline.stored(["x"], model, 1, 0, store)  # the digest of these weights is known here
    file.write_text("two")
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(ValueError, match=r"cannot take part: weights of Weighed\(mine\) is '"):
        generated(store, crew, model, ["x"])


class Weighed(toys.Toy):
    """A toy with weights."""

    def __init__(self, checkpoint):
        object.__setattr__(self, "checkpoint", checkpoint)

    def __repr__(self):
        return f"Weighed({self.checkpoint!r})"


def test_code_that_is_not_there_is_missed_in_a_sentence_and_a_notebooks_own_is_sent(
    crew, store, tmp_path
):
    from ray import cloudpickle

    file = tmp_path / "cells.py"
    file.write_text("from tests.support.toys import Toy\n\n\nclass Mine(Toy):\n    pass\n")
    spec = importlib.util.spec_from_file_location("cells", file)
    sys.modules["cells"] = cells = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cells)
    try:
        with pytest.raises(
            LookupError, match=r"^the machine '.*' cannot read what it was sent \(.*'cells'\); inst"
        ):
            generated(store, crew, cells.Mine((1, 1, 0)), ["x"])
        cloudpickle.register_pickle_by_value(cells)  # as of a class of a notebook
        table = generated(store, crew, cells.Mine((1, 1, 0)), ["x"])
    finally:
        del sys.modules["cells"]
    assert table["failure"].isna().all()


def test_an_error_of_a_plug_in_is_raised_as_it_is(crew, store):
    with pytest.raises(ValueError, match=r"^broken$"):
        encoded(store, crew, Broken(), [store.put_picture(toys.Toy((1, 0, 0))(["x"], [1])[0])])


class Broken(toys.Mean):
    def __call__(self, pictures):
        raise ValueError("broken")


def test_an_actor_takes_a_gpu_where_there_are_any_and_the_others_wait(nodes, tmp_path, store):
    log = str(tmp_path / "log")
    table = generated(store, Ray(actors=2), Seen((1, 0, 1), log=log), TEXTS[:8])
    assert table["failure"].isna().all()
    assert {line.split()[2] for line in lines(log, "at")} == {str(nodes / "node-1")}
    with pytest.raises(
        LookupError,
        match=r"^an actor takes 2 GPUs, and no machine of the cluster has more than 1$",
    ):
        generated(store, Ray(gpus=2), Seen((1, 1, 1)))


def test_what_reads_files_here_and_a_single_call_stay_here(store, tmp_path):
    class Here(Seen):
        local = True

    for model, texts in ((Here, TEXTS), (Seen, TEXTS[:BATCH])):
        log = str(tmp_path / model.__name__)
        table = generated(store, Ray(), model((0, 1, 1), log=log), texts)
        assert table["failure"].isna().all()
        assert {line.split()[1] for line in lines(log, "at")} == {str(os.getpid())}


def test_a_runner_has_a_name():
    assert catalogue.load("ray", "runner") == Ray()
    assert catalogue.load("Ray(actors=4, gpus=1)", "runner") == Ray(4, 1)
    with pytest.raises(LookupError, match=r"local, ray"):
        catalogue.load("rai", "runner")
    with pytest.raises(ValueError, match=r"^at least 1 actor and 0 GPUs are needed; seen Ray\("):
        Ray(actors=0)


def test_using_ends_with_its_block():
    from workbench import runners

    def refuse(*_):
        raise KeyError("used")

    with pytest.raises(KeyError, match="used"), using(refuse):
        runners.once(None, None)
    work = runners.Work({}, lambda keys: {}, None, None, 1)
    assert runners.once(work, lambda done: None) == {}
