"""Checkpoints: identity, safe loading, names."""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from tests import tiny
from workbench.generators.archive import Archive
from workbench.generators.diffusers import Diffusers
from workbench.inverters.blip import Blip
from workbench.inverters.empty import Empty
from workbench.plugin import Plugin, identity, options_of, short
from workbench.weights.checkpoint import Checkpoint, locate, missing, resolve_class
from workbench.weights.safety import safe_loader_kwargs


def _row(folder, **fields):
    return Checkpoint("mine", "encoder", "plugin", str(folder), **fields)


@pytest.fixture
def folder(tmp_path):
    return tiny.hollow(tmp_path / "mine")


def test_options_are_frozen_whatever_they_come_as():
    row = _row("/x", options={"steps": [2, 3], "eta": 0}, stages=["base", "up"])
    assert row.options == (("eta", 0), ("steps", (2, 3)))
    assert row.stages == ("base", "up")
    assert hash(row) == hash(
        _row("/x", options=(("eta", 0), ("steps", (2, 3))), stages=("base", "up"))
    )
    assert dataclasses.replace(row) == row
    assert repr(row) == "mine"


def test_a_shape_must_be_possible():
    sentence = (
        "checkpoint 'mine' needs batch, threads and size of at least 1, and a memory of 0 or more; "
        "they are 0, 2, 64 and 0.0"
    )
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        _row("/x", batch=0)


@pytest.mark.parametrize("revision", ["../..", "a b/c", ".."])
def test_a_revision_is_a_commit(revision):
    with pytest.raises(ValueError, match=r"^checkpoint 'mine' has the revision .*, which is no co"):
        _row("org/x", revision=revision)


def test_a_dtype_must_be_known():
    sentence = "checkpoint 'mine' has no dtype 'fp16'; there are: float32, float16, bfloat16"
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        _row("/x", dtype="fp16")


def test_weights_are_known_by_names_and_contents_and_not_by_place(folder, tmp_path):
    digest = _row(folder).digest()
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert _row(tmp_path / "elsewhere").digest() == digest
    (folder / ".hidden").write_text("a file manager was here")
    assert _row(folder).digest() == digest
    (folder / "unet" / "weights.safetensors").write_bytes(b"other weights")
    assert _row(folder).digest() != digest
    (tmp_path / "elsewhere" / "model_index.json").rename(tmp_path / "elsewhere" / "index.json")
    assert _row(tmp_path / "elsewhere").digest() != digest


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
            ask(_row(gone))


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


def test_pickled_weights_are_refused(tmp_path):

    tiny.build("tiny-sd", tmp_path)
    unet = tmp_path / "tiny-sd" / "unet"
    (unet / "diffusion_pytorch_model.safetensors").unlink()
    torch.save({}, unet / "diffusion_pytorch_model.bin")
    with pytest.raises(LookupError, match=r"^the weights of 'tiny-sd' cannot be loaded: "):
        Diffusers(tiny.row("tiny-sd", tmp_path))(["x"], [0])


@dataclass(frozen=True, repr=False)
class Outside(Plugin):
    """A plug-in of somebody else."""

    strength: float = 1.0
    revision: ClassVar[int] = 3

    def __call__(self, images):
        return images


@dataclass(frozen=True, repr=False)
class Around(Plugin):
    """A plug-in around another."""

    inner: object


class Nameless:
    def __call__(self, images):
        return images


def test_a_name_writes_what_differs_from_the_default():
    row = _row("/x")
    assert repr(Diffusers(row)) == 'Diffusers("mine")'
    assert repr(Diffusers(row, steps=3, guidance=2.5)) == 'Diffusers("mine", steps=3, guidance=2.5)'
    assert repr(Around(Outside(strength=0.5))) == "Around(Outside(strength=0.5))"
    assert repr(Archive('a "quoted"/é', generator=None)) == 'Archive("a \\"quoted\\"/é")'
    assert short(Diffusers(row)) == '"mine"'
    assert short(Diffusers(row, steps=3)) == 'Diffusers("mine", steps=3)'
    assert short(Empty()) == "Empty()"


