"""What an endpoint answers after the price is booked: a picture, or a failure with its reason."""

from __future__ import annotations

import base64
import json
import tracemalloc

import pytest

from tests.generators.test_hosted import row, server
from workbench.generators import Failure, _budget, hosted
from workbench.generators.hosted import Hosted

__all__ = ["row", "server"]

ANSWERS = {
    "data is text": '{"data": "abc"}',
    "data is a table": '{"data": {"b64_json": "x"}}',
    "data holds a number": '{"data": [5]}',
    "data holds nothing": '{"data": [null]}',
    "data holds a list": '{"data": [["x"]]}',
    "the picture is a number": '{"data": [{"b64_json": 5}]}',
    "the picture is a table": '{"data": [{"b64_json": {"a": 1}}]}',
    "the picture is no base64": '{"data": [{"b64_json": "é"}]}',
    "the address is a number": '{"data": [{"url": 5}]}',
    "the address is none": '{"data": [{"url": "https://[::1"}]}',
    "the address has a strange port": '{"data": [{"url": "https://x:99999999/"}]}',
    "the address acts on a terminal": '{"data": [{"url": "https://\\u001b[31m/"}]}',
    "the address is another scheme": '{"data": [{"url": "file:///etc/hostname"}]}',
    "nested": "[" * 100_000 + "]" * 100_000,
    "nested data": '{"data": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "cut": '{"data": [{"b64_js',
    "not UTF-8": b'{"data": "\xff\xfe"}',
    "a number": "5",
    "nothing": "",
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_malformed_answer_is_a_failure_of_that_picture(row, server, monkeypatch, answer):
    monkeypatch.setattr(hosted, "PAUSES", ())
    body = ANSWERS[answer] if isinstance(ANSWERS[answer], bytes) else ANSWERS[answer].encode()
    server.script = [(200, {}, body)]
    before = len(server.calls)
    if answer == "a number":  # no answer of an images endpoint at all
        with pytest.raises(ValueError, match="no picture in the answer; is it an images endpoint"):
            Hosted(row)(["a fish"], [0])
    else:
        (found,) = Hosted(row)(["a fish"], [0])
        assert isinstance(found, Failure)
        assert found.reason.startswith(("what came is no picture: ", "the answer held no picture"))
        assert found.reason.isprintable()
        assert len(found.reason) < 400
    assert len(server.calls) == before + 1
    with pytest.raises(PermissionError, match="were spent before"):
        _budget.afford("painter", 10**9, 10**6)  # the price stays booked


def test_the_pictures_after_a_malformed_answer_come(row, server):
    server.script = [(200, {}, b'{"data": "abc"}')]
    bad, good = Hosted(row)(["a fish", "a moon"], [0, 0])
    assert isinstance(bad, Failure)
    assert good.size == (16, 16)


def test_an_answer_without_end_is_a_failure_that_is_read_no_further(row, server):
    sent = []

    def endless():
        yield b'{"data": [{"b64_json": "'
        while len(sent) < 2**13:  # 8 GiB
            sent.append(2**20)
            yield b"A" * 2**20

    server.script = [(200, {}, endless()), (200, {"content_encoding": "gzip"}, b"\x1f\x8b")]
    tracemalloc.start()
    long, packed, good = Hosted(row)(["a fish", "a moon", "a sun"], [0, 0, 0])
    assert tracemalloc.get_traced_memory()[1] < 600 * 2**20
    tracemalloc.stop()
    assert sum(sent) < 1.5 * hosted.MAX_ANSWER
    start = "what came is no picture: the answer cannot be read "
    assert long.reason == start + "(it has more than 128 MiB)"
    assert packed.reason == start + "(it is packed, and may have any size)"
    assert good.size == (16, 16)
    assert len(server.calls) == 3  # and none was paid for twice


def test_a_pause_that_is_no_number_of_seconds_is_ours(row, server, monkeypatch):
    monkeypatch.setattr(hosted, "PAUSES", (0.0,))
    for told in ("nan", "-5", "x"):
        server.script = [(503, {"retry_after": told}, json.dumps({}).encode())]
        (found,) = Hosted(row)(["a fish"], [0])
        assert found.size == (16, 16)


def test_the_sdk_reads_an_honest_answer(row, server):
    data = base64.b64encode(server.picture("16x16")).decode()
    server.script = [(200, {}, json.dumps({"created": 1, "data": [{"b64_json": data}]}).encode())]
    (found,) = Hosted(row)(["a fish"], [0])
    assert found.size == (16, 16)
