"""MinDalle makes the package's own pictures, and never lets it download."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.models import paper, tiny
from workbench import catalogue
from workbench.generators import Failure, min_dalle
from workbench.generators.min_dalle import MinDalle, _load, _package
from workbench.weights import inference
from workbench.weights.loading import clear_weights

STEMS = ("encoder", "decoder", "detoker")
PROMPT = ["a red circle at night"]


@pytest.fixture
def row(tmp_path):
    """Copy the tiny model, for a test to change its files."""
    made = tiny.checkpoint("tiny-min-dalle")
    shutil.copytree(made.folder, tmp_path / "weights")
    yield replace(made, source=str(tmp_path / "weights"))
    clear_weights()


def pickled(row):
    """Turn safetensors into the pickles that are published."""
    for stem in STEMS:
        safe = row.folder / f"{stem}.safetensors"
        torch.save(load_file(safe), row.folder / f"{stem}.pt")
        safe.unlink()
    return row


@pytest.mark.parametrize(("name", "mega"), [("dalle-mini", False), ("dalle-mega", True)])
def test_the_rows_tell_the_memory_of_the_packages_own_sizes(name, mega, tmp_path):
    """In halves, but for the detokeniser; nothing is loaded, as the parts lie on no device."""
    package = _package()

    class Sizes(package.MinDalle):
        init_tokenizer = init_encoder = init_decoder = init_detokenizer = lambda self: None

    sizes = vars(Sizes(str(tmp_path), is_mega=mega, is_verbose=False))
    both = ("layer_count", "embed_count", "attention_head_count", "glu_embed_count")
    with torch.device("meta"):
        shared = {key: sizes[key] for key in both} | {"device": "meta"}
        texts = {key: sizes[key] for key in ("text_vocab_count", "text_token_count")}
        parts = [
            (package.DalleBartEncoder(**shared, **texts), 2),
            (package.DalleBartDecoder(image_vocab_count=sizes["image_vocab_count"], **shared), 2),
            (package.VQGanDetokenizer(), 4),
        ]
    numbers = [sum(each.numel() for each in part.parameters()) * size for part, size in parts]
    row = catalogue.checkpoint(name)
    assert row.largest == pytest.approx(max(numbers) / 2**30, rel=0.02)
    assert row.memory == pytest.approx(sum(numbers) / 2**30, rel=0.02)


@pytest.mark.filterwarnings("ignore")  # the package speaks to the torch of 2022
def test_pictures_are_the_packages_own(tmp_path, monkeypatch):
    """Its constructor and generate_image, over files in its layout, with all 2¹⁴ codes."""
    package = _package()
    path = tmp_path / "dalle_bart_mini"
    path.mkdir()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        paper.min_dalle(path, 2**14 + 1)
    row = replace(tiny.row("tiny-min-dalle", tmp_path), source=str(path), options={})
    row = pickled(replace(row, allow_pickle=True))
    ours = MinDalle(row)

    class Theirs(package.MinDalle):
        embed_count = property(lambda _: 64, lambda *_: None)
        attention_head_count = layer_count = property(lambda _: 1, lambda *_: None)
        glu_embed_count = property(lambda _: 32, lambda *_: None)
        text_vocab_count = property(lambda _: 100, lambda *_: None)

        def init_detokenizer(self):
            self.detokenizer = _load(row).detokenizer  # theirs knows one width alone

    monkeypatch.setattr("requests.get", lambda _: None)
    theirs = Theirs(str(tmp_path), is_mega=False, is_verbose=False)
    threads = inference.fixed_threads(row.threads)
    with threads, torch.random.fork_rng(), torch.inference_mode():
        expected = theirs.generate_image(PROMPT[0], seed=7, grid_size=1)
    assert ours(PROMPT, [7]) == [expected]


def test_pictures_share_every_call_of_the_decoder_and_keep_their_own_noise(row):
    """As on a GPU, where prompts of several lengths go together."""
    pairs = [(PROMPT[0], 1), ("a", 2), (PROMPT[0], 3)]
    model, sizes = _load(row), []
    settings = min_dalle.DEFAULTS | {"top_k": 16}
    with torch.inference_mode():
        alone = torch.cat([min_dalle._codes(model, settings, [pair]) for pair in pairs])
        model.decoder.register_forward_pre_hook(
            lambda *parts: sizes.append(len(parts[-1]["prev_tokens"])), with_kwargs=True
        )
        together = min_dalle._codes(model, settings, pairs)
    assert sizes == [3] * 256
    assert torch.equal(together, alone)
    assert len(alone.unique(dim=0)) == 3


def test_settings_of_the_row_are_those_of_the_fields(row):
    other = {"guidance": 2, "temperature": 0.5, "top_k": 3}
    pictures = MinDalle(replace(row, options=other))(PROMPT, [7])
    assert pictures == MinDalle(row, **other)(PROMPT, [7]) != MinDalle(row)(PROMPT, [7])


def test_the_sampling_of_the_original_is_an_option_named_by_its_source(row):
    """Its notebook: cond_scale 10, temperature 1, no top-k, which is one of all codes."""
    codes = len(_load(row).decoder.lm_head.weight)
    expected = MinDalle(row, guidance=10.0, temperature=1.0, top_k=codes)(PROMPT, [7])
    named = MinDalle(replace(row, options={"sampling": "dalle-mini"}))
    assert named(PROMPT, [7]) == expected != MinDalle(row)(PROMPT, [7])
    assert MinDalle(row, sampling="dalle-mini", guidance=2)(PROMPT, [7]) != expected
    assert repr(MinDalle(row)) == 'MinDalle("tiny-min-dalle")', "keys stay as they were"
    with pytest.raises(ValueError, match=r"^there is no sampling 'x'; there is: dalle-mini$"):
        MinDalle(row, sampling="x")(PROMPT, [7])


def test_safetensors_pickles_and_files_of_mini_answer_the_same(row):
    expected = MinDalle(row)(PROMPT, [1])
    options = {"top_k": 16, "variant": "mini"}
    for name in ("encoder.safetensors", "decoder.safetensors", "vocab.json", "merges.txt"):
        stem, _, ending = name.partition(".")
        (row.folder / name).rename(row.folder / f"{stem}_mini.{ending}")
    assert MinDalle(replace(row, options=options))(PROMPT, [1]) == expected
    for path in row.folder.glob("*_mini*"):
        path.rename(row.folder / path.name.replace("_mini", ""))
    clear_weights()
    assert MinDalle(replace(pickled(row), allow_pickle=True))(PROMPT, [1]) == expected


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_pickles_are_read_where_the_row_says_so_and_nothing_in_them_runs(row, tmp_path):
    pickled(row)
    sentence = r"'tiny-min-dalle' are a pickle \(\w+\.pt\), which can run code: it was not read"
    with pytest.raises(LookupError, match=sentence):
        MinDalle(row)(PROMPT, [1])

    class Bad:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    for content in (pickle.dumps(Bad()), b""):
        (row.folder / "encoder.pt").write_bytes(content)
        with pytest.raises(LookupError, match=r"a pickle holds more than tensors, or is"):
            MinDalle(replace(row, allow_pickle=True))(PROMPT, [1])
    assert not (tmp_path / "ran").exists()


def test_missing_files_and_tensors_are_named_and_never_fetched(row):
    state = load_file(row.folder / "decoder.safetensors")
    del state["final_ln.bias"]
    save_file(state, row.folder / "decoder.safetensors")
    with pytest.raises(LookupError, match=r"cannot be loaded: the DalleBartDecoder lacks final_ln"):
        MinDalle(row)(PROMPT, [1])
    (row.folder / "decoder.safetensors").unlink()
    there = sorted(row.folder.iterdir())
    for allowed, names in ((False, ""), (True, r" or decoder\.pt")):
        sentence = rf"^'tiny-min-dalle' needs decoder\.safetensors{names} in {row.folder}$"
        with pytest.raises(LookupError, match=sentence):
            MinDalle(replace(row, allow_pickle=allowed))(PROMPT, [1])
    assert sorted(row.folder.iterdir()) == there


def test_a_picture_that_cannot_be_drawn_is_a_failure(row):
    (answer,) = MinDalle(row, temperature=0.0)(PROMPT, [1])
    assert isinstance(answer, Failure)
    assert answer.reason.startswith("tiny-min-dalle failed: ")


def test_unknown_options_of_the_row_are_refused(row):
    sentence = "'tiny-min-dalle' has no option 'steps'; there are: guidance, sampling, temperature,"
    with pytest.raises(ValueError, match=f"^{sentence} top_k, variant$"):
        MinDalle(replace(row, options={"steps": 3}))(PROMPT, [1])


def test_importing_the_package_leaves_torch_as_it_was(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "min_dalle"]:
        monkeypatch.delitem(sys.modules, name)
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        assert _package().__name__ == "min_dalle.min_dalle"
        assert (torch.get_num_threads(), torch.is_grad_enabled()) == (before + 1, True)
    finally:
        torch.set_num_threads(before)


def test_the_package_missing_is_said(row, monkeypatch):
    monkeypatch.setitem(sys.modules, "min_dalle", None)
    sentence = "DALL·E mini needs min-dalle: pip install 'attribution-workbench[dalle-mini]'"
    with pytest.raises(LookupError, match=f"^{re.escape(sentence)}$"):
        MinDalle(row)(PROMPT, [1])
