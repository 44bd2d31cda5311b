"""Models behind an images endpoint, asked over a real connection to a server on this machine."""

from __future__ import annotations

import base64
import json
import logging
import re
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import replace

import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.support.images_endpoint import KEY, Endpoint, refusal
from workbench import catalogue, pipeline
from workbench.cli import app
from workbench.generators import Failure, hosted
from workbench.generators.hosted import Hosted
from workbench.keys import prompt_id
from workbench.plugin import identity
from workbench.weights.checkpoint import Checkpoint

BUSY = refusal(429, "slow down", "rate_limit_exceeded", retry_after="0")


@pytest.fixture
def server(monkeypatch, tmp_path):
    """Serve pictures; give the key, ten dollars, an empty ledger and no patience."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("WORKBENCH_BUDGET", "10")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("WORKBENCH_CATALOGUE", str(tmp_path / "mine"))
    monkeypatch.setenv("WORKBENCH_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(hosted, "PAUSES", (0.0,) * 3)
    with Endpoint() as endpoint:
        yield endpoint
        endpoint.shutdown()


@pytest.fixture
def row(server):
    return Checkpoint(
        "painter",
        "generator",
        "workbench.generators.hosted.Hosted",
        "painter-9",
        size=16,
        seedable=False,
        options={"base_url": server.address, "price": 0.04, "quality": "low"},
    )


@pytest.fixture
def prompts():
    text = "a fish"
    return pd.DataFrame({"prompt_id": [prompt_id(text)], "prompt": [text]})


def _generate(row, prompts, gamma, store, seed=0):
    return pipeline.generate(prompts, {"painter": Hosted(row)}, gamma, seed, store)


def _raised(kind, call, *args):
    with pytest.raises(kind) as caught:
        call(*args)
    return str(caught.value)


def test_a_picture_is_asked_for_with_the_settings_of_the_row(row, server):
    one, two = Hosted(row)(["a fish", "a moon"], [0, 0])
    assert one.size == two.size == (16, 16)
    assert one.tobytes() != two.tobytes()
    call = {"model": "painter-9", "n": 1, "size": "16x16", "quality": "low"}
    assert server.calls == [{**call, "prompt": "a fish"}, {**call, "prompt": "a moon"}]
    Hosted(row, size="32x16", quality="high")(["a fish"], [0])
    assert server.calls[-1] == {**call, "prompt": "a fish", "size": "32x16", "quality": "high"}


def test_without_a_budget_the_price_is_shown_and_nothing_is_asked(
    row, server, prompts, store, monkeypatch
):
    monkeypatch.delenv("WORKBENCH_BUDGET")
    assert _raised(PermissionError, _generate, row, prompts, 4, store) == (
        "4 pictures of painter at $0.04 each cost up to $0.16; set WORKBENCH_BUDGET=0.16 to allow "
        "it"
    )
    assert server.calls == []
    monkeypatch.setenv("WORKBENCH_BUDGET", "0.16")
    assert _generate(row, prompts, 4, store)["failure"].isna().all()
    assert len(server.calls) == 4


def test_no_more_is_spent_than_allowed_over_runs_and_processes(
    row, server, prompts, store, monkeypatch
):
    monkeypatch.setenv("WORKBENCH_BUDGET", "0.11")
    _generate(row, prompts, 2, store)
    assert _raised(PermissionError, _generate, row, prompts, 4, store) == (
        "2 pictures of painter at $0.04 each cost up to $0.08, and $0.08 were spent before; set "
        "WORKBENCH_BUDGET=0.16 to allow it (it is 0.11)"
    )
    assert len(server.calls) == 2
    monkeypatch.setenv("WORKBENCH_BUDGET", "0.20")
    code = "import sys; from workbench.generators import _budget as ledger\n"
    code += "for _ in range(9): ledger.pay('painter', 40_000); print('paid', flush=True)"
    shops = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [shop.communicate()[0] for shop in shops]
    assert "".join(said).count("paid") == 3
    assert all(shop.returncode for shop in shops)


@pytest.mark.parametrize("text", ["five", "nan", "inf"])
def test_a_budget_is_a_number(row, server, monkeypatch, text):
    monkeypatch.setenv("WORKBENCH_BUDGET", text)
    assert _raised(ValueError, Hosted(row), ["x"], [0]) == (
        f"WORKBENCH_BUDGET is a number of US dollars, such as 5.00; seen '{text}'"
    )


@pytest.mark.parametrize("price", [None, 0, -1, "four cents"])
def test_a_price_is_never_guessed(server, tmp_path, price):
    row = catalogue.checkpoint("gpt-image-2-5-flare")
    options = {"quality": "high"} | ({} if price is None else {"price": price})
    assert _raised(ValueError, Hosted(replace(row, options=options)), ["x"], [0]) == (
        "'gpt-image-2-5-flare' has no price, so nothing is asked of it: look up what a picture of "
        "your size and quality costs in the price list of api.openai.com, and write it, in US "
        "dollars, "
        f"into {tmp_path / 'mine' / 'generators.toml'}: under [gpt-image-2-5-flare] "
        'options = { quality = "high", price = … }'
    )


def test_the_price_of_ones_own_catalogue_is_enough(server, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    own = f'[gpt-image-2-5-flare]\noptions = {{ price = 0.5, base_url = "{server.address}" }}\n'
    (tmp_path / "mine" / "generators.toml").write_text(own)
    assert catalogue.load("gpt-image-2-5-flare")(["x"], [0])[0].size == (1024, 1024)
    assert (
        catalogue.checkpoint("gpt-image-2-5-flare").digest()
        == f"gpt-image-2.5-flare-2026-09-08@{server.address}"
    )


def test_what_was_paid_is_never_paid_again(row, server, prompts, store):
    four = _generate(row, prompts, 4, store)
    eight = _generate(row, prompts, 8, store, seed=9)
    assert len(server.calls) == 8
    assert list(eight["candidate_id"][:4]) == list(four["candidate_id"])
    assert eight["candidate_id"].nunique() == 8
    cheaper = replace(row, options=dict(row.options) | {"price": 0.01}, batch=3, threads=1)
    again = _generate(cheaper, prompts, 8, store)
    assert list(again["candidate_id"]) == list(eight["candidate_id"])
    assert len(server.calls) == 8
    other = replace(row, options=dict(row.options) | {"quality": "high"})
    assert _generate(other, prompts, 1, store)["candidate_id"][0] not in set(eight["candidate_id"])


def test_a_picture_is_known_by_model_endpoint_and_settings(row):
    ours = identity(Hosted(row))
    assert identity(Hosted(replace(row, name="other"), price=3.0)) == ours
    assert identity(Hosted(replace(row, source="painter-8"))) != ours
    assert identity(Hosted(row, size="32x16")) != ours
    assert identity(Hosted(replace(row, options={"price": 0.04, "quality": "low"}))) != ours


def test_a_killed_run_keeps_what_was_paid_and_the_collector_does_too(row, server, prompts, store):
    row = replace(row, options=dict(row.options) | {"concurrent": 1})
    third = threading.Event()

    def hang(_):
        third.set()
        time.sleep(60)

    server.script = [lambda body: _picture(server, body)] * 2 + [hang]
    code = (
        "import pandas as pd; from workbench import pipeline\n"
        "from workbench.store.store import Store\n"
        "from workbench.weights.checkpoint import Checkpoint\n"
        "from workbench.generators.hosted import Hosted\n"
        f"row = Checkpoint({row.name!r}, 'generator', {row.plugin!r}, {row.source!r}, size=16,\n"
        f"    seedable=False, options={dict(row.options)!r})\n"
        f"table = pd.DataFrame({prompts.to_dict('list')!r})\n"
        "pipeline.generate(table, {'painter': Hosted(row)}, 4, 0, Store())"
    )
    child = subprocess.Popen([sys.executable, "-c", code])
    assert third.wait(60)
    child.kill()
    child.wait()
    done = CliRunner().invoke(app.app, ["store", "gc"])
    assert done.exit_code == 0, done.output
    assert re.search(r"generations +0\n", done.output)
    _generate(row, prompts, 4, store)
    assert len(server.calls) == 5  # two, the one that was killed, and the two that were missing
    paid = store._index.read("SELECT count(*), sum(paid) FROM generations")
    assert paid == [(4, 4)]


def _picture(server, body):
    data = base64.b64encode(server.picture(body["size"])).decode()
    return 200, {}, json.dumps({"created": 1, "data": [{"b64_json": data}]}).encode()


def test_what_passes_is_waited_for(row, server, monkeypatch):
    waited = []
    monkeypatch.setattr(hosted.time, "sleep", waited.append)
    monkeypatch.setattr(hosted, "PAUSES", (2.0, 4.0, 8.0))
    late = refusal(429, "slow down", retry_after="500")
    server.script = [BUSY, late, refusal(500, "oops")]
    (picture,) = Hosted(row)(["a fish"], [0])
    assert picture.size == (16, 16)
    assert waited == [0.0, hosted.LONGEST_PAUSE, 8.0]


def test_what_may_have_been_made_counts_as_paid(row, server, monkeypatch):
    """An answer that tells neither that a picture was made nor that none was."""
    monkeypatch.setattr(hosted, "PAUSES", (0.0,))
    empty = 200, {}, json.dumps({"created": 1, "data": []}).encode()
    for answer in (refusal(502, "bad gateway"), empty):
        monkeypatch.setenv("WORKBENCH_BUDGET", "1")
        server.script = [answer] * 2
        with pytest.raises((ConnectionError, ValueError)):
            Hosted(row)(["a fish"], [0])
    monkeypatch.setenv("WORKBENCH_BUDGET", "0.04")
    assert "$0.12 were spent before" in _raised(PermissionError, Hosted(row), ["a fish"], [0])


def test_an_endpoint_that_fails_every_time_is_told_and_costs_nothing(row, server, monkeypatch):
    monkeypatch.setenv("WORKBENCH_BUDGET", "0.04")
    server.script = [refusal(503, "we are down\nsorry")] * 4
    assert _raised(ConnectionError, Hosted(row), ["a fish"], [0]) == (
        "127.0.0.1 gave no picture of painter in 4 tries (503): we are down; what was paid is "
        "stored, and the same call goes on from there"
    )
    assert len(server.calls) == 4
    assert Hosted(row)(["a fish"], [0])[0].size == (16, 16)


def test_a_request_without_an_answer_may_have_been_billed(row, server, monkeypatch):
    monkeypatch.setenv("WORKBENCH_BUDGET", "0.08")
    monkeypatch.setattr(hosted, "TIMEOUT", 0.2)
    server.script = [lambda _: time.sleep(1)] * 3
    assert _raised(PermissionError, Hosted(row), ["a fish"], [0]) == (
        "1 picture of painter at $0.04 each cost up to $0.04, and $0.08 were spent before; set "
        "WORKBENCH_BUDGET=0.12 to allow it (it is 0.08)"
    )
    assert len(server.calls) == 2


def test_nobody_at_the_address_is_told(row, server, monkeypatch):
    monkeypatch.setenv("WORKBENCH_BUDGET", "0.04")
    server.shutdown()
    server.server_close()
    told = _raised(ConnectionError, Hosted(row), ["a fish"], [0])
    assert told.startswith("127.0.0.1 gave no picture of painter in 4 tries (no answer): Connect")


def test_a_refused_prompt_is_a_failure_that_costs_nothing(row, server, prompts, store, monkeypatch):
    monkeypatch.setenv("WORKBENCH_BUDGET", "0.04")
    words = "Your request was rejected by our safety system."
    server.script = [
        refusal(400, words, "moderation_blocked"),
        refusal(400, "string too long", "string_above_max_length", "prompt"),
    ]
    assert _generate(row, prompts, 1, store)["failure"][0] == (
        f"painter refused the prompt: {words}"
    )
    _generate(row, prompts, 1, store)
    assert len(server.calls) == 1
    assert Hosted(row)(["x" * 99], [0]) == [Failure("painter refused the prompt: string too long")]
    assert Hosted(row)(["a fish"], [0])[0].size == (16, 16)


@pytest.mark.parametrize(
    ("answer", "kind", "sentence"),
    [
        (
            refusal(400, "Invalid size", "invalid_value", "size"),
            ValueError,
            "127.0.0.1 refused to make painter work (400): Invalid size",
        ),
        (
            refusal(429, "You exceeded your quota", "insufficient_quota"),
            ValueError,
            "127.0.0.1 refused to make painter work (429): You exceeded your quota",
        ),
        (
            refusal(403, "verify your organization"),
            PermissionError,
            "the key in OPENAI_API_KEY may not use painter at 127.0.0.1 (403): "
            "verify your organization",
        ),
        (
            refusal(404, "no painter-9"),
            LookupError,
            "127.0.0.1 has no model 'painter-9' (404): no painter-9",
        ),
        (
            (200, {"content-type": "text/html"}, b"<h1>It works</h1>"),
            ValueError,
            "127.0.0.1 refused to make painter work (200): no picture in the answer; is it an "
            "images endpoint?",
        ),
    ],
)
def test_what_asking_again_would_not_help_is_told_at_once(row, server, answer, kind, sentence):
    server.script = [answer]
    assert _raised(kind, Hosted(row), ["a fish"], [0]) == sentence
    assert len(server.calls) == 1


def test_a_key_is_needed(row, server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    assert _raised(LookupError, Hosted(row), ["a fish"], [0]) == (
        "'painter' is asked with a key of yours: set OPENAI_API_KEY (to any word, for a server of "
        "your own that wants none)"
    )


def test_the_sdk_is_needed(row, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    assert _raised(LookupError, Hosted(row), ["a fish"], [0]) == (
        "hosted models are asked over the openai SDK: pip install 'attribution-workbench[hosted]'"
    )


def test_the_key_is_nowhere_but_in_the_header(
    row, server, prompts, store, tmp_path, monkeypatch, caplog, capsys
):
    echo = refusal(400, f"policy: your key {KEY} is known to us", "moderation_blocked")
    wrong = "sk-wrong-9876543210"
    with caplog.at_level(logging.DEBUG):
        server.script = [echo]
        table = _generate(row, prompts, 2, store)
        monkeypatch.setenv("OPENAI_API_KEY", wrong)
        with pytest.raises(PermissionError) as caught:
            _generate(row, prompts, 3, store)
    sentence = "127.0.0.1 refused the key in OPENAI_API_KEY (401): check it"
    assert str(caught.value) == sentence
    assert caught.value.__context__ is None
    trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    inside = [frame for frame in trace.stack if "workbench/" in frame.filename]
    assert {"afford", "_picture"} & {frame.name for frame in inside}
    seen = repr([frame.locals for frame in inside])
    seen += caplog.text + "".join(capsys.readouterr()) + table.to_csv() + repr(Hosted(row))
    seen += repr(identity(Hosted(row)))
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert "moderation" in seen or "policy" in seen
    assert len(files) > 3
    for secret in (KEY, wrong):
        assert secret not in seen
        assert not any(secret.encode() in file for file in files)


def test_a_picture_may_lie_at_an_address_of_the_endpoint(row, server):
    server.by_url = server.address.replace("/v1", "/picture.png")
    (picture,) = Hosted(row)(["a fish"], [0])
    assert picture.getpixel((0, 0)) == (1, 0, 7)
    assert [header for header in server.fetches if "authorization" in map(str.lower, header)] == []


def test_a_picture_is_fetched_from_nowhere_else_and_within_bounds(row, server, monkeypatch):
    root = server.address.replace("/v1", "")

    def reason(url):
        server.by_url = url
        (failure,) = Hosted(row)(["a fish"], [0])
        return failure.reason

    told = "what came is no picture: "
    assert (
        reason("http://10.0.0.1/x.png") == f"{told}it lies at http://10.0.0.1, which is not https"
    )
    assert reason("file:///etc/hostname") == f"{told}it lies at file://, which is not https"
    assert server.fetches == []
    monkeypatch.setattr(hosted, "MAX_BYTES", 20)
    assert reason(f"{root}/picture.png") == f"{told}it has more than 0 MiB"
    server.by_url = f"{root}/away"
    monkeypatch.setattr(hosted, "PAUSES", (0.0,))
    server.fetches.clear()
    told = _raised(ConnectionError, Hosted(row), ["a fish"], [0])
    host = root.removeprefix("http://")
    assert told == f"a picture could not be fetched from {host}: HTTPStatusError"
    assert len(server.fetches) == 2  # it is paid for: asked for again


def test_what_is_no_picture_is_a_failure(row, server):
    server.script = [
        (200, {}, json.dumps({"created": 1, "data": [{"b64_json": data}]}).encode())
        for data in ("bm90IGEgcGljdHVyZQ==", "x", "")
    ]
    words, padding, nothing = Hosted(row)(["a", "b", "c"], [0, 0, 0])
    assert words.reason.startswith("what came is no picture: it is not a picture of a known kind")
    assert padding.reason.startswith("what came is no picture: ")
    assert nothing == Failure("the answer held no picture")


@pytest.mark.parametrize("address", ["api.openai.com/v1", "ftp://x/v1", "https://me:word@x/v1"])
def test_an_address_is_one_without_a_password(row, address):
    told = _raised(ValueError, identity, Hosted(replace(row, options={"base_url": address})))
    assert told == (
        "the base_url of 'painter' should be like https://api.openai.com/v1, without user and "
        "password (the key is read from OPENAI_API_KEY)"
    )
