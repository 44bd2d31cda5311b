"""The job for SLURM, under commands that stand in for SLURM's and Ray's."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docs/howto/slurm.sh"
COMMANDS = {
    "scontrol": "printf 'one\\ntwo\\n'",
    "srun": 'while [ "${1#-}" != "$1" ]; do shift; done; exec "$@"',
    "hostname": "echo 10.0.0.1 fe80::1",
    "ray": 'echo "$@" >> "$LOG"; case "$*" in *--block) exec sleep 60;; esac',
    "workbench": 'until grep -q "start --address" "$LOG"; do sleep 0.02; done\n'
    'echo "$RAY_ADDRESS $@" >> "$LOG"; echo "$WORKBENCH_STORE" > "$PLACE"\n'
    'ls "$WORKBENCH_STORE" >> "$LOG"; touch "$WORKBENCH_STORE/made"\n'
    'trap "touch $WORKBENCH_STORE/stopped; exit 143" TERM; sleep "$LASTS" & wait; exit 3',
}
pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="SLURM's nodes have bash")


def job(folder, lasts):
    bin = folder / "venv/bin"
    bin.mkdir(parents=True)
    for name, text in COMMANDS.items():
        (bin / name).write_text(f"#!/bin/sh\n{text}\n")
        (bin / name).chmod(0o755)
    (bin / "activate").write_text(f"PATH={bin}:$PATH")
    kept = folder / "out/store"
    kept.mkdir(parents=True)
    (kept / "before").touch()
    told = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "x", "SLURM_JOB_NUM_NODES": "2"}
    own = {"SLURM_SUBMIT_DIR": str(folder), "VENV": str(folder / "venv"), "TMPDIR": str(folder)}
    more = {"LOG": str(folder / "log"), "PLACE": str(folder / "place"), "LASTS": str(lasts)}
    command = ["bash", str(SCRIPT), "evaluate", "--n", "2"]
    environment = os.environ | told | own | more | {"SLURM_GPUS_ON_NODE": "4"}
    return subprocess.Popen(command, env=environment, start_new_session=True)


@pytest.mark.parametrize(("lasts", "status"), [(0, 3), (50, 143)])
def test_a_job_starts_a_cluster_runs_the_command_and_brings_the_store_back(tmp_path, lasts, status):
    with job(tmp_path, lasts) as running:
        place = tmp_path / "place"
        while not (place.exists() and place.read_text()):
            assert running.poll() is None or place.exists()
            time.sleep(0.02)
        if lasts:  # the time is up
            time.sleep(0.2)
            running.send_signal(signal.SIGTERM)
        assert running.wait(30) == status
    log = (tmp_path / "log").read_text()
    address = "10.0.0.1:20007"
    assert "start --head --node-ip-address=10.0.0.1 --port=20007" in log
    assert f"start --address={address}" in log
    assert f"{address} evaluate --n 2 --runner Ray(actors=8)\nbefore\n" in log
    kept = {path.name for path in (tmp_path / "out/store").iterdir()}
    assert kept == {"before", "made"} | ({"stopped"} if lasts else set())
    assert not Path(place.read_text().strip()).exists()
