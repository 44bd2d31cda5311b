"""A row: what it may hold, how its weights are known, and what is told where they are away."""

from __future__ import annotations

import dataclasses
import shutil

import pytest

from tests.support.models import tiny
from tests.weights.conftest import row_over
from workbench.generators.diffusers import Diffusers
from workbench.weights.checkpoint import Checkpoint, locate, missing, resolve_class
from workbench.weights.safety import safe_loader_kwargs


def test_options_are_frozen_whatever_they_come_as():
    row = row_over("/x", options={"steps": [2, 3], "eta": 0}, stages=["base", "up"])
    assert row.options == (("eta", 0), ("steps", (2, 3)))
    assert row.stages == ("base", "up")
    assert hash(row) == hash(
        row_over("/x", options=(("eta", 0), ("steps", (2, 3))), stages=("base", "up"))
    )
    assert dataclasses.replace(row) == row
    assert repr(row) == "mine"


def test_a_shape_must_be_possible():
    sentence = (
        "checkpoint 'mine' needs batch, threads and size of at least 1, and a memory of 0 or more, "
        "of which the largest part is one; they are {}"
    )
    with pytest.raises(ValueError, match=f"^{sentence.format('0, 2, 64, 0.0 and 0.0')}$"):
        row_over("/x", batch=0)
    with pytest.raises(ValueError, match=f"^{sentence.format('4, 2, 64, 3.0 and 4.0')}$"):
        row_over("/x", memory=3.0, largest=4.0)


@pytest.mark.parametrize("revision", ["../..", "a b/c", ".."])
def test_a_revision_is_a_commit(revision):
    with pytest.raises(ValueError, match=r"^checkpoint 'mine' has the revision .*, which is no co"):
        row_over("org/x", revision=revision)


def test_a_dtype_must_be_known():
    sentence = "checkpoint 'mine' has no dtype 'fp16'; there are: float32, float16, bfloat16"
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        row_over("/x", dtype="fp16")


def test_weights_are_known_by_names_and_contents_and_not_by_place(folder, tmp_path):
    digest = row_over(folder).digest()
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert row_over(tmp_path / "elsewhere").digest() == digest
    (folder / ".hidden").write_text("a file manager was here")
    assert row_over(folder).digest() == digest
    (folder / "unet" / "weights.safetensors").write_bytes(b"other weights")
    assert row_over(folder).digest() != digest
    (tmp_path / "elsewhere" / "model_index.json").rename(tmp_path / "elsewhere" / "index.json")
    assert row_over(tmp_path / "elsewhere").digest() != digest


def test_hub_weights_are_known_by_their_commit():
    row = Checkpoint("far", "generator", "plugin", "org/model", revision="abc")
    assert row.digest() == "org/model@abc"
    stages = ("org/model", "org/up")
    both = dataclasses.replace(row, stages=stages, revision="abc def")
    assert both.digest() == "org/model@abc org/up@def"
    with pytest.raises(LookupError, match=r"`workbench zoo download far` fetches them$"):
        dataclasses.replace(row, stages=stages).digest()


def test_missing_weights_are_one_sentence(tmp_path):
    gone = tmp_path / "gone"
    sentence = f"the weights of 'mine' are not in {gone}; restore them or choose another model"
    for ask in (Checkpoint.digest, locate):
        with pytest.raises(LookupError, match=f"^{sentence}$"):
            ask(row_over(gone))


def test_weights_of_a_hub_that_are_here_and_fail_are_not_fetched_again(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    row = Checkpoint("far", "generator", "p", "org/model", revision="abc")
    tiny.hollow(tmp_path / "models--org--model" / "snapshots" / "abc")
    sentence = (
        "the weights of 'far' cannot be loaded: no config; `workbench zoo verify far` checks their "
        "files"
    )
    assert str(missing(row, "no config")) == sentence


def test_a_hub_row_never_asks_the_network_unasked():
    row = Checkpoint(
        "far", "generator", "p", "org/model", class_name="diffusers.StableDiffusionPipeline"
    )
    fetch = "`workbench zoo download far` fetches them"
    sentence = r"the weights of 'far' \(org/model\) are not on this computer; "
    for ask in (Checkpoint.digest, locate, safe_loader_kwargs):
        with pytest.raises(LookupError, match=f"^{sentence}{fetch}$"):
            ask(row)
    with pytest.raises(LookupError, match=f"^{sentence}{fetch}$"):
        Diffusers(row)(["x"], [0])
    gated = dataclasses.replace(row, gated=True)
    page = "https://huggingface.co/org/model"
    first = f"accept the licence at {page} and log in with `hf auth login`, then "
    with pytest.raises(LookupError, match=f"^{sentence}{first}{fetch}$"):
        locate(gated)
    gone = "'far' was withdrawn by its owner, and its weights are not on this computer; "
    with pytest.raises(LookupError, match=f"^{gone}choose another model$"):
        locate(dataclasses.replace(row, status="withdrawn"))


@pytest.mark.parametrize("name", ["os.system", "subprocess.Popen", "diffusers.Nothing", "x", ""])
def test_a_row_may_name_only_classes_of_the_libraries(name):
    sentence = (
        f"no class '{name}' for a checkpoint; there are: "
        "classes of diffusers, transformers, open_clip, workbench"
    )
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        resolve_class(name)


def test_classes_resolve():
    assert resolve_class("workbench.generators.diffusers.Diffusers") is Diffusers
    found = resolve_class("diffusers.StableDiffusionPipeline")
    assert found.__name__ == "StableDiffusionPipeline"
