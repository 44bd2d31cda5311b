"""A report may come from anybody: every value has its type before any work is done."""

from __future__ import annotations

import json
import os
import re

import pytest

from workbench.attribution import replay

CALL = {"preset": "pocket", "gamma": 2, "seed": 1, "prompt": "a", "zoo": "pocket-sd,pocket-ld"}
CASE = {
    "error": None,
    "prompt": "a",
    "best": "x",
    "predicted": None,
    "margin": 0.5,
    "set": ["x"],
    "p_known": None,
    "ranking": [["x", 0.5], ["y", None]],
    "candidates": {"x": [[1, "0" * 64], [2, None]]},
}


def page(path, kept):
    text = kept if isinstance(kept, str) else json.dumps(kept)
    path.write_text(f"<p>{replay.MARK}{text}</script></p>")
    return path


def honest(**changes):
    whole = {"format": 1, "call": dict(CALL), "versions": {"torch": "2"}, "weights": {"x": "0"}}
    return {**whole, "pictures": {"0" * 64: dict(CASE)}, **changes}


def test_an_honest_report_is_read(tmp_path):
    assert replay.read(page(tmp_path / "r.html", honest())) == honest()
    before = honest(pictures={"0" * 64: {"error": "it is empty"}})  # a report may hold less
    assert replay.read(page(tmp_path / "r.html", before)) == before


CALLS = {
    "gamma": [1.5, "4", None, True, [1]],
    "seed": [None, 1.5, [1], {}],
    "prompt": [5, ["a"], None, {}],
    "zoo": [["pocket-sd"], 5],
    "preset": [["pocket"], 0],
    "attributor": [{}],
    "calibration": [[]],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in CALLS.items() for v in vs])
def test_a_setting_of_another_type_is_told(tmp_path, name, value):
    path = page(tmp_path / "r.html", honest(call={**CALL, name: value}))
    kind = "a whole number" if name in ("gamma", "seed") else "text"
    sentence = f"the setting {name} of the report {str(path)!r} should be {kind}; it is {value!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        replay.read(path)


def test_an_unknown_setting_is_told(tmp_path):
    path = page(tmp_path / "r.html", honest(call={**CALL, "store\x1b": "x"}))
    with pytest.raises(ValueError, match=r"that this workbench does not know: store\\x1b$"):
        replay.read(path)


OTHERS = [
    {"versions": []},
    {"versions": {"torch": 2}},
    {"weights": {"x": None}},
    {"pictures": []},
    {"pictures": {"x": []}},
    {"pictures": {"x": None}},
    *({"pictures": {"x": {**CASE, name: value}}} for name, value in [
        ("error", 5), ("prompt", []), ("margin", "x"), ("set", "x"), ("ranking", {}),
        ("ranking", ["x"]), ("ranking", [["x"]]), ("ranking", [["x", "y"]]), ("ranking", [[1, 2]]),
        ("candidates", []), ("candidates", {"x": 5}), ("candidates", {"x": [[1, 2, 3]]}),
        ("candidates", {"x": [[[], None]]}),
    ]),
]  # fmt: skip


@pytest.mark.parametrize("change", OTHERS, ids=range(len(OTHERS)))
def test_what_is_compared_later_has_its_type_too(tmp_path, change):
    path = page(tmp_path / "r.html", honest(**change))
    with pytest.raises(
        ValueError, match="is not a report that `workbench attribute --report` wrote"
    ):
        replay.read(path)


@pytest.mark.parametrize("text", ["[" * 100_000 + "]" * 100_000, "[]", "5", "{", '{"format": []}'])
def test_nested_or_other_json_is_no_report(tmp_path, text):
    with pytest.raises(
        ValueError, match="is not a report that `workbench attribute --report` wrote"
    ):
        replay.read(page(tmp_path / "r.html", text))


def test_a_page_that_begins_it_a_million_times_is_read_at_once(tmp_path):
    (tmp_path / "r.html").write_text(replay.MARK * 200_000)
    with pytest.raises(ValueError, match="is not a report"):
        replay.read(tmp_path / "r.html")


def test_what_is_no_file_or_too_large_is_told(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.html")
    for path in (tmp_path / "pipe.html", tmp_path):
        with pytest.raises(ValueError, match=r"cannot be read: it is no file$"):
            replay.read(path)
    monkeypatch.setattr(replay, "MAX_BYTES", 10)
    with pytest.raises(ValueError, match=r"cannot be read: it has more than 0 MiB$"):
        replay.read(page(tmp_path / "r.html", honest()))
