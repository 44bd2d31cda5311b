"""PEZ: the gradient, the words, the search, and what it leaves alone."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.contracts.plugins import pictures
from tests.support import toys
from tests.support.models import tiny
from workbench.encoders.open_clip import OpenClip
from workbench.inverters.pez import Pez, _layout, _Words

QUICK = {"tokens": 3, "steps": 15, "restarts": 1}


@dataclass(frozen=True, eq=False)
class Loaded:
    """An encoder's model and tokenizer, and nothing else."""

    model: Any
    tokenizer: Any

    def loaded(self):
        return self.model, None, self.tokenizer


@pytest.fixture(scope="module")
def clip():
    return OpenClip(replace(tiny.checkpoint("tiny-clip"), threads=1))  # the contracts take two


@pytest.fixture(scope="module")
def words(clip):
    return _Words(clip)


def _custom_text(clip):
    """Build the tiny model again with its text tower standing apart."""
    from open_clip.model import CustomTextCLIP

    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = CustomTextCLIP(
            24,
            {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "head_width": 8},
            {"context_length": 16, "vocab_size": 514, "width": 32, "heads": 4, "layers": 2},
        ).eval()
    return Loaded(model, clip.loaded()[2])


def _by_hand(tower, embedded, ids, projection):
    """Run a text tower from token embeddings on, part by part."""
    x = tower.transformer(embedded + tower.positional_embedding, attn_mask=tower.attn_mask)
    x = tower.ln_final(x)[torch.arange(len(ids)), ids.argmax(dim=1)]
    return torch.nn.functional.normalize(x @ projection, dim=-1)


@pytest.mark.parametrize("custom", [False, True])
def test_the_gradient_is_the_one_at_the_words_embeddings(clip, custom):
    words = _Words(_custom_text(clip) if custom else clip)
    tower = words.model.text if custom else words.model
    ids = words.ids[torch.tensor([[1, 5, 9], [7, 7, 0]])]
    targets = torch.nn.functional.normalize(torch.randn(2, 24, generator=_generator()), dim=-1)
    cosines, gradient = words.pull(ids, targets)
    whole = torch.cat([torch.full((2, 1), 512), ids, torch.full((2, 12), 513)], dim=1)
    embedded = tower.token_embedding(whole).detach().requires_grad_()
    expected = (_by_hand(tower, embedded, whole, tower.text_projection) * targets).sum(dim=1)
    (plain,) = torch.autograd.grad((1 - expected).sum(), embedded)
    assert torch.allclose(cosines, expected, atol=1e-5)
    assert torch.allclose(gradient, plain[:, 1:4], atol=1e-5)
    assert gradient.abs().min(dim=-1).values.max() > 0


def _generator():
    return torch.Generator().manual_seed(0)


def test_soft_embeddings_go_to_the_word_nearest_by_cosine(words):
    assert torch.equal(words.nearest(words.vectors[None] * 3.0)[0], words.ids)
    soft = torch.randn(2, 4, words.vectors.shape[1], generator=_generator())
    plain = torch.nn.functional.cosine_similarity(soft[:, :, None], words.vectors, dim=-1)
    assert torch.equal(words.nearest(soft), words.ids[plain.argmax(dim=-1)])


def test_words_come_back_from_text_as_themselves_and_are_not_special(clip, words):
    tokenizer = clip.loaded()[2]
    assert 26 + 10 < len(words.ids) < 128
    assert not {512, 513} & set(words.ids.tolist())
    texts = [words.text([token]) for token in words.ids.tolist()]
    assert {"a", "z", "0", "!"} <= set(texts)
    assert len(set(texts)) == len(texts)
    assert torch.equal(tokenizer(texts)[:, 1], words.ids)
    assert (tokenizer(texts)[:, 2] == 513).all()


def test_the_standard_tokenizer_of_clip_has_words_too():
    from open_clip.tokenizer import SimpleTokenizer

    model, tokenizer = torch.nn.Module(), SimpleTokenizer()
    model.token_embedding = torch.nn.Embedding(2000, 2)
    ids, empty, first = _layout(Loaded(model, tokenizer))
    assert first == 1
    assert empty[:3].tolist() == [49406, 49407, 0]
    texts = [tokenizer.decode([token]).strip() for token in ids.tolist()]
    assert {"photo", "with", "red"} <= set(texts)
    assert tokenizer.encode(" ".join(texts)) == ids.tolist()


def test_the_score_is_the_cosine_of_the_text_as_anybody_reads_it(clip):
    for picture, prompt in zip(pictures(), Pez(clip, **QUICK)(pictures()), strict=True):
        cosine = (clip([picture]) * clip.text([prompt.text])).sum()
        assert prompt.score == pytest.approx(cosine, abs=1e-6)
        assert prompt.score == pytest.approx(max(prompt.trace), abs=1e-5)
        assert len(prompt.text.split()) == 3
        assert not prompt.truncated


