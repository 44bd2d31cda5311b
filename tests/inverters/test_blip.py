"""BLIP captions: prefix, beams, score, length limit."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from tests.contracts.plugins import pictures
from tests.support.models import tiny
from workbench import catalogue
from workbench.inverters.blip import Blip, _load
from workbench.weights import loading


@pytest.fixture(scope="module")
def row():
    return tiny.checkpoint("tiny-blip")


def test_equals_the_plain_library_call(row):
    model, processor = _load(row)
    inputs = processor.image_processor(pictures(4), return_tensors="pt")
    with torch.no_grad():
        plain = model.generate(**inputs, num_beams=3, min_length=5, max_length=12, do_sample=False)
    expected = processor.batch_decode(plain, skip_special_tokens=True)
    assert [prompt.text for prompt in Blip(row)(pictures(4))] == expected
    assert len(set(expected)) > 1


def test_the_score_is_the_log_probability_per_token(row):
    model, processor = _load(row)
    picture = pictures(1)
    (prompt,) = Blip(row)(picture)
    pixels = processor.image_processor(picture, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        tokens = model.generate(
            pixel_values=pixels, num_beams=3, min_length=5, max_length=12, do_sample=False
        )
        seen = model.vision_model(pixels)[0]
        logits = model.text_decoder(tokens, encoder_hidden_states=seen).logits.log_softmax(-1)
    # below min_length the end token is forbidden, which moves no log-probability of a beam
    chosen = logits[0, :-1].gather(1, tokens[0, 1:, None])
    assert prompt.score == pytest.approx(chosen.mean().item(), abs=0.05)
    assert prompt.score < 0
    assert Blip(row, beams=1)(picture)[0].score is None


def test_the_length_limit_is_told(row):
    short = Blip(row, max_length=7)(pictures())
    assert all(prompt.truncated for prompt in short if len(prompt.text.split()) > 5)
    assert any(prompt.truncated for prompt in short)


def test_the_end_of_a_caption_is_no_truncation(row, monkeypatch):
    model, _ = _load(row)

    bias = model.text_decoder.cls.predictions.decoder.bias
    with torch.no_grad():
        bias[model.config.text_config.sep_token_id] += 100
    processor = _load(row)[1]
    monkeypatch.setattr(loading, "load_weights", lambda *_: (model, processor))
    assert not any(prompt.truncated for prompt in Blip(row)(pictures()))


def test_a_prefix_is_fed_and_cut(row):
    plain = [prompt.text for prompt in Blip(row)(pictures())]
    led = [prompt.text for prompt in Blip(row, prefix="art", max_length=12)(pictures())]
    assert led != plain
    assert not any(text.startswith("a r t") for text in led)


def test_the_row_s_options_fill_what_is_left_open(row):
    import dataclasses

    other = dataclasses.replace(row, options={"beams": 1, "max_length": 12})
    assert Blip(other)(pictures()) == Blip(row, beams=1)(pictures())


@pytest.mark.parametrize("colour", ["black", "white", "red"])
def test_a_caption_without_end_stays_within_the_positions_of_pocket_blip(colour):
    prompt = catalogue.load("pocket-blip")([Image.new("RGB", (64, 64), colour)])[0]
    assert prompt.text
