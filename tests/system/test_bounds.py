"""What is asked for is bounded, and what is nested too deeply is told: each in a sentence."""

from __future__ import annotations

import re

import numpy as np
import pytest
from typer.testing import CliRunner

import workbench as wb
from workbench import catalogue, keys, pipeline
from workbench.catalogue import add, download
from workbench.cli import app
from workbench.generators.archive import Archive
from workbench.store.store import Store
from workbench.weights.checkpoint import check_parts, pipeline_class, resolve_class

OPTIONS = [
    ({"gamma": 1.5}, "gamma, the candidate images per model, is a whole number; seen 1.5"),
    ({"gamma": float("nan")}, "is a whole number; seen nan"),
    ({"gamma": "4"}, "is a whole number; seen '4'"),
    ({"gamma": True}, "is a whole number; seen True"),
    ({"gamma": 10**9}, "is at most 10000; seen 1000000000"),
    ({"gamma": 10**5000}, "is at most 10000; seen a number of more than 30 digits"),
    ({"gamma": -3}, "is at least 1; seen -3"),
    ({"seed": [1]}, "the seed of a run is a whole number from -2**63 to 2**63 - 1; seen [1]"),
    ({"seed": None}, "seen None"),
    ({"seed": 1.0}, "seen 1.0"),
    ({"seed": 2**63}, f"seen {2**63}"),
    ({"seed": -(10**5000)}, "seen a number of more than 30 digits"),
    ({"prompt": 5}, "a prompt is text; seen 5"),
    ({"prompt": ["a"]}, "a prompt is text; seen ['a']"),
    ({"prompt": "a" * 10_001}, "a prompt has at most 10,000 characters; this one has 10,001"),
    ({"preset": ["pocket"]}, "a preset is a name, a Preset or a Setting; seen ['pocket']"),
    ({"aggregate": ["mean"]}, "no aggregation named ['mean']; there are: "),
]


