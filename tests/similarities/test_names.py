"""A similarity of features takes its encoder by name, as the tables print it."""

from __future__ import annotations

import dataclasses
import pickle
import re

import pytest

import workbench as wb

KINDS = [wb.Cosine, wb.Correlation, wb.Euclidean, wb.Manhattan]


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_tables_print_can_be_written_in_python(kind):
    made = kind("pocket-clip", layer=1, pooling="mean")
    assert repr(made) == f'{kind.__name__}("pocket-clip", layer=1, pooling="mean")'
    assert made == wb.load(repr(made)) == kind(wb.load("pocket-clip", layer=1, pooling="mean"))
    assert kind("pocket-clip") == kind(encoder="pocket-clip") != made
    assert dataclasses.replace(made) == made == pickle.loads(pickle.dumps(made))
    assert hash(made) == hash(dataclasses.replace(made))


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_still_frozen(kind):
    with pytest.raises(dataclasses.FrozenInstanceError):
        kind("pocket-clip").encoder = None


@pytest.mark.parametrize(
    ("args", "fields", "error", "sentence"),
    [
        (
            ("pocket-clp",),
            {},
            LookupError,
            "no encoder named 'pocket-clp'; did you mean 'pocket-clip'",
        ),
        (("ssim",), {}, LookupError, "no encoder named 'ssim'; there are: "),
        ((3,), {}, TypeError, "encoder of Cosine takes, as encoder, one or the name of one, as "),
        ((), {}, TypeError, "encoder of Cosine takes, as encoder, one or the name of one, as wb."),
        (("pocket-clip",), {"lyer": 1}, ValueError, "OpenClip has no field 'lyer'; it has: "),
        ((len,), {"layer": 1}, TypeError, "Cosine takes fields of an encoder, such as 'layer', "),
    ],
)
def test_anything_else_is_refused_at_once_with_a_sentence(args, fields, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}"):
        wb.Cosine(*args, **fields)