def test_the_loss_falls_below_that_of_random_prompts(clip, words):
    found = Pez(clip, tokens=5, steps=60, restarts=1)(pictures(4))
    drawn = words.ids[torch.randint(len(words.ids), (200, 5), generator=_generator())]
    random = clip(pictures(4)) @ clip.text([words.text(row) for row in drawn.tolist()]).T
    for prompt, row in zip(found, random, strict=True):
        assert prompt.score > prompt.trace[0]
        assert prompt.score > row.max()


def test_with_one_token_the_best_is_among_the_top_of_all_words(clip, words):
    values = clip(pictures()) @ clip.text([words.text([i]) for i in words.ids.tolist()]).T
    found = Pez(clip, tokens=1, steps=40, restarts=4)(pictures())
    for prompt, row in zip(found, values, strict=True):
        assert (row > prompt.score + 1e-6).sum() < 3


def test_the_trajectory_does_not_depend_on_company_or_order(clip):
    search = Pez(clip, tokens=4, steps=25, restarts=3)  # 3 searches a picture, 4 rows a call
    together = [prompt.trace for prompt in search(pictures())]
    assert [search([picture])[0].trace for picture in pictures()] == together
    assert [prompt.trace for prompt in search(pictures()[::-1])] == together[::-1]
    assert len(set(together)) == 6


def test_the_seed_comes_from_the_pixels_and_the_run(clip):
    one, two = pictures(2)
    same = Image.fromarray(np.asarray(one))
    search = Pez(clip, **QUICK)
    assert search([two, same])[1].trace == search([one])[0].trace
    starts = {search([picture])[0].trace[0] for picture in (one, two)}
    starts |= {replace(search, seed=1)([picture])[0].trace[0] for picture in (one, two)}
    assert len(starts) == 4


def test_a_search_ends_when_its_best_waits_too_long_and_harms_no_other(clip):
    search = Pez(clip, tokens=3, steps=60, restarts=1, patience=60)
    for whole, cut in zip(search(pictures()), replace(search, patience=5)(pictures()), strict=True):
        length = len(cut.trace)
        assert cut.trace == whole.trace[:length]
        best = int(np.argmax(whole.trace[:length]))
        assert length == min(best + 1 + 5, 60)
    lengths = {len(prompt.trace) for prompt in replace(search, patience=5)(pictures())}
    assert len(lengths) > 1, "pictures of one call must end apart for this test to mean anything"


def test_the_best_of_several_restarts_counts(clip):
    one, more = (Pez(clip, **QUICK | {"restarts": n})(pictures()) for n in (1, 5))
    assert all(b.score >= a.score for a, b in zip(one, more, strict=True))
    assert any(b.score > a.score for a, b in zip(one, more, strict=True))


def test_torch_and_the_model_are_left_alone(clip):
    model = clip.loaded()[0]
    before = torch.random.get_rng_state(), torch.get_num_threads(), torch.is_grad_enabled()
    answer = Pez(clip, **QUICK)(pictures(1))
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == before[1:]
    assert all(weight.grad is None for weight in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    with torch.inference_mode():
        assert Pez(clip, **QUICK)(pictures(1)) == answer


def test_the_encoder_is_named_by_its_row_where_that_says_it_all(clip):
    assert repr(Pez(clip, steps=9)) == 'Pez("tiny-clip", steps=9)'
    deeper = Pez(clip.at(2))
    assert repr(deeper) == 'Pez(OpenClip("tiny-clip", layer=2))'
    assert replace(deeper, **QUICK)(pictures(1)) == Pez(clip, **QUICK)(pictures(1))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"tokens": 0}, "PEZ needs tokens of at least 1; seen 0"),
        ({"steps": 0}, "PEZ needs steps of at least 1; seen 0"),
        ({"patience": 0}, "PEZ needs patience of at least 1; seen 0"),
        ({"restarts": 0}, "PEZ needs restarts of at least 1; seen 0"),
        ({"rate": 0.0}, "PEZ needs a rate above 0; seen 0.0"),
        ({"rate": float("nan")}, "PEZ needs a rate above 0; seen nan"),
        ({"encoder": toys.Mean()}, "PEZ needs an encoder of open_clip; seen Mean(layer=None)"),
    ],
)
def test_what_makes_no_sense_is_told(clip, fields, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Pez(**{"encoder": clip} | fields)


def test_a_prompt_longer_than_the_tower_reads_is_told(clip):
    Pez(clip, tokens=14, steps=1, restarts=1)(pictures(1))
    sentence = 'OpenClip("tiny-clip") reads prompts of at most 14 tokens; seen 15'
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Pez(clip, tokens=15)(pictures(1))
