"""The report: self-contained, escaped, in words that do not overclaim, and redoable."""

from __future__ import annotations

import copy
import functools
import math
import re

import pytest
from PIL import Image

import workbench as wb
from workbench import images
from workbench.attribution import replay
from workbench.attribution.result import Candidate, Case
from workbench.attribution.verdict import bar, notes, verdict

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
    assert not re.findall(
        r"""(?:src|href|url)\s*[=(]\s*["']?(?!data:|#)[^"'\s>)]{2,}""", strip(page)
    )
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


@pytest.fixture
def of_archives(tmp_path, store):
    """Attribute a picture to archives in two folders, one model of a name in each."""
    for folder, colour in (("one", "red"), ("two", "blue"), ("box", "grey")):
        (tmp_path / "secret" / folder).mkdir(parents=True)
        Image.new("RGB", (16, 16), colour).save(tmp_path / "secret" / folder / "0.png")
        table = tmp_path / "secret" / folder / "generations.csv"
        table.write_text("file,prompt\n0.png,a fish\n")
    zoo = [tmp_path / "secret" / name for name in ("one", "two")]
    names = ",".join(f'Archive("{path}")' for path in zoo)
    run = functools.partial(wb.attribute, gamma=1, similarity="mse", prompt="a fish", store=store)
    return functools.partial(run, tmp_path / "secret" / "one" / "0.png"), names


def test_a_report_tells_names_and_no_folders_unless_asked(of_archives, tmp_path, monkeypatch):
    run, names = of_archives
    found = run(zoo=names)
    page = found.report(tmp_path / "r.html").read_text(encoding="utf-8")
    assert str(tmp_path) not in page
    assert "secret" not in page
    assert "Archive(&#34;one&#34;)" in page
    assert str(tmp_path) in found.report(tmp_path / "full.html", full_paths=True).read_text()
    kept = replay.read(tmp_path / "r.html")
    assert kept["zoo"] == ['Archive("one")', 'Archive("two")']
    monkeypatch.chdir(tmp_path / "secret")  # where names alone are paths
    again = run(zoo=kept["call"]["zoo"])
    assert [each.what for each in replay.compare(kept, again) if not each.matches] == []


def test_models_of_one_name_in_two_folders_stay_apart(of_archives, tmp_path):
    run, names = of_archives
    (tmp_path / "secret" / "two" / "one").symlink_to(tmp_path / "secret" / "two")
    found = run(zoo=names.replace('/two")', '/two/one")'))
    kept = replay.read(found.report(tmp_path / "r.html"))
    assert kept["zoo"] == ['Archive("secret/one")', 'Archive("two/one")']


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


SURE = {"probabilities": {"a": 0.97, "b": 0.03}, "limit": 0.9, "log10_lr": 1.5096}


