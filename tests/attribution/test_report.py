"""The report: self-contained, escaped, in words that do not overclaim, and redoable."""

from __future__ import annotations

import copy
import math
import re

import pytest

import workbench as wb
from workbench import images
from workbench.attribution import replay
from workbench.attribution.result import Case
from workbench.attribution.verdict import among, bar, verdict

NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)> {{ 7*7 }} & \"'"


@pytest.fixture(scope="module")
def result(tiny_data, pictures, shared_store, tmp_path_factory):
    from workbench import paths

    folder = tmp_path_factory.mktemp("nasty")
    good = folder / "<b>one & only.png"
    good.write_bytes((pictures / "one.png").read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "PLACES", [tiny_data])
        return wb.attribute([good, folder / "missing.png"], prompt=NASTY, store=shared_store)


@pytest.fixture(scope="module")
def page(result, tmp_path_factory):
    path = result.report(tmp_path_factory.mktemp("report") / "new" / "report.html")
    return path.read_text(encoding="utf-8")


def test_it_is_one_file_that_fetches_and_runs_nothing(page):
    assert not re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?!data:)[^"'\s>)]{2,}""", strip(page))
    assert re.findall(r"<script[^>]*>", page) == [
        '<script type="application/json" id="attribution-workbench">'
    ]
    assert "default-src 'none'" in page


def strip(page: str) -> str:
    """Leave the shown prompts and the settings out: their text is not markup."""
    page = re.sub(r"<blockquote>.*?</blockquote>", "", page, flags=re.DOTALL)
    return re.sub(r"<d[td]>.*?</d[td]>|<script.*?</script>", "", page, flags=re.DOTALL)


def test_every_text_is_escaped(page):
    assert "<img src=x" not in page
    assert "alert(1)</script>" not in page
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page
    assert "{{ 7*7 }}" in page
    assert "&lt;b&gt;one &amp; only.png" in page


def test_it_shows_the_picture_and_every_candidate(page, result):
    for digest in [result.paths[0][1], *result.candidates["candidate_id"]]:
        assert images.data_uri(result.store.picture(digest), 512) in page
    for name, score, _ in next(iter(result.cases.values())).ranking:
        assert name in page
        assert f"{score:.4f}" in page


def test_it_holds_seeds_settings_weights_and_versions(page, result):
    for seed in result.candidates["seed"]:
        assert f'title="seed {seed}"' in page
    for name, sha in result.setting.weights.items():
        assert name in page
        assert sha in page
    assert "torch" in page
    assert "There is no such file." in page


def test_what_it_keeps_is_read_back(result, tmp_path):
    kept = replay.read(result.report(tmp_path / "r.html"))
    assert kept == replay.payload(result)
    assert kept["call"]["prompt"] == NASTY


def test_a_second_run_alike_matches_wholly(result):
    assert all(match.matches for match in replay.compare(replay.payload(result), result))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda kept: kept["versions"].update(torch="0"), "versions"),
        (lambda kept: kept["weights"].update({"tiny-sd": "0" * 64}), "weights"),
        (lambda kept: kept.update(seed=9), "setting"),
        (lambda kept: first(kept).update(prompt="other"), "prompt"),
        (lambda kept: first(kept)["candidates"]["tiny-sd"][0].reverse(), "candidates"),
        (lambda kept: first(kept)["candidates"]["tiny-sd"].pop(), "candidates"),
        (lambda kept: first(kept)["ranking"].reverse(), "scores"),
        (lambda kept: first(kept)["ranking"][0].__setitem__(1, 0.0), "scores"),
        (lambda kept: kept.update(conformal="0.5"), "setting"),
        (lambda kept: kept.update(known="0" * 64), "setting"),
        (lambda kept: first(kept).update(best="other"), "decision"),
        (lambda kept: first(kept).update(set=["other"]), "decision"),
        (lambda kept: first(kept).update(p_known=0.5), "decision"),
        (lambda kept: kept["pictures"].clear(), "pixels"),
    ],
)
def test_what_differs_is_named(result, change, what):
    kept = copy.deepcopy(replay.payload(result))
    change(kept)
    other = [match.what for match in replay.compare(kept, result) if not match.matches]
    assert {name.rpartition(": ")[2] for name in other} == {what}


