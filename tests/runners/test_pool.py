"""A machine that is lost in the middle of a run, with its actor and all that watches over it."""

from __future__ import annotations

import os
import signal
import threading

import pandas as pd
import pytest

from tests.runners.test_ray import BATCH, TEXTS, generated, kept, lines, texts_of, until
from tests.support.cluster import Seen, cluster
from workbench.runners.ray import Ray
from workbench.store.store import Store

NOTICED = {"RAY_health_check_period_ms": "100"}
"""Ray's own setting, by which a machine that refuses a hundred calls counts as lost after 10 s."""
pytestmark = pytest.mark.slow


def test_the_other_machine_makes_what_a_lost_one_was_to_make(tmp_path, store):
    log, homes = tmp_path / "log", [str(tmp_path / f"node-{place}") for place in range(2)]
    model, runner, before = Seen((0, 1, 1), log=str(log), wait=0.3), Ray(gpus=0), {}

    def here():
        return [line.split()[1] for line in lines(log, "at") if line.split()[2] == homes[1]]

    def lose(nodes):
        until(here)  # its actor is in the middle of a call
        os.kill(int(here()[0]), signal.SIGKILL)
        before["kept"], before["lines"] = kept(store, model), len(lines(log))
        nodes.remove_node(*nodes.worker_nodes, allow_graceful=False)

    with cluster(tmp_path, 0, 0, **NOTICED) as nodes, runner.session() as pool:
        ray = pool.ray()
        until(lambda: None not in [pool.actor(place) for place in range(2)])
        thread = threading.Thread(target=lose, args=[nodes])
        thread.start()
        table = generated(store, runner, model)
        thread.join()
        until(lambda: pool.actor(1))
        place = pool.actor(1).__ray_call__.remote(lambda _: os.environ["WORKBENCH_STORE"])
        assert ray.get(place) == homes[0], "a new actor is on the machine that is left"
    with Store(tmp_path / "quiet") as quiet:
        pd.testing.assert_frame_equal(table, generated(quiet, None, Seen((0, 1, 1))))
    assert store.verify() == []
    again = lines(log)[before["lines"] :]
    assert again, "it was in the middle of the run"
    assert not texts_of(again) & before["kept"]
    assert texts_of(lines(log)) == set(TEXTS)
    assert len(lines(log)) - len(set(lines(log))) <= BATCH
