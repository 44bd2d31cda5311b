"""Tokenizers of the pocket zoo, learned from its captions, in the classes the models expect.

All keep the whole byte (or letter) alphabet, so that any prompt whatever can be written.
"""

from __future__ import annotations

from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

from workbench.pocket.world import CORPORA, scenes

if TYPE_CHECKING:
    from transformers import BertTokenizer, CLIPTokenizer, T5Tokenizer

CONTEXT = 32
"""Tokens that pocket-clip's text tower reads, begin and end included."""


@cache
def _captions() -> list[str]:
    return [str(scene) for scene in islice(scenes("train", CORPORA["world"], seed=0), 3000)]


def clip_tokenizer() -> CLIPTokenizer:
    """Return a byte-pair tokenizer in CLIP's form; the end token has the highest id."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    learned = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learned.normalizer = normalizers.Lowercase()
    learned.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    learned.train_from_iterator(
        (caption.replace(",", " ,") for caption in _captions()),
        trainers.BpeTrainer(
            vocab_size=2000,
            end_of_word_suffix="</w>",
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    import json

    merges = [tuple(pair) for pair in json.loads(learned.to_str())["model"]["merges"]]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [
        *letters,
        *(letter + "</w>" for letter in letters),
        *("".join(pair) for pair in merges),
    ]
    words = [*dict.fromkeys(words), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=CONTEXT)


def word_tokenizer(max_length: int) -> BertTokenizer:
    """Return a tokenizer of the grammar's words, letters for any other, in BERT's form."""
    import string

    from transformers import BertTokenizer

    words = sorted(
        {word for caption in _captions() for word in caption.replace(",", " , ").split()}
    )
    letters = list(string.ascii_lowercase + string.digits + string.punctuation)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    entries = list(
        dict.fromkeys([*special, *letters, *("##" + letter for letter in letters), *words])
    )
    vocabulary = {entry: number for number, entry in enumerate(entries)}
    return BertTokenizer(vocab=vocabulary, do_lower_case=True, model_max_length=max_length)


def t5_tokenizer(max_length: int) -> T5Tokenizer:
    """Return a tokenizer of words and letters as a unigram vocabulary in T5's form."""
    import string

    from transformers import T5Tokenizer

    words = sorted(
        {word for caption in _captions() for word in caption.replace(",", " , ").split()}
    )
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -8.0)]
    pieces += [("▁" + word, -2.0) for word in words]
    known = {piece for piece, _ in pieces}
    characters = string.ascii_letters + string.digits + string.punctuation
    pieces += [(letter, -10.0) for letter in characters if letter not in known]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=max_length)
