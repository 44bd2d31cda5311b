"""The training loop: a killed run resumes to the same weights as one left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from workbench import paths
from workbench.pocket import manifest, train
from workbench.pocket.data import training_folder
from workbench.pocket.recipes import clip
from workbench.pocket.training import History, write_checkpoint

SCRIPT = """
import sys, time, torch
from torch import nn
from workbench.pocket.training import fit

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))

def loss(step):
    time.sleep(float(sys.argv[1]))
    x = torch.randn(16, 4, generator=step.generator)
    y = torch.from_numpy(step.rng.normal(size=(16, 1))).float() * 0.1 + x.sum(1, keepdim=True)
    return (model(x) - y).square().mean()

history = fit("toy", model, loss, steps=120, batch=16, learning_rate=1e-2, seed=3, every=0.05,
              numbers="float32")
print(history.done, history.losses[-1][0])
"""


def run(folder: Path, pause: float) -> subprocess.Popen:
    environment = {**os.environ, "WORKBENCH_TRAINING": str(folder)}
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(pause)], env=environment,
                            stdout=subprocess.PIPE, text=True)  # fmt: skip


def test_a_killed_training_resumes_to_the_same_weights(tmp_path: Path) -> None:
    left_alone, killed = run(tmp_path / "a", 0), run(tmp_path / "b", 0.02)
    checkpoint = tmp_path / "b" / "toy.safetensors"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert killed.returncode == -signal.SIGKILL
    assert left_alone.communicate(timeout=120)[0].split() == ["120", "120"]
    resumed = run(tmp_path / "b", 0)
    assert resumed.communicate(timeout=120)[0].split() == ["120", "120"]
    a, b = (load_file(tmp_path / name / "toy.safetensors") for name in "ab")
    assert a.keys() == b.keys()
    assert all((a[key] == b[key]).all() for key in a)


def test_an_unknown_recipe_is_one_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "workbench.pocket.train", "sdd"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert (
        done.stderr == "no recipe named 'sdd'; there are: "
        "clip, sd, ld, glide, dalle, blip, sd2, pixart, all\n"
    )
    assert done.stdout == ""


@pytest.mark.parametrize("name", [name for name in train.RECIPES if manifest.home(name).exists()])
def test_training_goes_on_from_the_shipped_weights(name, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WORKBENCH_TRAINING", str(tmp_path))
    train.thaw(name)
    told = manifest.read(manifest.home(name).parent)[f"pocket-{name}"]["training"]
    for key, files in train.SHIPPED[name].items():
        checkpoint, part = key.split("/")
        if not files:  # of other shapes by now: kept in data/training, or begun anew
            continue
        with safe_open(tmp_path / f"{checkpoint}.safetensors", "pt") as file:
            assert json.loads(file.metadata()["history"])["done"] == told[part]["done"]


def test_what_is_kept_of_a_training_is_gone_on_from(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WORKBENCH_TRAINING", str(tmp_path / "out"))
    monkeypatch.setattr(paths, "PLACES", [tmp_path])
    (tmp_path / "catalogue").mkdir()
    weights = {"a": torch.rand(3), "b": torch.rand(2, 2)}
    history = History(seed=1, steps=9, batch=2, learning_rate=0.1, done=4)
    average = {name: value / 2 for name, value in weights.items()}
    path = training_folder() / "glide-base.safetensors"
    write_checkpoint(path, weights, average, {}, history)
    assert train.main(["glide", "--keep"]) == 0
    path.unlink()
    train.thaw("glide")
    found = load_file(path)
    for name, value in average.items():
        torch.testing.assert_close(found[f"model/{name}"], value, rtol=1e-3, atol=1e-3)
        assert (found[f"average/{name}"] == found[f"model/{name}"]).all()
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["history"])["done"] == 4
    assert not (training_folder() / "glide-upsampler.safetensors").exists()


def test_shipped_weights_fill_the_whole_encoder(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WORKBENCH_TRAINING", str(tmp_path))
    train.thaw("clip")
    model, _ = clip.build()
    found = {key.removeprefix("model/clip.") for key in load_file(tmp_path / "clip.safetensors")}
    assert {name for name, _ in model.named_parameters()} <= found


@pytest.mark.parametrize(
    "text",
    ["an ink drawing of a red star, a blue fish and a green tree on sand", "Zebra Café 3 ☂", ""],
)
def test_the_clip_tokenizer_writes_any_prompt_and_ends_with_its_highest_id(text: str) -> None:
    from workbench.pocket.tokenizers import CONTEXT, clip_tokenizer

    tokenizer = clip_tokenizer()
    ids = tokenizer(text, padding="max_length", max_length=CONTEXT, truncation=True).input_ids
    assert len(ids) == CONTEXT
    assert max(ids) == tokenizer.eos_token_id == len(tokenizer) - 1
    assert ids[0] == tokenizer.bos_token_id
