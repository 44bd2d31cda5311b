"""What an endpoint tells beside a picture: kept with it, shown, and counted as money."""

from __future__ import annotations

import base64
import json
import threading
import time
from dataclasses import replace

import pytest

from tests.generators.test_hosted import _generate, _raised, prompts, row, server
from tests.support.images_endpoint import KEY, refusal
from workbench.attribution.attribute import attribute
from workbench.generators import ANSWER, Failure, _budget, _usage, hosted
from workbench.generators.hosted import Hosted
from workbench.plugin import identity
from workbench.store.store import Store

__all__ = ["prompts", "row", "server"]


@pytest.fixture
def store(server):
    return Store()


def _answer(server, revised=None, **more):
    """Return what answers the next request: a picture, and what is told beside it."""

    def answer(body):
        data = base64.b64encode(server.picture(body["size"])).decode()
        found = {"b64_json": data} | ({"revised_prompt": revised} if revised else {})
        return 200, {}, json.dumps({"created": 1, "data": [found], **more}).encode()

    return answer


TOKENS = {"input_tokens": 1_000, "output_tokens": 4_000, "total_tokens": 5_000}


def test_moderation_is_asked_for_and_changes_no_other_key(row, server):
    Hosted(row)(["a fish"], [0])
    Hosted(row, moderation="low")(["a fish"], [0])
    assert "moderation" not in server.calls[0]
    assert (server.calls[1]["moderation"], server.calls[1]["quality"]) == ("low", "low")
    own = replace(row, options=dict(row.options) | {"moderation": "low"})
    assert identity(Hosted(own))["repr"] == {**identity(Hosted(row))["repr"], "moderation": "low"}
    assert set(identity(Hosted(row))["repr"]) == {"model", "at", "size", "quality"}
    assert repr(Hosted(row, moderation="low")) == 'Hosted("painter", moderation="low")'


def test_what_is_told_of_a_picture_is_kept_with_it(row, server, prompts, store):
    """The store's row of each holds its own; of a second run they are read, not asked for."""
    row = replace(row, options=dict(row.options) | {"concurrent": 1})
    told = {"quality": "medium", "size": "16x16", "usage": TOKENS}
    server.script = [_answer(server, f"a fish, number {i}", **told) for i in range(2)]
    for _ in range(2):
        made = _generate(row, prompts, 2, store)
        answers = store.answers(made["candidate_id"])
        assert [answers[name] for name in made["candidate_id"]] == [
            {
                "size": "16x16",
                "quality": "medium",
                "revised_prompt": f"a fish, number {i}",
                "input_tokens": 1_000,
                "output_tokens": 4_000,
            }
            for i in range(2)
        ]
    assert len(server.calls) == 2
    assert store.verify() == []
    assert store.gc()["generations"] == 0


def test_the_report_shows_what_was_told(row, server, store, tmp_path):
    server.script = [_answer(server, "a <b>big</b> fish", quality="high")]
    zoo = {"painter": Hosted(row), "second": Hosted(replace(row, source="painter-8"))}
    picture = Hosted(row)(["a fish"], [0])[0]
    server.script = [_answer(server, "a <b>big</b> fish", quality="high")]
    result = attribute(picture, zoo=zoo, prompt="a fish", similarity="mse", gamma=1, store=store)
    page = result.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "0: quality high, size 16x16, prompt revised to “a &lt;b&gt;big&lt;/b&gt; fish”" in page
    assert "0: quality low, size 16x16</p>" in page


@pytest.mark.parametrize(
    ("usage", "options", "spent"),
    [
        (TOKENS, {"input_price": 5.0, "output_price": 2.5}, 15_000),  # .005 + .010 dollars
        (TOKENS, {"output_price": 2.5}, 40_000),  # of what was read nobody told the price
        (TOKENS, {}, 40_000),
        ({**TOKENS, "cost": 0.0123}, {}, 12_300),
        ({**TOKENS, "cost": 0.07}, {}, 70_000),  # more than the price: it is booked as it is
        ({**TOKENS, "cost": -1}, {}, 40_000),
        ({**TOKENS, "cost": "free"}, {}, 40_000),
        ({"output_tokens": "many"}, {"output_price": 2.5}, 40_000),
        (None, {"output_price": 2.5}, 40_000),
    ],
)
def test_a_picture_costs_what_its_usage_tells_and_else_its_price(
    row, server, usage, options, spent
):
    server.script = [_answer(server, usage=usage)]
    own = replace(row, options=dict(row.options) | options)
    assert identity(Hosted(own)) == identity(Hosted(row))
    (picture,) = Hosted(own)(["a fish"], [0])
    with _budget._opened() as ledger:
        assert ledger.execute("SELECT sum(micros) FROM spent").fetchone() == (spent,)
    cost = picture.info[ANSWER].get("dollars")
    assert cost == (None if spent == 40_000 else pytest.approx(spent / 1e6))


