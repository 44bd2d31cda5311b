"""frames: the golden values that every stored key and seed rests on, and the tables' checks."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench import frames
from workbench.frames import Features
from workbench.keys import candidate_seed, digest, prompt_id, query_seed, redrawn_seed

# Derived by hand: sha256 of the canonical JSON, written out as bytes.
ANSWER = {"role": "generator", "steps": 20, "eta": 0.0, "stages": ["a", "b"], "none": None}
CANONICAL = b'{"eta":0.0,"none":null,"role":"generator","stages":["a","b"],"steps":20}'

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_digest_is_sha256_of_canonical_json() -> None:
    assert digest(ANSWER) == hashlib.sha256(CANONICAL).hexdigest()
    assert digest("é") == hashlib.sha256(b'"\\u00e9"').hexdigest()
    assert digest([]) == hashlib.sha256(b"[]").hexdigest()


def test_digest_golden() -> None:
    expected = "1d2a4b4326996f5e80ebd9d2bff7bdb08401d248f2f4e2afb122565414f847ce"
    assert digest(ANSWER) == expected


@settings(deadline=None)
@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_digest_forgets_the_order_of_fields_and_tells_values_apart(value: dict) -> None:
    assert digest(dict(reversed(value.items()))) == digest(value)
    assert digest([value]) != digest(value)
    assert digest({**value, "one more": 1}) != digest({**value, "one more": 1.0})


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (float("nan"), "a key is made of plain JSON values, but: .*"),
        ({"x": float("inf")}, "a key is made of plain JSON values, but: .*"),
        (np.zeros(2), "a key is made of plain JSON values, but: .*ndarray is not JSON.*"),
        (b"bytes", "a key is made of plain JSON values, but: .*bytes is not JSON.*"),
        ({1: "x"}, "a key is made of plain JSON values, but 1 names a field"),
        ([{"a": {2: 0}}], "a key is made of plain JSON values, but 2 names a field"),
    ],
)
def test_digest_refuses_what_json_cannot_say(value: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        digest(value)


def test_prompt_id_is_sha256_of_utf8() -> None:
    assert prompt_id("a red heart") == hashlib.sha256(b"a red heart").hexdigest()
    assert prompt_id("é") == hashlib.sha256(b"\xc3\xa9").hexdigest()
    assert len(prompt_id("half a \ud83d pair")) == 64  # what a tokenizer may give back


def test_seeds_are_the_first_48_bits_of_sha256() -> None:
    text = b'["candidate",7,"a photo of a red heart",3]'
    first = int.from_bytes(hashlib.sha256(text).digest()[:6], "big")
    assert candidate_seed(7, "a photo of a red heart", 3) == first
    text = b'["query",7,"a photo of a red heart",0]'
    first = int.from_bytes(hashlib.sha256(text).digest()[:6], "big")
    assert query_seed(7, "a photo of a red heart") == first


def test_seeds_golden() -> None:
    assert candidate_seed(0, "", 0) == 277069031141479
    assert candidate_seed(0, "a red heart", 1) == 97007020432039
    assert query_seed(0, "a red heart") == 132451036280897


def test_further_seeds_are_golden_and_apart():
    """sha256 of '["redrawn",7,1]', its first 12 digits; no seed follows two others."""
    assert redrawn_seed(7, 1) == int(hashlib.sha256(b'["redrawn",7,1]').hexdigest()[:12], 16)
    seeds = {redrawn_seed(seed, number) for seed in range(50) for number in range(1, 5)}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**48 for seed in seeds)


@settings(deadline=None)
@given(st.integers(0, 2**40), st.text(), st.integers(0, 500))
def test_query_and_candidate_never_share_a_seed(run_seed: int, prompt: str, index: int) -> None:
    seed = candidate_seed(run_seed, prompt, index)
    assert 0 <= seed < 2**48
    assert seed == candidate_seed(np.int64(run_seed), prompt, np.int64(index))
    assert seed != query_seed(run_seed, prompt, index)


def test_the_tables_are_those_of_the_design() -> None:
    columns = {name: " ".join(schema.columns) for name, schema in frames.SCHEMAS.items()}
    assert columns == {
        "images": "image_id path source prompt split parent_id attack intensity failure",
        "prompts": "image_id inverter prompt_id prompt score truncated failure seconds",
        "candidates": "prompt_id generator index run_seed seed candidate_id failure seconds unread",
        "similarities": "image_id prompt_id generator index similarity value",
        "scores": "image_id attributor generator score",
        "rankings": "image_id attributor generator score rank",
        "attributions": "image_id attributor predicted margin accepted",
        "evaluations": "attributor attack intensity metric slice value low high n",
    }
    keys = {name: " ".join(schema.key) for name, schema in frames.SCHEMAS.items()}
    assert keys == {
        "images": "image_id",
        "prompts": "image_id inverter",
        "candidates": "prompt_id generator index",
        "similarities": "image_id prompt_id generator index similarity",
        "scores": "image_id attributor generator",
        "rankings": "image_id attributor generator",
        "attributions": "image_id attributor",
        "evaluations": "attributor attack intensity metric slice",
    }


@pytest.mark.parametrize("name", frames.SCHEMAS)
def test_empty_tables_have_their_types_and_survive_parquet(name: str, tmp_path) -> None:
    table = frames.empty(name)
    types = {column: str(dtype) for column, dtype in table.dtypes.items()}
    assert types == frames.SCHEMAS[name].columns
    assert len(table) == 0
    table.to_parquet(tmp_path / "t.parquet")
    again = frames.check(pd.read_parquet(tmp_path / "t.parquet"), name)
    pd.testing.assert_frame_equal(again, table)


def row(**changed: object) -> dict:
    return {"image_id": "i", "attributor": "A", "generator": "g", "score": 1.0, "rank": 1} | changed


def test_check_mends_what_is_harmless_and_drops_what_is_more() -> None:
    seen = pd.DataFrame([row(score=1, rank=1.0, more="x"), row(generator="h", score=None, rank=2)])
    seen = seen.astype(object).set_index([[5, 9]])
    table = frames.check(seen, "rankings")
    assert list(table.columns) == list(frames.SCHEMAS["rankings"].columns)
    assert list(table.index) == [0, 1]
    assert list(table["rank"]) == [1, 2]
    assert str(table.score.dtype) == "float64"
    assert table.score.isna().tolist() == [False, True]
    pd.testing.assert_frame_equal(frames.check(table, "rankings"), table)


def test_a_seed_of_48_bits_survives_every_way_in() -> None:
    seed = 2**48 - 1
    given_rows = [
        {"prompt_id": "p", "generator": "g", "index": i, "run_seed": 0, "seed": s}
        for i, s in enumerate([seed, np.int64(seed), float(seed)])
    ]
    assert frames.build("candidates", given_rows).seed.tolist() == [seed] * 3


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            [row(rank="first")],
            "the column 'rank' of the rankings table must hold int64, but it holds 'first'",
        ),
        (
            [row(rank=1.5)],
            "the column 'rank' of the rankings table must hold int64, but it holds 1.5",
        ),
        (
            [row(rank=float("inf"))],
            "the column 'rank' of the rankings table must hold int64, but it holds inf",
        ),
        (
            [row(rank=None)],
            "the column 'rank' of the rankings table must hold int64, "
            "but 1 of its 1 cells are missing",
        ),
        (
            [row(score=True)],
            "the column 'score' of the rankings table must hold float64, but it holds True",
        ),
        (
            [row(score=[1])],
            r"the column 'score' of the rankings table must hold float64, but it holds \[1\]",
        ),
        (
            [row(generator=3)],
            "the column 'generator' of the rankings table must hold str, but it holds 3",
        ),
        (
            [row(generator=None)],
            "the column 'generator' of the rankings table is part of its key, "
            "but 1 of its 1 cells are missing",
        ),
        (
            [row(), row(score=0.5)],
            "the rankings table has two rows with the same key: "
            "image_id='i', attributor='A', generator='g'",
        ),
        (
            [row(scroe=1)],
            "the rankings table has no column 'scroe'; "
            "there are: image_id, attributor, generator, score, rank",
        ),
    ],
)
def test_bad_rows_are_told_in_one_sentence(rows: list, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        frames.build("rankings", rows)


def test_bad_tables_are_told_in_one_sentence() -> None:
    with pytest.raises(
        ValueError,
        match=r"^the scores table lacks the column 'attributor', 'score'; it has: image_id, gen.*$",
    ):
        frames.check(pd.DataFrame({"image_id": ["i"], "generator": ["g"]}), "scores")
    with pytest.raises(
        ValueError, match=r"^no table named 'score'; there are: images, prompts, .*"
    ):
        frames.empty("score")
    with pytest.raises(ValueError, match="accepted' of the attributions table must hold bool"):
        frames.build("attributions", [{"image_id": "i", "attributor": "a", "accepted": 1}])


def test_features_answer_in_the_order_asked() -> None:
    features = Features(("a", "b", "c"), np.eye(3), "E")
    assert features.matrix.dtype == np.float32
    np.testing.assert_array_equal(features.rows(["c", "a", "c"]), np.eye(3)[[2, 0, 2]])
    assert features.rows([]).shape == (0, 3)
    assert repr(features) == "Features(ids=('a', 'b', 'c'), encoder='E')"
    with pytest.raises(
        LookupError, match=r"^no features of E for 1 of 2 pictures, the first is 'x'$"
    ):
        features.rows(["a", "x"])
    with pytest.raises(ValueError, match=r"^2 ids need a matrix of shape \(2, D\), not \(3, 3\)$"):
        Features(("a", "b"), np.eye(3), "E")
    with pytest.raises(ValueError, match=r"^the id 'a' is there twice$"):
        Features(("a", "a"), np.eye(2), "E")


def test_a_table_kept_before_a_column_came_is_still_one():
    old = frames.build("candidates", []).drop(columns="unread")
    assert list(frames.check(old, "candidates")) == [*old, "unread"]
    row = {"prompt_id": "a", "generator": "g", "index": 0, "run_seed": 0, "seed": 1}
    kept = frames.build("candidates", [row]).drop(columns="unread")
    assert frames.check(kept, "candidates")["unread"].isna().all()
