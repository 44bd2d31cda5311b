"""Captions of BLIP-2, GIT, Kosmos-2 and Florence-2: prompt, beams, score, length limit."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
import torch
from safetensors.torch import save_file

from tests.contracts import laws_of_models
from tests.contracts.plugins import pictures
from tests.support.models import tiny
from tests.support.models.inverters import CAPTIONER
from workbench import catalogue
from workbench.inverters import Prompt, load_seeing
from workbench.inverters.captioner import CLASSES, Captioner, _text
from workbench.weights import device, loading
from workbench.weights.checkpoint import Checkpoint

NAMES = [name for name, model in tiny.MODELS.items() if model.plugin == CAPTIONER]
SEARCH = {"num_beams": 3, "min_new_tokens": 5, "max_new_tokens": 8, "length_penalty": 1.0}
HUB = [n for n, row in catalogue.rows_of("inverter").items() if row.plugin == CAPTIONER]


def plain(name: str, picture, **fields) -> tuple[torch.Tensor, str]:
    """Caption as the library's own page of each model does: all tokens, and the caption."""
    model, processor = loading.load_weights(tiny.checkpoint(name), load_seeing)
    fields = SEARCH | {"forced_eos_token_id": None} | fields
    asked = tiny.checkpoint(name).option("prompt")
    inputs = processor(images=picture, text=asked, return_tensors="pt")
    with torch.no_grad():
        if name in ("tiny-git", "tiny-blip2"):  # pictures alone: the model begins by itself
            tokens = model.generate(pixel_values=inputs["pixel_values"], **fields)
        else:
            tokens = model.generate(**inputs, **fields)
    text = processor.batch_decode(tokens, skip_special_tokens=True)[0]
    if name == "tiny-kosmos-2":
        text = processor.post_process_generation(text)[0].removeprefix("An image of")
    return tokens[0], " ".join(text.replace("<image>", "").split())


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_plain_library_call(name):
    found = [prompt.text for prompt in Captioner(tiny.checkpoint(name))(pictures())]
    assert found == [plain(name, picture)[1] for picture in pictures()]
    assert len(set(found)) > 2


@pytest.mark.parametrize("name", [n for n in NAMES if n != "tiny-git"])  # it is in the contracts
def test_company_and_order_do_not_matter(name):
    laws_of_models.answers_prompts_in_any_company(Captioner(tiny.checkpoint(name)))
    laws_of_models.answers_any_picture_size(Captioner(tiny.checkpoint(name)))


@pytest.mark.parametrize("name", NAMES)
def test_the_score_is_the_log_probability_per_token_as_the_model_gives_it_again(name):
    picture, row = pictures(1)[0], tiny.checkpoint(name)
    model, processor = loading.load_weights(row, load_seeing)
    tokens, _ = plain(name, picture)
    inputs = dict(processor(images=picture, text=row.option("prompt", ""), return_tensors="pt"))
    count = 8
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = tokens[None]
    else:
        inputs["input_ids"] = tokens[None]
        inputs["attention_mask"] = torch.ones_like(tokens[None])
        if name == "tiny-kosmos-2":
            mask = inputs["image_embeds_position_mask"]
            inputs["image_embeds_position_mask"] = torch.nn.functional.pad(mask, (0, count))
    inputs.pop("token_type_ids", None)
    with torch.no_grad():
        logits = model(**inputs).logits[0, -count - 1 : -1].log_softmax(dim=-1)
    assert len(tokens[-count:]) == count
    expected = logits.gather(1, tokens[-count:, None]).mean().item()
    assert Captioner(row)([picture])[0].score == pytest.approx(expected, abs=1e-4)
    assert Captioner(row, beams=1)([picture])[0].score is None


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("tiny-git", "art"),
        ("tiny-blip2", "art"),
        ("tiny-kosmos-2", "An image of"),
        ("tiny-florence-2", "<DETAILED_CAPTION>"),
    ],
)
def test_a_prompt_is_fed_and_cut(name, prompt):
    row = tiny.checkpoint(name)
    led = Captioner(row, prompt=prompt)(pictures())
    assert [each.score for each in led] != [each.score for each in Captioner(row)(pictures())]
    for each in led:
        assert prompt.replace(" ", "") not in each.text.replace(" ", "")