@pytest.mark.parametrize(
    ("outcome", "threshold", "kind", "headline", "words"),
    [
        (case(), 0.01, "attributed", "Called: a.", "The margin 0.0200 is at least 0.0100."),
        (case(**SURE), None, "attributed", "Called: a.", "Probability 97.0 %, at least 90.0 %."),
        (case(**SURE), None, "attributed", "Called: a.", "LR 32.3: moderate support for a rather"),
        (case(), None, "forced", "Margin 0.0200, a forced choice: a before b.", "is most like"),
        (case(accepted=False), 0.05, "abstained", "No call.", "0.0200 over b, below 0.0500."),
        (case(accepted=False), math.inf, "abstained", "No call.", "A comes first with a margin of"),
        (
            case(accepted=False, **SURE | {"limit": math.inf}),
            None,
            "abstained",
            "No call.",
            "A comes first with a probability of 97.0 %. LR 32.3",
        ),
        (
            case(accepted=False, probabilities={"a": 0.4, "b": 0.6}, limit=0.9, log10_lr=0.1),
            None,
            "abstained",
            "No call.",
            "A comes first with a probability of 40.0 %, though b is likelier (60.0 %), below 90.0",
        ),
        (case(margin=0.0, accepted=False), None, "abstained", "No call.", "a and b cannot be told"),
        (
            case(accepted=False, not_drawn={"c": "it is too large"}),
            0.01,
            "abstained",
            "No call.",
            "Not drawn: c (it is too large). What could not be drawn cannot be ruled out;",
        ),
        (
            case(not_drawn={"c": ""}),
            None,
            "forced",
            "A forced choice without c: a comes first.",
            "Not drawn: c. It cannot be ruled out.",
        ),
        (
            case(error="there is no such file"),
            None,
            "failed",
            "Not attributed.",
            "There is no such",
        ),
        (case(p_known=0.016), 0.01, "rejected", "None of these.", "at most 1 in 20 of its own"),
        (case(p_known=0.05), None, "rejected", "None of these.", "(p = 0.050)"),
        (case(p_known=0.051), 0.01, "attributed", "Called: a.", "The margin 0.0200 is at least"),
        (
            case(accepted=False, included=("a", "b"), family="kin"),
            0.05,
            "family",
            "Called as a family: kin.",
            "Which of them it is cannot be said: a comes first with a margin of 0.0200 over b.",
        ),
    ],
)
def test_a_verdict_claims_no_more_than_was_found(outcome, threshold, kind, headline, words):
    found = verdict(outcome, threshold)
    assert (found.kind, found.headline) == (kind, headline)
    assert words in found.text
    assert "certain" not in found.text


def test_a_near_tie_is_never_a_headline():
    spread = [Candidate(i, i, "x", None, value) for i, value in enumerate([0.9, 0.8, 0.95])]
    close, wide = (
        verdict(case(margin=margin, candidates={"a": spread}), None) for margin in (0.02, 0.2)
    )
    assert close.headline == "Margin 0.0200: too close to choose between a and b."
    assert "(standard deviation 0.0764)" in close.text
    assert wide.headline == "Margin 0.2000, a forced choice: a before b."


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ""),
        ({"included": ("a", "b")}, "Narrowed to: a, b."),
        ({"included": ("a",), "p_known": 0.5}, "Narrowed to: a."),
        ({"included": ("a",), "p_known": 0.05}, ""),
        ({"included": ("a",), "not_drawn": {"b": "why"}}, ""),
    ],
)
def test_what_it_is_narrowed_to_comes_first(fields, words):
    assert verdict(case(**fields), 0.01).narrowed == words


@pytest.mark.parametrize(
    ("cases", "threshold", "begins"),
    [
        ([case()], None, ["Forced choices are not", "None of this proves"]),
        ([case(), case()], 0.01, ["Called: on calibration pictures", "None of this proves"]),
        ([case(accepted=False)], math.inf, ["No call was reliable", "None of this proves"]),
        ([case(included=("a",))], 0.01, ["Narrowed to: such sets", "Called:", "None of this"]),
        ([case(**SURE)], 0.3, ["Called:", "The probability is calibrated", "None of this proves"]),
        ([case(error="x")], 0.01, []),
    ],
)
def test_what_holds_for_the_whole_run_is_said_once(cases, threshold, begins):
    said = notes(cases, threshold)
    assert len(said) == len(begins)
    assert all(sentence.startswith(words) for sentence, words in zip(said, begins, strict=True))


def test_candidates_that_were_drawn_again_are_told_by_model():
    told = "Drawn from a further seed of their own, since the model's safety checker blacked the "
    told += "first: 3 of sd, 1 of if."
    assert told in notes([case()], None, {"sd": 3, "if": 1})
    assert told not in notes([case()], None, {})


@pytest.mark.parametrize(
    ("preset", "words", "silent"),
    [
        (
            "calibrated",
            ["Narrowed to: tiny-", "p ≤ 0.05 against 38 calibration pictures"],
            "None of these",
        ),
        (
            "strange",
            ["None of these.", "1 by none of these", "at most 0.0000 behind"],
            "Narrowed to: ti",
        ),
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
