"""Chat models asked about pictures: template, greedy answer, score, thoughts, length limit."""

from __future__ import annotations

import dataclasses
import re
from importlib.util import find_spec

import pytest
import torch

from tests.contracts import laws_of_models
from tests.contracts.plugins import pictures
from tests.support.models import tiny
from tests.support.models.inverters import CHAT
from workbench import catalogue
from workbench.inverters import load_seeing
from workbench.inverters.chat import INSTRUCTION, Chat, _ask, one_line
from workbench.weights import device, loading

LACKS = pytest.mark.skipif(
    find_spec("num2words") is None, reason="the processor of SmolVLM needs num2words"
)
NAMES = [
    pytest.param(name, marks=[LACKS] if name == "tiny-smolvlm" else [])
    for name, model in tiny.MODELS.items()
    if model.plugin == CHAT
]
HUB = [n for n, row in catalogue.rows_of("inverter").items() if row.plugin == CHAT]
WORDS = "What is it?"


@pytest.fixture
def llava():
    """Load a model that a test may change."""
    row = tiny.checkpoint("tiny-llava")
    loaded = load_seeing(row)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "load_weights", lambda *_: loaded)
        yield Chat(row), *loaded


def plain(name: str, picture, instruction: str = INSTRUCTION, **fields):
    """Ask as the library's pages do: the inputs, and all tokens."""
    model, processor = loading.load_weights(tiny.checkpoint(name), load_seeing)
    content = [{"type": "image", "image": picture}, {"type": "text", "text": instruction}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    with torch.no_grad():
        tokens = model.generate(**inputs, max_new_tokens=8, do_sample=False, **fields)
    return model, processor, inputs, tokens


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_plain_library_call(name):
    found = Chat(tiny.checkpoint(name), instruction=WORDS)(pictures(3))
    for picture, prompt in zip(pictures(3), found, strict=True):
        _, processor, inputs, tokens = plain(name, picture, WORDS)
        new = tokens[0, inputs["input_ids"].shape[1] :]
        text = processor.tokenizer.decode(new, skip_special_tokens=True)
        assert prompt.text == " ".join(text.split())
        assert WORDS not in prompt.text
        assert len(prompt.text) <= len(new)
    assert len({prompt.text for prompt in found}) > 1


@pytest.mark.parametrize("name", [n for n in NAMES if n.values[0] != "tiny-llava"])  # in contracts
def test_company_and_order_do_not_matter(name):
    laws_of_models.answers_prompts_in_any_company(Chat(tiny.checkpoint(name)))
    laws_of_models.answers_any_picture_size(Chat(tiny.checkpoint(name)))


def test_pictures_of_other_sizes_take_other_numbers_of_tokens():
    """Which is why a batch of both would be padded."""
    small, large = pictures(1, 32)[0], pictures(1, 64)[0]
    counts = [plain("tiny-qwen3-vl", p)[2]["input_ids"].shape[1] for p in (small, large)]
    assert counts[1] == counts[0] + (64**2 - 32**2) // 16**2
    chat = Chat(tiny.checkpoint("tiny-qwen3-vl"))
    assert chat([small, large]) == [*chat([small]), *chat([large])]


@pytest.mark.parametrize("name", NAMES)
def test_pictures_of_as_many_tokens_go_together_where_there_is_a_gpu(name, monkeypatch):
    """The last bits of scores may differ then, and nothing else; answers end by themselves."""
    row = tiny.checkpoint(name)
    model, processor = load_seeing(row)
    seen = [*pictures(3), pictures(1, 2 * pictures(1)[0].width)[0]]
    chat = Chat(row)
    tokens = processor.tokenizer(chat(seen[:1])[0].text, add_special_tokens=False)["input_ids"]
    monkeypatch.setattr(model.generation_config, "eos_token_id", [tokens[1], 2])
    sizes: list[int] = []
    plain_call = model.generate

    def generate(**inputs):
        sizes.append(len(inputs["input_ids"]))
        return plain_call(**inputs)

    monkeypatch.setattr(model, "generate", generate)
    with torch.no_grad():
        alone = [chat._answers([picture], model, processor)[0] for picture in seen]
        sizes.clear()
        together = chat._answers(seen, model, processor)
    assert sum(sizes) == 4
    assert max(sizes) >= 3
    assert not alone[0].truncated, "its answer ends before the limit"
    for one, other in zip(alone, together, strict=True):
        assert (one.text, one.truncated) == (other.text, other.truncated)
        assert one.score == pytest.approx(other.score, abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_the_score_is_the_log_probability_per_token_as_the_model_gives_it_again(name):
    (prompt,) = Chat(tiny.checkpoint(name))(pictures(1))
    model, _, inputs, tokens = plain(name, pictures(1)[0])
    count = tokens.shape[1] - inputs["input_ids"].shape[1]
    inputs = dict(inputs) | {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    if "mm_token_type_ids" in inputs:
        types = inputs["mm_token_type_ids"]
        inputs["mm_token_type_ids"] = torch.nn.functional.pad(types, (0, count))
    with torch.no_grad():
        logits = model(**inputs).logits[0, -count - 1 : -1].log_softmax(dim=-1)
    expected = logits.gather(1, tokens[0, -count:, None]).mean().item()
    assert prompt.score == pytest.approx(expected, abs=1e-4)
    assert prompt.score < 0


def test_the_instruction_matters_and_the_row_may_set_it():
    row = tiny.checkpoint("tiny-llava")
    found = Chat(row, instruction=WORDS, max_new_tokens=5)(pictures())
    assert [p.score for p in found] != [p.score for p in Chat(row, max_new_tokens=5)(pictures())]
    options = {"instruction": WORDS, "max_new_tokens": 5}
    assert Chat(dataclasses.replace(row, options=options))(pictures()) == found


def test_the_limit_is_told_and_an_end_is_none(llava):
    chat, model, _ = llava
    assert model.generation_config.eos_token_id == 2
    (cut,) = chat(pictures(1))
    assert cut.truncated
    model.generation_config.eos_token_id = [1, *range(4, 103)]  # whatever it says first is an end
    (whole,) = chat(pictures(1))
    assert not whole.truncated
    assert cut.text.startswith(whole.text)
    assert len(whole.text) <= 1


def test_what_a_checkpoint_says_of_sampling_does_not_count(llava):
    chat, model, _ = llava
    expected = chat(pictures(2))
    model.generation_config.update(do_sample=True, temperature=5.0, top_k=3, top_p=0.5)
    before = torch.random.get_rng_state()
    assert chat(pictures(2)) == expected
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ("A fish.", "A fish."),
        ("\nA red fish,\n\n in  oil.\n", "A red fish, in oil."),
        ("<think>\nA fish?\n\nYes.\n</think>\n\nA fish.", "A fish."),
        ("<think></think>A fish.", "A fish."),
        ("<think>A fish, or", ""),
        ("", ""),
    ],
)
def test_thoughts_are_cut_and_lines_joined(answer, line):
    assert one_line(answer) == line


def test_a_template_may_open_the_thought(llava):
    chat, _, processor = llava
    assert all(prompt.text for prompt in chat(pictures()))
    processor.chat_template += "<think>\n"
    assert {prompt.text for prompt in chat(pictures())} == {""}, "nothing closes it"


def test_a_template_of_text_alone_is_given_text(llava):
    chat, _, processor = llava
    expected, asked = chat(pictures(2)), _ask(processor, WORDS)
    written = "{{ bos_token }}{% for m in messages %}{{ m.role }}: <image>CONTENT"
    for content in ("{{ m.content | trim }}", "{{ '' + m.content }}"):
        processor.chat_template = written.replace("CONTENT", content) + "{% endfor %}assistant: "
        assert _ask(processor, WORDS) == asked
        assert chat(pictures(2)) == expected


def test_the_beginning_is_not_written_twice(llava):
    chat, model, processor = llava
    seen = []
    model.register_forward_pre_hook(
        lambda _, __, inputs: seen.append(inputs["input_ids"]), with_kwargs=True
    )
    chat(pictures(1))
    assert _ask(processor, WORDS).startswith("<s>")
    assert (seen[0] == processor.tokenizer.bos_token_id).sum() == 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_pictures_enter_at_the_precision_of_the_weights(name, dtype, monkeypatch):
    monkeypatch.setattr(device, "dtype", lambda row: getattr(torch, row.dtype))
    row = dataclasses.replace(tiny.checkpoint(name), dtype=dtype)
    assert len(Chat(row, max_new_tokens=2)(pictures(1))) == 1


def test_any_class_of_the_library_s_own_choosing_will_do():
    row = tiny.checkpoint("tiny-llava")
    auto = dataclasses.replace(row, class_name="transformers.AutoModelForImageTextToText")
    assert Chat(auto)(pictures(2)) == Chat(row)(pictures(2))


def test_weights_of_another_class_are_told():
    kind = "transformers.Qwen3VLForConditionalGeneration"
    row = dataclasses.replace(tiny.checkpoint("tiny-llava"), class_name=kind)
    sentence = (
        "the weights of 'tiny-llava' cannot be loaded: they are of a 'llava' model, and "
        f"{kind}, the class of the row, is a 'qwen3_vl' model; restore them or choose another model"
    )
    with pytest.raises(LookupError, match=f"^{re.escape(sentence)}$"):
        Chat(row)(pictures(1))


@pytest.mark.parametrize("name", ["tiny-blip", "tiny-git"])
def test_a_model_that_does_not_chat_is_told(name):
    with pytest.raises(ValueError, match=rf"^'{name}' does not chat about pictures: its \w+ has "):
        Chat(tiny.checkpoint(name))(pictures(1))


@LACKS
def test_a_package_that_a_processor_needs_is_named(monkeypatch):
    from transformers.models.smolvlm import processing_smolvlm

    row = tiny.checkpoint("tiny-smolvlm")
    monkeypatch.setattr(processing_smolvlm, "num2words", None)
    fresh = dataclasses.replace(row, name="fresh")
    with pytest.raises(LookupError, match=r"cannot be loaded: .* `pip install num2words`"):
        Chat(fresh)(pictures(1))


@pytest.mark.parametrize("name", HUB)
def test_rows_tell_chat_models_what_they_understand(name):
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as KNOWN,
    )

    row = catalogue.checkpoint(name)
    assert row.class_name.removeprefix("transformers.") in KNOWN.values()
    assert {key for key, _ in row.options} <= {"instruction", "max_new_tokens"}
    assert row.batch == 1
    assert row.memory > 0