def test_git_goes_on_from_its_prompt_and_not_from_its_end():
    row = tiny.checkpoint("tiny-git")
    model, processor = loading.load_weights(row, load_seeing)
    ids = [processor.tokenizer.cls_token_id]
    ids += processor.tokenizer("art", add_special_tokens=False)["input_ids"]
    pixels = processor(images=pictures(1)[0], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        tokens = model.generate(pixel_values=pixels, input_ids=torch.tensor([ids]), **SEARCH)
    expected = processor.tokenizer.decode(tokens[0, len(ids) :], skip_special_tokens=True)
    assert Captioner(row, prompt="art")(pictures(1))[0].text == expected


def test_marks_of_entities_are_cut():
    _, processor = loading.load_weights(tiny.checkpoint("tiny-kosmos-2"), load_seeing)
    marked = (
        "<phrase> a fish</phrase><object><patch_index_0044><patch_index_0863></object> in"
        "<phrase> a pond</phrase><object><patch_index_0005><patch_index_0911></object>.</s>"
    )
    tokens = processor.tokenizer(marked, add_special_tokens=False)["input_ids"]
    assert len(tokens) < len(marked) / 3, "marks are tokens of their own"
    assert _text(torch.tensor(tokens), processor) == "a fish in a pond."


@pytest.mark.parametrize("name", NAMES)
def test_the_length_limit_is_told(name, monkeypatch):
    """Where the limit cuts, and where an end token came first; a forced end is no end."""
    row = tiny.checkpoint(name)
    assert all(prompt.truncated for prompt in Captioner(row, max_length=6)(pictures(2)))
    if name == "tiny-florence-2":
        model, _ = loading.load_weights(row, load_seeing)
        forced, _ = plain(name, pictures(1)[0], forced_eos_token_id=2)
        assert model.generation_config.forced_eos_token_id == forced[-1] == 2
    loaded = _eager_to_end(row)
    monkeypatch.setattr(loading, "load_weights", lambda *_: loaded)
    for prompt in Captioner(row)(pictures(2)):
        assert not prompt.truncated
        assert len(re.sub("[ #]", "", prompt.text)) <= 5, "a letter a token"


def _eager_to_end(row: Checkpoint):
    """Make a model that says its end token as soon as it may."""
    model, processor = load_seeing(row)
    end = model.config.get_text_config(decoder=True).eos_token_id

    def favour(_module, _inputs, logits):
        logits = logits.clone()
        logits[..., end] += 100
        return logits

    inner = getattr(model, "language_model", getattr(model, "text_model", model))
    inner.get_output_embeddings().register_forward_hook(favour)
    return model, processor


def test_the_row_s_options_fill_what_is_left_open():
    row = tiny.checkpoint("tiny-git")
    other = dataclasses.replace(row, options={"beams": 1, "max_length": 7, "prompt": "a"})
    own = Captioner(row, beams=1, max_length=7, prompt="a")
    assert Captioner(other)(pictures()) == own(pictures())
    assert Captioner(row)(pictures()) != own(pictures())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_pictures_enter_at_the_precision_of_the_weights(name, dtype, monkeypatch):
    monkeypatch.setattr(device, "dtype", lambda row: getattr(torch, row.dtype))
    row = dataclasses.replace(tiny.checkpoint(name), dtype=dtype)
    assert len(Captioner(row, max_length=5)(pictures(1))) == 1


def test_several_pictures_go_together_where_there_is_a_gpu():
    """The last bits of scores may differ then, and nothing else."""
    for name in NAMES:
        captioner = Captioner(tiny.checkpoint(name))
        loaded = loading.load_weights(captioner.checkpoint, load_seeing)
        with torch.no_grad():
            together = captioner._caption(pictures(3), *loaded)
        for one, other in zip(captioner(pictures(3)), together, strict=True):
            assert (one.text, one.truncated) == (other.text, other.truncated)
            assert one.score == pytest.approx(other.score, abs=1e-3)


def test_weights_of_another_class_are_told():
    row = dataclasses.replace(tiny.checkpoint("tiny-blip"), class_name=CLASSES[1])
    sentence = (
        "the weights of 'tiny-blip' cannot be loaded: they are of a 'blip' model, and "
        "transformers.GitForCausalLM, the class of the row, is a 'git' model; restore them or "
        "choose another model"
    )
    with pytest.raises(LookupError, match=f"^{re.escape(sentence)}$"):
        Captioner(row)(pictures(1))


def test_a_score_that_is_no_number_is_told():
    with pytest.raises(ValueError, match=r"^the model answers values that are not numbers$"):
        Prompt("a fish", float("nan"))


def test_a_class_that_does_not_caption_is_told():
    sentence = (
        "no captions by 'transformers.BlipForConditionalGeneration', the class of 'tiny-blip'; "
        f"there are: {', '.join(CLASSES)}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Captioner(tiny.checkpoint("tiny-blip"))(pictures(1))


def test_code_beside_the_weights_never_runs(tmp_path):
    (tmp_path / "strange.py").write_text("raise SystemExit('it ran')")
    names = {"AutoConfig": "strange.Strange", "AutoModelForCausalLM": "strange.Strange"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "odd", "auto_map": names}))
    save_file({"weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    row = Checkpoint("odd", "inverter", "", str(tmp_path), class_name=CLASSES[1])
    with pytest.raises(
        LookupError, match=r"^the weights of 'odd' cannot be loaded: .* custom code"
    ):
        Captioner(row)(pictures(1))


@pytest.mark.parametrize("name", HUB)
def test_rows_tell_captioners_what_they_understand(name):
    row = catalogue.checkpoint(name)
    assert row.class_name in CLASSES
    assert {key for key, _ in row.options} <= {"prompt", "beams", "min_length", "max_length"}
    assert row.batch == 1
    assert row.memory > 0
