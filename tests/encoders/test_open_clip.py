"""Any layer of an open_clip tower, and its text tower."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.contracts.plugins import pictures
from tests.support.models import tiny
from workbench.encoders import open_clip as module
from workbench.encoders.open_clip import OpenClip, _load


@pytest.fixture(scope="module")
def row():
    return tiny.checkpoint("tiny-clip")


@pytest.fixture(scope="module")
def loaded(row):
    return _load(row)


def _unit(rows):
    return torch.nn.functional.normalize(rows, dim=-1).numpy()


def test_no_layer_is_the_projected_embedding(row, loaded):
    model, preprocess, _ = loaded
    with torch.no_grad():
        expected = model.encode_image(torch.stack([preprocess(x) for x in pictures()]))
    assert np.allclose(OpenClip(row)(pictures()), _unit(expected), atol=1e-5)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_a_layer_is_what_its_block_gives_before_the_final_norm(row, loaded, layer):
    model, preprocess, _ = loaded
    tokens = []
    hook = model.visual.transformer.resblocks[layer - 1].register_forward_hook(
        lambda *call: tokens.append(call[-1])
    )
    with torch.no_grad():
        model.encode_image(torch.stack([preprocess(x) for x in pictures()]))
    hook.remove()
    (found,) = tokens
    assert np.allclose(OpenClip(row, layer=layer)(pictures()), _unit(found[:, 0]), atol=1e-5)
    mean = OpenClip(row, layer=layer, pooling="mean")(pictures())
    assert np.allclose(mean, _unit(found[:, 1:].mean(1)), atol=1e-5)


def test_captions_equal_the_plain_library_call(row, loaded):
    model, _, tokenizer = loaded
    texts = ["a red circle", "a blue star"]
    with torch.no_grad():
        expected = model.encode_text(tokenizer(texts))
    assert np.allclose(OpenClip(row).text(texts), _unit(expected), atol=1e-5)


def _tensor(images):
    arrays = np.stack([np.asarray(image, np.float32) / 255 for image in images])
    return torch.from_numpy(arrays).permute(0, 3, 1, 2)


@pytest.mark.parametrize(("layer", "pooling"), [(None, "cls"), (2, "cls"), (3, "mean")])
def test_what_is_differentiated_is_what_is_encoded(row, layer, pooling):
    encoder = OpenClip(row, layer=layer, pooling=pooling)
    for side, tolerance in ((tiny.SIZE, 1e-5), (40, 1e-2), (100, 1e-2)):
        with torch.no_grad():
            found = encoder.differentiable(_tensor(pictures(3, side)))
        assert np.allclose(found.numpy(), encoder(pictures(3, side)), atol=tolerance)


def test_the_gradient_is_the_slope(row):
    pixels = _tensor(pictures(1, 40)).requires_grad_()
    encoder = OpenClip(row, layer=1)
    (gradient,) = torch.autograd.grad(encoder.differentiable(pixels)[0, 0], pixels)
    step = 0.05 * gradient / gradient.abs().max()
    with torch.no_grad():
        there = encoder.differentiable(pixels + step)[0, 0]
        back = encoder.differentiable(pixels - step)[0, 0]
    assert float(there - back) == pytest.approx(float(2 * (gradient * step).sum()), rel=0.05)


def test_nothing_is_differentiated_through_what_takes_pictures_alone(row, tmp_path):
    folder = tmp_path / "longest"
    shutil.copytree(row.source, folder)
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["resize_mode"] = "longest"
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    encoder = OpenClip(replace(row, source=str(folder)))
    assert encoder(pictures(1)).shape == (1, 24)
    sentence = (
        "^the preprocessing of 'tiny-clip' takes pictures alone, so nothing can be differentiated "
        "through it$"
    )
    with pytest.raises(ValueError, match=sentence):
        encoder.differentiable(_tensor(pictures(1)))


def test_layers_and_poolings_that_are_not_there_are_told(row):
    assert OpenClip(row).depth() == 3
    assert OpenClip(row).at(2) == OpenClip(row, layer=2)
    with pytest.raises(ValueError, match=r"^'tiny-clip' has the layers 1 to 3; layer 4 was asked"):
        OpenClip(row, layer=4)(pictures(1))
    with pytest.raises(ValueError, match=r"^'tiny-clip' has the layers 1 to 3; layer 4 was asked"):
        OpenClip(row, layer=4).differentiable(_tensor(pictures(1)))
    with pytest.raises(ValueError, match=r"^layers count from 1; the layer is 0$"):
        OpenClip(row, layer=0)
    with pytest.raises(ValueError, match=r"^no pooling 'max'; there are: cls, mean$"):
        OpenClip(row, pooling="max")


def test_a_folder_without_weights_is_told(row, tmp_path):
    (tmp_path / "open_clip_config.json").write_text("{}")
    empty = tiny.row("tiny-clip", tmp_path.parent)
    sentence = f"^no open_clip_model.safetensors in the folder {tmp_path} of 'tiny-clip'$"
    with pytest.raises(LookupError, match=sentence):
        OpenClip(replace(empty, source=str(tmp_path)))(pictures(1))


@pytest.mark.parametrize("source", ["ViT-B-32/openai", "org/name"])
def test_weights_of_the_hub_are_not_fetched_unasked(row, source):
    with pytest.raises(LookupError, match=r"`workbench zoo download tiny-clip` fetches them$"):
        OpenClip(replace(row, source=source))(pictures(1))


@pytest.mark.parametrize("source", ["ViT-L-14/openai", "timm/vit_large_patch14_clip_224.openai"])
def test_weights_of_open_clip_bring_their_activation_and_preprocessing(
    row, source, monkeypatch, tmp_path
):
    import open_clip
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    far = replace(row, source=source, revision="abc")
    folder = tmp_path / "models--timm--vit_large_patch14_clip_224.openai" / "snapshots" / "abc"
    folder.mkdir(parents=True)
    (folder / "open_clip_model.safetensors").touch()
    name, settings = module._where(far)
    config = open_clip.get_pretrained_cfg("ViT-L-14", "openai")
    assert name == "ViT-L-14"
    assert settings == {
        "pretrained": str(folder / "open_clip_model.safetensors"),
        "force_quick_gelu": True,
        "image_mean": config["mean"],
        "image_std": config["std"],
        "image_interpolation": "bicubic",
        "image_resize_mode": "shortest",
    }
    (folder / "open_clip_config.json").touch()
    assert module._where(far) == (f"local-dir:{folder}", {})


def test_a_tag_that_is_not_there_is_told(row):
    with pytest.raises(
        LookupError, match=r"^no weights 'opnai' on the hub for ViT-L-14; there are"
    ):
        OpenClip(replace(row, source="ViT-L-14/opnai"))(pictures(1))
