"""--runner: known before anything is drawn, and in use while it is."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from workbench import experiments, runners
from workbench.evaluation import benchmark, calibration

PICTURE = Path(__file__).parents[2] / "data/samples/sample-01.png"
COMMANDS = {
    "attribute": (
        ["attribute", PICTURE],
        import_module("workbench.attribution.attribute"),
        "attribute",
    ),
    "evaluate": (["evaluate", "--n", 1], benchmark, "evaluate_preset"),
    "calibrate": (["calibrate"], calibration, "threshold"),
    "experiment": (["experiment", "confusion", "--n", 1], experiments, "run"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_measures_draws_by_the_runner_that_is_named(name, run, monkeypatch):
    words, module, function = COMMANDS[name]
    wrong = run(*words, "--runner", "rai")
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert "no runner named 'rai'" in wrong.stderr

    def drawn(*given, **_):
        bench = given[1] if function == "run" else None
        raise ValueError(f"by {bench.runner if bench else runners._used.get()}")

    monkeypatch.setattr(module, function, drawn)
    done = run(*words, "--runner", "Ray(actors=3)")
    assert done.exit_code == 2
    assert "by Ray(actors=3)" in done.stderr