@pytest.mark.parametrize(("options", "sentence"), OPTIONS, ids=range(len(OPTIONS)))
def test_an_option_of_another_type_or_beyond_bounds_is_refused(options, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        wb.settle(**options)
    assert len(str(caught.value)) < 300


def test_what_lies_within_the_bounds_is_taken():
    found = wb.settle("pocket", gamma=np.int64(keys.MAX_GAMMA), seed=-(2**63), prompt="a" * 10_000)
    assert (found.gamma, found.seed) == (keys.MAX_GAMMA, -(2**63))


def test_no_stage_draws_without_bound(tmp_path):
    import pandas as pd

    prompts = pd.DataFrame({"prompt_id": ["x"], "prompt": ["a"]})
    with (
        Store(tmp_path) as store,
        pytest.raises(ValueError, match="is at most 10000; seen 1000000"),
    ):
        pipeline.generate(prompts, {"x": Archive("x")}, 10**6, 0, store)


COMMANDS = {
    "attribute x.png --seed 99999999999999999999 --prompt a": "the seed of a run is a whole number",
    "attribute x.png --gamma 1000000000 --prompt a": "is at most 10000; seen 1000000000",
    f"attribute x.png --prompt {'a' * 10_001}": "a prompt has at most 10,000 characters",
    f"generate --generator pocket-sd --out o --prompt {'a' * 10_001}": "a prompt has at most",
    "generate --generator pocket-sd --out o --prompt a --seeds " + "9" * 5000: "seeds are written",
    "generate --generator pocket-sd --out o --prompt a --seeds 0:100000,100000:200000": "at most",
    "attribute x.png --similarity Cosine(" + "1+" * 900 + "x)": "is nested more than 60 deep",
    "attribute x.png --similarity Cosine(" + "[" * 90 + "]" * 90 + ")": "is nested more than 60",
    "attribute x.png --inverter Blip(" + "-" * 5000 + "1)": "is not a repr such as|nested more",
    "attribute x.png --zoo Archive(" + "[" * 150 + "]" * 150 + "),pocket-sd": "nested more than 60",
    "attribute x.png --zoo Archive(5),pocket-sd": "the source of an archive is a path; seen 5",
    "attribute x.png --zoo Archive('x',columns=5),pocket-sd": "Archive cannot be made like this",
}


@pytest.mark.parametrize("command", COMMANDS, ids=range(len(COMMANDS)))
def test_a_command_beyond_bounds_gets_one_sentence_and_exit_code_2(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = CliRunner(env={"COLUMNS": "400"}).invoke(app.app, command.split())
    assert told.exit_code == 2, told.output
    assert re.search(COMMANDS[command], told.stderr)
    assert len(told.stderr) < 1500
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("variable", ["WORKBENCH_STORE", "WORKBENCH_CATALOGUE"])
def test_the_home_of_a_user_who_is_not_known_is_told(monkeypatch, variable):
    monkeypatch.setenv(variable, "~nosuchuser/x")
    words = ["store", "info"] if variable == "WORKBENCH_STORE" else ["zoo", "list"]
    told = CliRunner().invoke(app.app, words)
    assert told.exit_code == 2
    assert told.stderr.startswith("workbench: the path '~nosuchuser/x' begins with the home of a")


def test_a_deeply_nested_catalogue_is_told(tmp_path, monkeypatch):
    file = tmp_path / "generators.toml"
    file.write_text("a = " + "[" * 5000 + "]" * 5000)
    monkeypatch.setenv("WORKBENCH_CATALOGUE", str(tmp_path))
    with pytest.raises(ValueError, match=f"^{file} is nested too deeply$"):
        catalogue.load("pocket-sd", "generator")


def test_a_deeply_nested_config_is_told(tmp_path):
    (tmp_path / "config.json").write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(ValueError, match=r"config\.json is nested too deeply"):
        download.read_config(tmp_path / "config.json")


# Classes that a model folder names


@pytest.mark.parametrize(
    "name",
    [
        "utils.subprocess.Popen",
        "os.system",
        "UNet2DModel",
        "",
        None,
        5,
        ["StableDiffusionPipeline"],
    ],
)
def test_a_folder_names_a_pipeline_of_diffusers_or_nothing_is_imported(tmp_path, name, monkeypatch):
    import json

    from workbench.weights import checkpoint

    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": name}))
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(checkpoint, "resolve_class", lambda name: pytest.fail(name))
    with pytest.raises(ValueError, match="which is no pipeline of diffusers: nothing of it is"):
        add.row_of(str(tmp_path), size=64)


def test_a_pipeline_of_diffusers_is_found_by_its_name():
    assert pipeline_class("StableDiffusionPipeline").__name__ == "StableDiffusionPipeline"


@pytest.mark.parametrize(
    "part",
    [
        ["antigravity", "X"],
        ["subprocess", "Popen"],
        ["diffusers.utils", "X"],
        ["..", "X"],
        ["diffusers", "a.b"],
        ["", ""],
    ],
)
def test_a_part_from_elsewhere_is_refused_before_anything_is_imported(part):
    with pytest.raises(ValueError, match="which is none that the part 'unet' of a pipeline may"):
        check_parts({"_class_name": "X", "unet": part})


def test_the_parts_of_honest_pipelines_are_let_through():
    check_parts(
        {
            "_class_name": "X",
            "unet": ["diffusers", "UNet2DConditionModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
            "bert": ["latent_diffusion", "LDMBertModel"],
            "feature_extractor": [None, None],
            "requires_safety_checker": True,
            "sides": [512, 512],
        }
    )


@pytest.mark.parametrize(
    "name", ["transformers.utils.hub.Path", "diffusers..X", "diffusers.a b", "transformers.tuple"]
)
def test_a_row_names_a_class_of_the_library_itself(name):
    with pytest.raises(ValueError, match="for a checkpoint; there are: classes of diffusers"):
        resolve_class(name)


# Prompts that anybody wrote


@pytest.mark.parametrize("kind", ["in the file", "known"])
def test_a_prompt_beyond_bounds_is_a_failure_of_that_picture_alone(tmp_path, kind):
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from workbench import frames, images
    from workbench.pipeline.inversion import invert

    texts = {"long": "a" * 10_001, "good": "a fish"}
    rows = []
    for number, (name, text) in enumerate(texts.items()):
        told = PngInfo()
        told.add_text("parameters", f"{text}\nSteps: 20, Sampler: Euler, Seed: 1, Size: 8x8")
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{name}.png", pnginfo=told)
        image_id, _, _ = images.image_id(tmp_path / f"{name}.png")
        told_row = {"image_id": image_id, "path": str(tmp_path / f"{name}.png"), "prompt": text}
        rows.append(told_row | {"attack": "none", "intensity": 0.0})
    table = frames.build("images", rows)
    tool = wb.Metadata() if kind == "in the file" else wb.Natural()
    with Store(tmp_path / "store") as store:
        found = invert(table, tool, store)
    long, good = found.to_dict("records")
    assert long["failure"] == "a prompt has at most 10,000 characters; this one has 10,001"
    assert good["prompt"] == "a fish"
