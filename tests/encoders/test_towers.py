"""Towers of transformers and timm: read where their own libraries would read them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import workbench as wb
from tests.contracts.plugins import pictures
from tests.support.models import tiny
from workbench.encoders import in_layers
from workbench.weights import loading


def unit(rows: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(rows.float(), dim=-1).numpy()


@pytest.mark.parametrize("name", ["tiny-dino", "tiny-registers"])
def test_a_tower_of_transformers_is_read_as_it_answers_itself(name):
    from transformers import AutoImageProcessor, AutoModel

    row, tests = tiny.checkpoint(name), pictures(2)
    model = AutoModel.from_pretrained(row.source, dtype=torch.float32).eval()
    pixels = AutoImageProcessor.from_pretrained(row.source)(images=tests, return_tensors="pt")
    with torch.inference_mode():
        output = model(**pixels, output_hidden_states=True)
        last = model.layernorm(output.hidden_states[3])
    encoder = wb.Transformers(row)
    registers = 4 if name == "tiny-registers" else 0
    block = output.hidden_states[2]
    assert encoder.depth() == 3
    assert np.allclose(encoder(tests), unit(output.last_hidden_state[:, 0]), atol=1e-5)
    assert np.allclose(encoder.at(2)(tests), unit(block[:, 0]), atol=1e-5)
    patches = wb.Transformers(row, layer=2, pooling="mean")(tests)
    assert np.allclose(patches, unit(block[:, 1 + registers :].mean(dim=1)), atol=1e-5)
    assert torch.allclose(last, output.last_hidden_state, atol=1e-5), "layers come before the norm"


def test_a_tower_of_timm_is_read_as_it_answers_itself():
    import timm

    row, tests = tiny.checkpoint("tiny-timm"), pictures(2)
    model = timm.create_model(f"local-dir:{row.source}", pretrained=True).eval()
    settings = timm.data.resolve_model_data_config(model)
    prepare = timm.data.create_transform(**settings, is_training=False)
    pixels = torch.stack([prepare(test) for test in tests])
    with torch.inference_mode():
        pooled = model(pixels)
        tokens = model.blocks[1](model.blocks[0](model._pos_embed(model.patch_embed(pixels))))
    encoder = wb.Timm(row)
    assert encoder.depth() == 3
    assert np.allclose(encoder(tests), unit(pooled), atol=1e-5)
    assert np.allclose(encoder.at(2)(tests), unit(tokens[:, 0]), atol=1e-5)
    patches = wb.Timm(row, layer=2, pooling="mean")(tests)
    assert np.allclose(patches, unit(tokens[:, 1:].mean(dim=1)), atol=1e-5)


@pytest.mark.parametrize("name", ["tiny-dino", "tiny-timm"])
def test_what_a_tower_lacks_is_one_sentence(name):
    kind = wb.Timm if name == "tiny-timm" else wb.Transformers
    row = tiny.checkpoint(name)
    with pytest.raises(ValueError, match=f"^'{name}' has the layers 1 to 3; layer 4 was asked for"):
        kind(row, layer=4)(pictures(1))
    with pytest.raises(ValueError, match="no pooling 'max'; there are: cls, mean"):
        kind(row, pooling="max")
    assert not hasattr(kind(row), "text")


def test_a_tower_without_blocks_is_told(monkeypatch):
    monkeypatch.setattr(loading, "load_weights", lambda *_: (torch.nn.Identity(), None))
    sentence = "^'tiny-timm' has no blocks to read, as it is no vision transformer but Identity$"
    with pytest.raises(ValueError, match=sentence):
        wb.Timm(tiny.checkpoint("tiny-timm"))(pictures(1))


def test_values_that_are_no_numbers_are_told():
    row = tiny.checkpoint("tiny-dino")
    with pytest.raises(ValueError, match=r"^'tiny-dino' answers values that are not numbers$"):
        in_layers(lambda *_: {1: torch.full((1, 4), torch.nan)}, pictures(1), [1], row)


def test_a_folder_without_weights_is_one_sentence(tmp_path):
    from dataclasses import replace

    row = replace(tiny.checkpoint("tiny-timm"), name="bare", source=str(tmp_path))
    with pytest.raises(LookupError, match=r"^no config\.json in the folder"):
        wb.Timm(row)(pictures(1))


def test_they_rank_as_any_encoder_does(tiny, pictures, shared_store):
    from tests.support.models import tiny as models

    similarity = wb.Cosine(wb.Transformers(models.checkpoint("tiny-dino"), layer=2))
    found = wb.attribute(pictures / "one.png", similarity=similarity, store=shared_store)
    assert set(found.rankings["generator"]) == {"tiny-sd", "tiny-ld"}
    assert found.rankings["score"].between(-1, 1.0001).all()
