"""Ray fills the store and everything is as it would have been without it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from workbench import catalogue
from workbench.runners import using
from workbench.runners.ray import Ray

RUN = """
import sys
import pandas as pd
from tests.support import toys
from workbench import experiments, pipeline, frames
from workbench.catalogue.presets import Preset
from workbench.catalogue.setting import settle
from workbench.runners.ray import Ray
from workbench.similarities.cosine import Cosine
from workbench.store.store import Store

store, runner = Store(sys.argv[1]), Ray(actors=2) if sys.argv[2] == "ray" else None
preset = Preset("toy", "pocket", "natural", "ssim", size=16, gamma=2, prompts=sys.argv[3])
seen = []
setting = settle(
    preset, zoo=toys.zoo([]), inverter=toys.Teller(), similarity=Cosine(toys.Mean())
)
bench = experiments.Bench(
    setting, 10, store=store, runner=runner,
    progress=lambda stage, done, total: seen.append((stage, done, total)),
)
found = experiments.run("confusion", bench)
found.frames["results"].to_csv(sys.argv[1] + ".csv", index=False)
assert all(done <= total for _, done, total in seen)
"""


@pytest.mark.slow
def test_an_experiment_by_ray_equals_one_without(tmp_path):
    lines = [f"scene {i},{split}" for i, split in enumerate(["calibration", "evaluation"] * 20)]
    prompts = tmp_path / "prompts.csv"
    prompts.write_text("\n".join(["prompt,split", *lines]) + "\n")
    for runner in ("local", "ray"):
        code = [sys.executable, "-c", RUN, str(tmp_path / runner), runner, str(prompts)]
        subprocess.run(code, check=True, timeout=300)
    one, two = ((tmp_path / f"{runner}.csv").read_text() for runner in ("local", "ray"))
    assert one == two


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
