"""The path of the pages over a hub: from the doctor to a ranking."""

from __future__ import annotations

import json
import subprocess
import sys

from huggingface_hub import constants
from PIL import Image
from typer.testing import CliRunner

from tests.support.hub import Hub
from tests.support.pages import ROOT
from workbench.cli.app import app


def commands_of_the_page():
    """Read the commands of the section on hubs, in order."""
    text = (ROOT / "docs/howto/your_pictures_your_models.md").read_text()
    section = text.split("## Checkpoints of a hub\n")[1].split("\n## ")[0]
    return [line.split()[1:] for line in section.splitlines() if line.startswith("workbench ")]


def test_the_path_from_doctor_to_a_ranking(folders, tmp_path, monkeypatch):
    with Hub(dict(folders)) as served:
        environment = served.environment(tmp_path)
        mine = tmp_path / "catalogue"
        mine.mkdir()
        small = ["sd-1-5", "sd-2-1-base", "lcm-dreamshaper"]
        rows = [f"[{name}]\nsize = 32\noptions = {{ steps = 2 }}\n" for name in small]
        (mine / "generators.toml").write_text("".join(rows))  # the tiny ones in their place
        (mine / "inverters.toml").write_text("[blip-base]\noptions = { max_length = 12 }\n")
        (mine / "presets.toml").write_text(
            '[presets.small]\nzoo = "small"\ninverter = "blip-base"\ngamma = 2\nsize = 32\n'
            'similarity = \'Cosine("clip-vit-l-14", layer=2)\'\naggregate = "max"\n'
            'prompts = "catalogue/captions.csv"\n'
        )

        def workbench(*words):
            words = [*words, "--yes"] if "download" in words else words  # nobody is here to ask
            done = subprocess.run(
                [sys.executable, "-m", "workbench", *words],
                capture_output=True,
                text=True,
                env=environment,
                cwd=tmp_path,
            )
            assert done.returncode == 0, done.stderr
            return " ".join(done.stdout.split()), done.stderr

        Image.effect_noise((48, 48), 60).convert("RGB").save(tmp_path / "suspect.png")
        doctor, listed, download, attribute = commands_of_the_page()
        assert f"{served.url} answers" in workbench(*doctor)[0]
        assert f"not here. Next: workbench {' '.join(download)}" in workbench(*listed)[0]
        assert (
            f"Next: `workbench attribute PICTURE {' '.join(attribute[2:])}`"
            in workbench(*download)[1]
        )
        before = len(served.asked)
        ranking, _ = workbench(*attribute)
        assert all(name in ranking for name in small)
        for name in ("WORKBENCH_CATALOGUE", "WORKBENCH_STORE"):
            monkeypatch.setenv(name, environment[name])
        monkeypatch.setattr(constants, "HF_HUB_CACHE", f"{environment['HF_HOME']}/hub")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        words = ["evaluate", "--preset", "small", "--n", "1", "--gamma", "1", "--json"]
        measured = CliRunner().invoke(app, words)
        assert measured.exit_code == 0, measured.output
        assert json.loads(measured.stdout)["accuracy"]["n"] == len(small)
        assert len(served.asked) == before  # attribution asks no network