def first(kept):
    return next(iter(kept["pictures"].values()))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<p>no report</p>",
        '<script type="application/json" id="attribution-workbench">{}</script>',
    ],
)
def test_another_page_is_no_report(tmp_path, text):
    (tmp_path / "r.html").write_text(text)
    with pytest.raises(ValueError, match="is not a report that `workbench attribute --report`"):
        replay.read(tmp_path / "r.html")


def test_a_later_format_is_told(result, tmp_path):
    path = result.report(tmp_path / "r.html")
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(ValueError, match="the report has format 2; this workbench reads 1"):
        replay.read(path)


def case(margin=0.02, accepted=True, error=None, **fields):
    ranking = (("a", 0.9, 1), ("b", 0.9 - (margin or 0), 2))
    return Case(
        error=error,
        prompt="p",
        ranking=ranking,
        best="a",
        margin=margin,
        accepted=accepted,
        **fields,
    )


@pytest.mark.parametrize(
    ("outcome", "threshold", "kind", "words"),
    [
        (case(), 0.01, "attributed", "wrong at most 1 time in 20"),
        (case(), 0.01, "attributed", "does not prove that a made it"),
        (case(), None, "forced", "not calibrated for this setting"),
        (case(), None, "forced", "does not prove that a made it"),
        (case(accepted=False), 0.05, "abstained", "0.0200, is below 0.0500"),
        (case(accepted=False), math.inf, "abstained", "this setting always abstains"),
        (case(margin=0.0, accepted=False), None, "abstained", "a and b cannot be told apart"),
        (case(margin=None, accepted=False), None, "abstained", "Only a made a picture that could"),
        (case(error="there is no such file"), None, "failed", "There is no such file."),
        (case(p_known=0.016), 0.01, "rejected", "a comes nearest, but for every candidate model"),
        (case(p_known=0.016), 0.01, "rejected", "at most 1 in 20 of its own calibration"),
        (case(p_known=0.05), None, "rejected", "(p = 0.050)"),
        (case(p_known=0.051), 0.01, "attributed", "wrong at most 1 time in 20"),
    ],
)
def test_a_verdict_claims_no_more_than_was_found(outcome, threshold, kind, words):
    found = verdict(outcome, threshold)
    assert found.kind == kind
    assert words in found.text
    assert "certain" not in found.text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ""),
        ({"included": ("a", "b")}, "One of a, b: 90 % of such sets hold the true model, if it is"),
        ({"included": ("a",), "p_known": 0.5}, "a: 90 % of such sets hold the true model, if it"),
        ({"included": ("a",), "p_known": 0.05}, ""),
    ],
)
def test_a_set_is_told_with_what_it_promises(fields, words):
    found = among(case(**fields))
    assert found.startswith(words)
    assert bool(found) == bool(words)


@pytest.mark.parametrize(
    ("preset", "words", "silent"),
    [
        ("calibrated", ["One of tiny-", "p ≤ 0.05 against 38 calibration pictures"], "None of th"),
        ("strange", ["None of these.", "1 by none of these", "at most 0.0000 behind"], "One of ti"),
    ],
)
def test_a_report_of_a_calibrated_preset_tells_it(
    preset, words, silent, tiny, pictures, shared_store, tmp_path
):
    found = wb.attribute(pictures / "one.png", preset=preset, store=shared_store)
    page = found.report(tmp_path / "r.html").read_text(encoding="utf-8")
    assert [text for text in words if text not in page] == []
    assert silent not in page
    assert all(match.matches for match in replay.compare(replay.read(tmp_path / "r.html"), found))


def test_bars_span_the_scores_of_one_picture():
    assert [bar(case(), score) for _, score, _ in case().ranking] == [1.0, 1 / 12]
    tie = case(margin=0.0)
    assert [bar(tie, score) for _, score, _ in tie.ranking] == [1.0, 1.0]
    assert bar(tie, None) == 0.0