def test_what_was_saved_may_be_spent(row, server, monkeypatch):
    """A budget of one price, and pictures that cost a quarter: no more than four are made."""
    monkeypatch.setenv("WORKBENCH_BUDGET", "0.07")
    server.script = [_answer(server, usage={**TOKENS, "cost": 0.01}) for _ in range(9)]
    for index in range(4):
        Hosted(row)(["a fish"], [index])
    assert "cost up to $0.04, and $0.04 were spent before" in _raised(
        PermissionError, Hosted(row), ["a fish"], [4]
    )


@pytest.mark.parametrize(
    "answer",
    [
        refusal(400, "not allowed", "moderation_blocked"),
        refusal(400, "Your request was rejected by the safety system"),
        refusal(403, "no", "content_policy_violation"),
        refusal(422, "flagged", "content_filter"),
        refusal(451, "not here, by policy", "policy"),
        refusal(409, "blocked", "moderation_blocked"),
    ],
)
def test_a_refusal_by_policy_is_a_failure_with_its_reason_and_never_retried(
    row, server, prompts, store, monkeypatch, answer
):
    monkeypatch.setenv("WORKBENCH_BUDGET", "0.04")
    server.script = [answer]
    message = json.loads(answer[2])["error"]["message"]
    for _ in range(2):
        made = _generate(row, prompts, 1, store)
        assert made["failure"][0] == f"painter refused the prompt: {message}"
    assert len(server.calls) == 1
    assert not isinstance(Hosted(row)(["a fish"], [0])[0], Failure)  # nothing was paid for it


def test_an_account_that_may_not_is_no_refusal_of_a_prompt(row, server):
    server.script = [refusal(403, "your account is against our policy", "unverified")]
    assert "may not use painter" in _raised(PermissionError, Hosted(row), ["a fish"], [0])


def _slow(server, pause, log):
    """Answer after a pause, and note how many are being answered."""
    plain, lock, now = _answer(server), threading.Lock(), [0]

    def answer(body):
        with lock:
            now[0] += 1
            log.append(now[0])
        time.sleep(pause)
        found = plain(body)
        with lock:
            now[0] -= 1
        return found

    return answer


@pytest.mark.parametrize(("options", "most"), [({}, 4), ({"concurrent": 2}, 2)])
def test_pictures_are_asked_for_side_by_side(row, server, prompts, store, options, most):
    log: list[int] = []
    server.script = [_slow(server, 0.2, log)] * 8
    own = replace(row, options=dict(row.options) | options)
    started = time.perf_counter()
    made = _generate(own, prompts, 8, store)
    assert made["failure"].isna().all()
    assert max(log) == most
    assert time.perf_counter() - started < 8 * 0.2 + 1
    assert identity(Hosted(own)) == identity(Hosted(row))


@pytest.mark.parametrize("count", [0, 33, 1.5, "many", True])
def test_how_many_at_a_time_is_a_small_number(row, count):
    own = replace(row, options=dict(row.options) | {"concurrent": count})
    assert _raised(ValueError, lambda: Hosted(own).concurrent) == (
        f"the option concurrent of 'painter' is a number from 1 to 32; seen {count!r}"
    )


def test_one_that_fails_loses_nothing_of_its_neighbours(row, server, prompts, store):
    server.script = [_slow(server, 0.2, [])] * 3 + [refusal(404, "no painter-9")]
    assert "has no model" in _raised(LookupError, _generate, row, prompts, 4, store)
    server.script = []
    assert _generate(row, prompts, 4, store)["failure"].isna().all()
    assert len(server.calls) == 5


def test_side_by_side_no_more_is_spent_than_allowed(row, server, prompts, store, monkeypatch):
    """Each books its price before it asks; one by one three would be paid, at most four are."""
    monkeypatch.setenv("WORKBENCH_BUDGET", "0.24")
    server.script = [_answer(server, usage={**TOKENS, "cost": 0.08})] * 8
    told = _raised(PermissionError, _generate, row, prompts, 6, store)
    assert told.startswith("1 picture of painter at $0.04 each cost up to $0.04, and $0.")
    assert len(server.calls) in (3, 4)


def test_all_wait_where_one_was_told_to(row, server, monkeypatch):
    """Retry-after is of the endpoint: who had not asked yet asks after it."""
    waited: list[float] = []
    monkeypatch.setattr(hosted.time, "sleep", waited.append)
    server.script = [refusal(429, "slow down", retry_after="30")]
    Hosted(row)(["a fish"], [0])
    Hosted(row)(["a fish"], [1])
    assert waited[0] == 30.0
    assert 25 < waited[1] <= 30
    assert len(waited) == 2


def test_the_key_in_an_answer_is_not_kept(row, server):
    server.script = [_answer(server, f"a fish by {KEY}")]
    (picture,) = Hosted(row)(["a fish"], [0])
    assert picture.info[ANSWER]["revised_prompt"] == "a fish by …"


def test_strange_answers_tell_nothing():
    class Answer:
        data = ({"revised_prompt": 5},)
        quality, size, usage = 7, None, {"input_tokens": -1}

    assert _usage.told(Answer()) == {}
    assert _usage.dollars(Answer(), 1.0, 1.0) is None