def test_identity_names_what_can_change_the_answer(folder):
    def key(plugin):
        return json.dumps(identity(plugin), sort_keys=True)

    row = _row(folder, options={"steps": 2})
    assert key(Diffusers(row)) == key(Diffusers(_row(folder, options={"steps": 2}, licence="MIT")))
    for change in ({"batch": 8}, {"threads": 1}, {"options": {"steps": 3}}, {"size": 32}):
        assert key(Diffusers(row)) != key(Diffusers(dataclasses.replace(row, **change)))
    assert key(Diffusers(row)) != key(Diffusers(row, steps=3))
    assert str(folder) not in key(Diffusers(row))
    before = key(Diffusers(row))
    (folder / "unet" / "weights.safetensors").write_bytes(b"trained longer")
    assert key(Diffusers(row)) != before
    assert identity(Empty()) == {"revision": 1, "repr": "Empty()"}


def test_identity_of_what_is_not_ours_holds_its_source():
    found = identity(Outside())
    assert found is not None
    assert (found["revision"], found["repr"], len(found["source"])) == (3, "Outside()", 64)
    inner = identity(Around(Outside()))
    assert inner is not None
    assert inner["inner"] == found


def test_without_source_or_a_name_nothing_is_cached():
    scope: dict = {"dataclass": dataclass, "Plugin": Plugin, "__name__": "elsewhere"}
    exec("@dataclass(frozen=True, repr=False)\nclass Typed(Plugin):\n    pass", scope)
    assert identity(scope["Typed"]()) is None
    assert identity(Nameless()) is None
    assert identity(Around(Nameless())) is None
    assert identity(lambda images: images) is None


def test_pickles_are_refused_and_read_only_where_the_row_says_so(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle")
    sentence = (
        r"^the weights of 'mine' are a pickle \(pytorch_model.bin\), which can run code: it was "
        "not read. Choose a checkpoint with safetensors, or, if you trust who made it, write "
        r"allow_pickle = true under \[mine\] into your catalogue "
        r"\(it is then read with weights_only\)$"
    )
    with pytest.raises(LookupError, match=sentence):
        safe_loader_kwargs(_row(tmp_path))
    assert safe_loader_kwargs(_row(tmp_path, allow_pickle=True))["use_safetensors"] is None
    (tmp_path / "model.safetensors").write_bytes(b"safe")
    assert safe_loader_kwargs(_row(tmp_path))["use_safetensors"] is True


def test_code_beside_weights_runs_only_for_a_row_that_is_named(folder, monkeypatch):
    row = _row(folder, remote_code=True)
    sentence = (
        f"^'mine' runs code that comes with its weights: read it in {folder}, then set "
        "WORKBENCH_TRUST=mine to let it run$"
    )
    monkeypatch.setenv("WORKBENCH_TRUST", "other")
    with pytest.raises(LookupError, match=sentence):
        safe_loader_kwargs(row)
    monkeypatch.setenv("WORKBENCH_TRUST", "other,mine")
    assert safe_loader_kwargs(row)["trust_remote_code"] is True
    assert safe_loader_kwargs(_row(folder))["trust_remote_code"] is False


def test_settings_are_fields_then_options_of_the_row_then_defaults(folder):
    row = _row(folder, options={"beams": 2, "prefix": "a picture of "})
    blip = Blip(row, beams=5)
    found = options_of(blip, {"prefix": "", "beams": 3, "min_length": 5})
    assert found == {"prefix": "a picture of ", "beams": 5, "min_length": 5}
    strange = Blip(_row(folder, options={"beems": 2}))
    sentence = "'mine' has no option 'beems'; there are: beams, max_length, min_length, prefix"
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        options_of(strange, {})
