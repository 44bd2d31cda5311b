"""Weights of others run nothing: pickles, indexes, heads and code beside them."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import struct
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.support.models import tiny
from tests.support.pickles import Touch
from workbench.weights import loading
from workbench.weights.checkpoint import resolve_class
from workbench.weights.repository import PICKLES

LOADERS = {
    "tiny-sd": "diffusion_pytorch_model.bin",
    "tiny-dalle": "diffusion_pytorch_model.bin",
    "tiny-blip": "pytorch_model.bin",
    "tiny-git": "pytorch_model.bin",
    "tiny-llava": "pytorch_model.bin",
    "tiny-dino": "pytorch_model.bin",
    "tiny-clip": "open_clip_pytorch_model.bin",
    "tiny-timm": "pytorch_model.bin",
    "tiny-min-dalle": "encoder.pt",
}
"""A tiny model of each loader, and what its weights are called where they are a pickle."""
PICKLED = {
    "tiny-clip": "no open_clip_model.safetensors in",
    "tiny-timm": "no model.safetensors in",
}


@pytest.fixture
def copied(tmp_path):
    """Copy a tiny model, for a test to change its files; what was loaded is forgotten again."""

    def copy(name, **fields):
        made = tiny.checkpoint(name)
        shutil.copytree(made.source, tmp_path / "models" / name)
        return dataclasses.replace(made, source=str(tmp_path / "models" / name), **fields)

    yield copy
    loading.clear_weights()


def use(row):
    """Let a model do one picture."""
    tool = resolve_class(row.plugin)(row)
    return tool(["x"], [0]) if row.role == "generator" else tool([Image.new("RGB", (32, 32))])


def harm(row, touched, name=None):
    """Write weights as pickles that touch a file; under their own name where none is given."""
    for safe in Path(row.source).rglob("*.safetensors"):
        state = {key: value.clone() for key, value in load_file(safe).items()}
        safe.unlink()
        new = name or safe.name
        if name == "diffusion_pytorch_model.bin" and not safe.name.startswith("diffusion"):
            new = "pytorch_model.bin"
        new = f"{safe.stem}.pt" if name == "encoder.pt" else new
        torch.save(state | {"more": Touch(touched)}, safe.with_name(new))


def refused(row):
    """Return the one sentence by which a model is refused."""
    with pytest.raises(LookupError) as caught:
        use(row)
    assert type(caught.value) is LookupError
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", LOADERS)
def test_a_pickle_is_refused_by_every_loader_and_nothing_in_it_runs(copied, tmp_path, name):
    touched, row = tmp_path / "touched", copied(name)
    harm(row, touched, LOADERS[name])
    pickled = r"are a pickle \([\w.]+\), which can run code: it was not read\. Choose a checkpoint "
    pickled += rf"with safetensors, or, .* allow_pickle = true under \[{name}\]"
    assert re.match(f"the weights of '{name}' {pickled}", refused(row))
    told = refused(dataclasses.replace(row, allow_pickle=True))
    assert PICKLED.get(name, "a pickle holds more than tensors, or is damaged") in told
    assert not touched.exists()
    file = next(path for path in Path(row.source).rglob("*") if path.suffix in PICKLES)
    torch.load(file, weights_only=False)
    assert touched.exists()  # so the files were harmful


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("name", LOADERS)
def test_a_pickle_named_safetensors_is_damaged(copied, tmp_path, name, allowed):
    touched, row = tmp_path / "touched", copied(name, allow_pickle=allowed)
    harm(row, touched)
    assert refused(row).startswith(f"the weights of '{name}' cannot be loaded: ")
    assert not touched.exists()


@pytest.mark.parametrize("target", ["../outside.safetensors", "shard.bin"])
@pytest.mark.parametrize("name", ["tiny-sd", "tiny-blip", "tiny-git", "tiny-dino"])
def test_an_index_of_shards_leads_nowhere_else(copied, name, target):
    row = copied(name)
    safe = next(Path(row.source).rglob("*.safetensors"))
    whole = dict.fromkeys(load_file(safe), target)
    safe.replace(safe.parent / target)
    (safe.parent / f"{safe.name}.index.json").write_text(json.dumps({"weight_map": whole}))
    (safe.parent / "other.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    assert refused(row) == (
        f"{safe.name}.index.json of '{name}' names the file '{target}', and its shards are "
        "safetensors beside it: nothing was read; choose another checkpoint"
    )


@pytest.mark.parametrize("part", ["code", "subprocess.Popen", "os.system"])
def test_a_pipeline_runs_nothing_that_its_index_names(copied, tmp_path, part):
    row, touched = copied("tiny-sd"), tmp_path / "touched"
    file = Path(row.source, "model_index.json")
    library, _, name = part.rpartition(".") if "." in part else ("code", "", "Code")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"unet": [library, name]}))
    for folder in ("unet", "."):
        code = f"from pathlib import Path\nPath({str(touched)!r}).touch()\nclass Code: pass\n"
        (Path(row.source) / folder / "code.py").write_text(code)
    assert refused(row).startswith("the weights of 'tiny-sd' cannot be loaded: ")
    assert not touched.exists()


@pytest.mark.filterwarnings("ignore:The config attributes")
def test_a_part_outside_of_a_pipeline_is_not_loaded(copied):
    row = copied("tiny-sd")
    folder = Path(row.source)
    (folder / "unet").rename(folder.parent / "unet")
    file = folder / "model_index.json"
    index = json.loads(file.read_text())
    file.write_text(json.dumps(index | {"../unet": index.pop("unet")}))
    assert "cannot be loaded: " in refused(row)


@pytest.mark.parametrize(
    ("name", "config", "change"),
    [
        ("tiny-dino", "preprocessor_config.json", {"image_processor_type": "Unknown"}),
        ("tiny-git", "config.json", {"model_type": "unknown"}),
    ],
)
def test_code_beside_weights_is_neither_run_nor_asked_about(
    copied, tmp_path, monkeypatch, name, config, change
):
    row, touched = copied(name), tmp_path / "touched"
    file, kind = Path(row.source, config), "code.Code"
    auto = {"auto_map": {"AutoImageProcessor": kind, "AutoConfig": kind, "AutoModel": kind}}
    file.write_text(json.dumps(json.loads(file.read_text()) | change | auto))
    code = f"from pathlib import Path\nPath({str(touched)!r}).touch()\nclass Code: pass\n"
    Path(row.source, "code.py").write_text(code)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("it asks"))
    assert "contains custom code" in refused(row)
    assert not touched.exists()


HEADS = {"no JSON": b"abcd", "no shape": b'{"a":{}}', "a list": b"[]", "no UTF-8": b"\xff\xfe\xfd"}
HEADS |= {"no number": b'{"a":{"shape":["x"]}}', "no list": b'{"a":{"shape":5}}'}


@pytest.mark.parametrize("head", HEADS)
def test_the_head_of_damaged_safetensors_is_one_sentence(copied, head):
    row = copied("tiny-dino")
    size = struct.pack("<Q", len(HEADS[head]))
    Path(row.source, "model.safetensors").write_bytes(size + HEADS[head])
    assert refused(row).startswith("the weights of 'tiny-dino' cannot be loaded: ")
