"""Files of diffusers' weights: parts that have moved, pickles, variants."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.generators.conftest import PROMPTS, SEEDS, digests
from tests.support.models import tiny
from tests.support.pickles import Touch
from workbench.generators.diffusers import Diffusers
from workbench.weights.checkpoint import locate

MOVED = {
    "tiny-karlo": "text_proj",
    "tiny-vq": "learned_classifier_free_sampling_embeddings",
    "tiny-cascade": "vqgan",
    "tiny-wuerstchen": "decoder",
}


@pytest.mark.parametrize("name", MOVED)
def test_parts_that_the_library_has_moved_keep_their_weights(name):
    from diffusers import DiffusionPipeline

    row = tiny.checkpoint(name)
    folder = locate(row, row.stages[-1] if row.stages else "")
    with pytest.raises(ValueError, match=r" is not one of the libraries Diffusers can load "):
        DiffusionPipeline.from_pretrained(folder, use_safetensors=True)
    part = getattr(Diffusers(row).loaded()[-1], MOVED[name])
    (file,) = (Path(folder) / MOVED[name]).glob("*.safetensors")
    stored = load_file(file)
    assert stored.keys() == part.state_dict().keys()
    assert all(torch.equal(x, stored[key].to(x.dtype)) for key, x in part.state_dict().items())


def _pickled(tmp_path, *parts):
    """Copy tiny-ld, and write the weights of some parts as the pickles the hub has of them."""
    row = tiny.checkpoint("tiny-ld")
    folder = tmp_path / "tiny-ld"
    shutil.copytree(row.source, folder)
    for part in parts:
        (weights,) = (folder / part).glob("*.safetensors")
        name = "pytorch_model.bin" if part == "bert" else "diffusion_pytorch_model.bin"
        torch.save(load_file(weights), folder / part / name)
        weights.unlink()
    return dataclasses.replace(row, source=str(folder))


@pytest.mark.parametrize("parts", [("unet",), ("bert",), ("unet", "bert", "vqvae")])
def test_pickles_are_read_only_where_the_row_allows_them(tmp_path, parts):
    row = _pickled(tmp_path, *parts)
    with pytest.raises(LookupError, match=r"^the weights of 'tiny-ld' "):
        Diffusers(row)(PROMPTS, SEEDS)
    allowed = Diffusers(dataclasses.replace(row, allow_pickle=True))
    plain = Diffusers(tiny.checkpoint("tiny-ld"))
    assert digests(allowed(PROMPTS, SEEDS)) == digests(plain(PROMPTS, SEEDS))


@pytest.mark.parametrize("part", ["unet", "bert"])
def test_nothing_in_a_pickle_runs(tmp_path, part):
    row = dataclasses.replace(_pickled(tmp_path, part), allow_pickle=True)
    (weights,) = (Path(row.source) / part).glob("*.bin")
    touched = tmp_path / "touched"
    torch.save(torch.load(weights) | {"more": Touch(touched)}, weights)
    sentence = (
        "the weights of 'tiny-ld' cannot be loaded: a pickle holds more than tensors, or is "
        "damaged; restore them or choose another model"
    )
    with pytest.raises(LookupError, match=f"^{sentence}$"):
        Diffusers(row)(PROMPTS, SEEDS)
    assert not touched.exists()
    torch.load(weights, weights_only=False)
    assert touched.exists()  # so the file was harmful


def test_a_variant_of_the_weights_is_loaded_where_the_row_names_it(tmp_path):
    row = tiny.checkpoint("tiny-sd")
    folder = tmp_path / "tiny-sd"
    shutil.copytree(row.source, folder)
    for weights in folder.glob("*/*.safetensors"):
        weights.rename(weights.with_suffix(".fp16.safetensors"))
    row = dataclasses.replace(row, source=str(folder))
    sentence = (
        "^the weights of 'tiny-sd' cannot be loaded: of a part there is a variant alone; write "
        'variant = "fp16" into the options of the row; restore them or choose another model$'
    )
    with pytest.raises(LookupError, match=sentence):
        Diffusers(row)(PROMPTS, SEEDS)
    options = dict(row.options) | {"variant": "fp16"}
    named = Diffusers(dataclasses.replace(row, options=options))
    plain = Diffusers(tiny.checkpoint("tiny-sd"))
    assert digests(named(PROMPTS, SEEDS)) == digests(plain(PROMPTS, SEEDS))


@pytest.mark.parametrize("beside", [(), ("text_encoder",)])
def test_a_variant_in_the_row_s_dtype_needs_no_naming(tmp_path, beside):
    """As a download leaves them: some parts as fp16 alone, others plain, as they were published."""
    row = tiny.checkpoint("tiny-sd")
    folder = tmp_path / "tiny-sd"
    shutil.copytree(row.source, folder)
    for weights in folder.glob("*/*.safetensors"):
        if weights.parent.name not in beside:
            weights.rename(weights.with_suffix(".fp16.safetensors"))
    (folder / "unet" / "diffusion_pytorch_model.int4.safetensors").write_bytes(b"another's")
    half = Diffusers(dataclasses.replace(row, source=str(folder), dtype="float16"))
    plain = Diffusers(row)
    assert digests(half(PROMPTS, SEEDS)) == digests(plain(PROMPTS, SEEDS))
