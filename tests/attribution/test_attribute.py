"""One call from pictures to verdicts: its plan, its frames, its records."""

from __future__ import annotations

import json

import pytest

import workbench as wb
from workbench import frames
from workbench.catalogue.setting import settle
from workbench.similarities.ssim import SSIM

KEYS = [
    "image",
    "prompt",
    "predicted",
    "verdict",
    "ranking",
    "margin",
    "set",
    "family",
    "p_known",
    "probabilities",
    "log10_lr",
    "not_drawn",
    "evidence",
    "seconds",
    "error",
]


@pytest.fixture
def result(tiny, pictures, shared_store):
    missing = pictures / "missing.png"
    return wb.attribute([pictures, missing, pictures / "one.png"], store=shared_store)


def test_every_path_has_its_answer_and_the_same_pixels_are_one_row(result, pictures):
    names = [path.rpartition("/")[2] for path, _ in result.paths]
    assert names == ["three.png", "one.png", "two.jpg", "missing.png", "one.png"]
    assert len(result.images) == 4
    records = result.records()
    assert records[1] | {"image": ""} == records[4] | {"image": ""}
    assert records[1]["ranking"] == records[4]["ranking"]


def test_the_frames_follow_their_schemas(result):
    for name in frames.SCHEMAS:
        if name != "evaluations":
            frames.check(getattr(result, name), name)


def test_a_record_has_every_key_and_is_plain_json(result):
    for record in result.records():
        assert list(record) == KEYS
        assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_a_failed_picture_has_nulls_and_a_sentence_and_does_not_stop_the_others(result):
    failed = result.records()[3]
    assert failed.pop("error") == "there is no such file"
    assert failed.pop("image").endswith("missing.png")
    assert failed.pop("verdict")["headline"] == "Not attributed."
    assert failed.pop("not_drawn") == {}
    assert set(failed.values()) == {None}
    assert sum(record["error"] is None for record in result.records()) == 4


def test_a_record_ranks_the_zoo_and_its_margin_is_the_first_gap(result):
    record = result.records()[0]
    first, second = record["ranking"]
    assert {first["generator"], second["generator"]} == {"tiny-sd", "tiny-ld"}
    assert (first["rank"], second["rank"]) == (1, 2)
    assert record["margin"] == pytest.approx(first["score"] - second["score"], abs=1e-9)
    assert record["predicted"] == first["generator"]


def test_a_calibrated_preset_tells_the_set_and_the_chance_of_each_picture(
    result, tiny, pictures, shared_store
):
    paths = [pictures, pictures / "missing.png"]
    found = wb.attribute(paths, preset="calibrated", store=shared_store)
    for plain, record in zip(result.records(), found.records(), strict=False):
        assert list(record) == KEYS
        assert (plain["set"], plain["p_known"]) == (None, None)
        assert plain["predicted"] == record["predicted"]
        if record["error"] is None:
            assert record["set"] == [row["generator"] for row in record["ranking"]]
            assert record["p_known"] == 1.0
    assert (record["set"], record["p_known"]) == (None, None)  # of the missing one
    assert found.sets["included"].all()


def test_what_is_unlike_all_calibration_pictures_is_not_called(tiny, pictures, shared_store):
    found = wb.attribute(pictures, preset="strange", store=shared_store)
    assert not found.attributions["accepted"].any()
    for record, case in zip(found.records(), found.cases.values(), strict=True):
        assert case.rejected
        assert record["predicted"] is None
        assert record["p_known"] == 1 / 20
        assert record["set"] == [case.best]


def test_a_second_run_makes_nothing_and_says_the_same(result, tiny, pictures, shared_store):
    before = shared_store.info()["generations"]
    again = wb.attribute([pictures], store=shared_store)
    assert shared_store.info()["generations"] == before
    assert again.records()[0]["ranking"] == result.records()[0]["ranking"]


def test_gamma_extends_the_candidates(tiny, pictures, shared_store, result):
    more = wb.attribute(pictures / "one.png", gamma=3, store=shared_store)
    key = ["prompt_id", "generator", "index", "seed", "candidate_id"]
    one = result.candidates.merge(more.candidates, on=key)
    assert len(one) == 4
    assert len(more.candidates) == 6


@pytest.mark.parametrize(
    ("options", "threshold"),
    [
        ({}, 0.0),
        ({"seed": 7}, 0.0),
        ({"gamma": 2}, 0.0),  # what the preset says anyway
        ({"attributor": "regeneration"}, 0.0),
        ({"gamma": 3}, None),
        ({"aggregate": "max"}, None),
        ({"similarity": "ssim"}, None),
        ({"similarity": SSIM()}, None),
        ({"prompt": "a red circle"}, None),
        ({"inverter": "empty"}, None),
        ({"inverter": "pez"}, None),
        ({"zoo": "tiny-ld,tiny-sd"}, None),
        ({"attributor": "reference_bank"}, None),
        ({"calibration": "standardised"}, None),
    ],
)
def test_what_changes_the_setting_but_not_the_seed_drops_the_calibration(tiny, options, threshold):
    assert settle(**options).threshold == threshold
    found = settle("calibrated", **options)
    kept = [found.threshold, found.conformal, found.known]
    assert [each is not None for each in kept] == [threshold is not None] * 3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"preset": "poket"}, r"no preset named 'poket'; did you mean 'pocket'\? There are: "),
        ({"inverter": "tiny-blp"}, "no inverter named 'tiny-blp'; did you mean 'tiny-blip'"),
        ({"zoo": "tiny-sd"}, "a zoo has at least two candidate models; seen tiny-sd"),
        ({"gamma": 0}, "gamma, the candidate images per model, is at least 1; seen 0"),
        ({"aggregate": "median"}, "no aggregation named 'median'; there are: mean, max"),
        (
            {"calibration": "tandardised"},
            "no calibration named 'tandardised'; did you mean 'standardised'",
        ),
        ({"calibration": "SSIM()"}, r"SSIM\(\) cannot serve as calibration; there are: learned"),
        ({"attributor": "oracle"}, "no attributor named 'oracle'; there are: "),
        (
            {"prompt": "x", "inverter": "empty"},
            "a known prompt leaves nothing to invert: give a prompt or an inverter",
        ),
    ],
)
def test_an_option_that_makes_no_sense_is_told_before_any_work(tiny, options, sentence):
    with pytest.raises((LookupError, ValueError), match=sentence):
        wb.attribute("anything.png", **options)


def test_a_whole_attributor_decides_itself_and_reads_back_from_its_repr(tiny):
    named = settle(gamma=3)
    whole = settle(attributor=named.attributor)
    again = settle(**whole.call)
    assert repr(again.attributor) == repr(whole.attributor) == repr(named.attributor)
    assert again.threshold is None
    same = settle(attributor=settle().attributor)
    assert same.threshold == 0.0
    with pytest.raises(ValueError, match="an attributor given whole decides inverter"):
        settle(attributor=named.attributor, gamma=2)
    with pytest.raises(ValueError, match="gamma and calibration itself: give either it or these"):
        settle(attributor=named.attributor, calibration="learned")


def test_pez_takes_the_encoder_that_ranks_in_its_projected_space(tiny):
    setting = settle(similarity='Cosine("tiny-clip", layer=2)', inverter="pez")
    assert repr(setting.attributor.inverter) == 'Pez("tiny-clip")'
    assert repr(setting.attributor.similarity) == 'Cosine("tiny-clip", layer=2)'
    assert list(setting.weights) == ["tiny-clip", "tiny-ld", "tiny-sd"]
    assert settle(**setting.call).attributor == setting.attributor
    bank = settle(attributor="reference_bank", inverter="interrogator")
    assert repr(bank.attributor.inverter) == 'Interrogator("tiny-blip", "tiny-clip")'


def test_a_searched_prompt_is_attributed_and_searched_once(tiny, pictures, shared_store):
    pez = 'Pez("tiny-clip", tokens=3, steps=5)'
    one, two = (
        wb.attribute(pictures / "one.png", inverter=pez, gamma=1, store=shared_store)
        for _ in range(2)
    )
    assert one.records()[0]["error"] is None
    assert one.prompts.loc[0, "inverter"] == pez
    assert -1 <= one.prompts.loc[0, "score"] <= 1
    assert one.prompts.equals(two.prompts)


def test_a_reference_bank_needs_no_new_pictures_per_query(tiny, pictures, shared_store):
    one = wb.attribute(pictures, attributor="reference_bank", store=shared_store)
    assert {record["error"] for record in one.records()} == {None}
    assert one.setting.threshold is None
    cases = list(one.cases.values())
    assert all(len(made) == 2 for case in cases for made in case.candidates.values())


CLIP, BLIP = 'OpenClip("tiny-clip")', 'Blip("tiny-blip")'


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("chance", "Chance()"),
        ("aedr", "AEDR()"),
        ("knn", f"KNN({CLIP}, size=32)"),
        ("probe", f"Probe({CLIP}, size=32)"),
        ("defake", f"DeFake({BLIP}, {CLIP}, size=32)"),
        (
            "fusion",
            f'Fusion((Regeneration({BLIP}, Cosine("tiny-clip"), gamma=2, size=32), '
            f"DeFake({BLIP}, {CLIP}, size=32)))",
        ),
    ],
)
def test_an_attributor_takes_its_fields_from_the_preset_by_name(tiny, name, made):
    setting = settle(attributor=name)
    assert repr(setting.attributor) == made
    assert setting.threshold is None


def test_a_rival_over_features_needs_an_encoder(tiny):
    sentence = r"^knn needs a similarity over an encoder; seen SSIM\(\)$"
    with pytest.raises(ValueError, match=sentence):
        settle(attributor="knn", similarity="ssim")
    with pytest.raises(ValueError, match=r"^knn has no use for prompt and gamma: leave it out$"):
        settle(attributor="knn", prompt="a thing", gamma=8)


@pytest.mark.parametrize("name", ["chance", "aedr"])
def test_what_makes_no_candidates_has_a_verdict_and_a_report(
    tiny, pictures, shared_store, tmp_path, name
):
    result = wb.attribute(pictures, attributor=name, store=shared_store)
    for record in result.records():
        assert record["error"] is None
        assert record["prompt"] is None
        assert len(record["ranking"]) == 2
    page = result.report(tmp_path / "report.html").read_text()
    assert repr(result.setting.attributor) in page


@pytest.mark.parametrize("name", ["regeneration", "reference_bank"])
def test_a_calibration_is_fitted_first_and_only_once(name, tiny, pictures, shared_store):
    stages: list[str] = []
    options = {"attributor": name, "calibration": "standardised", "store": shared_store}
    one = wb.attribute(
        pictures, **options, progress=lambda stage, done, total: stages.append(stage)
    )
    assert {"fit: generate", "generate"} <= set(stages)
    learned = one.setting.attributor.calibration.fitted
    assert learned.pictures == 2 * 2  # the selection prompts there are, by two models
    assert set(one.scores["attributor"]) == {repr(one.setting.attributor)}
    assert one.setting.call["calibration"] == "standardised"
    for record in one.records():
        assert json.loads(json.dumps(record, allow_nan=False)) == record
        assert record["predicted"] == record["ranking"][0]["generator"]
    before = shared_store.info()
    two = wb.attribute(pictures, **options)
    assert shared_store.info() == before
    assert two.records()[0]["ranking"] == one.records()[0]["ranking"]
    assert two.setting.attributor == one.setting.attributor


def test_a_report_of_a_calibrated_run_is_redone(tiny, pictures, shared_store, tmp_path):
    options = {"calibration": "learned", "gamma": 1, "store": shared_store}
    one = wb.attribute(pictures / "one.png", **options)
    page = one.report(tmp_path / "report.html")
    text = page.read_text()
    assert "not calibrated for this setting" in text
    assert "<dt>calibration</dt>" in text
    kept = wb.attribution.replay.read(page)
    two = wb.attribute(pictures / "one.png", **kept["call"], store=shared_store)
    assert all(match.matches for match in wb.attribution.replay.compare(kept, two))


def test_a_fitted_object_is_used_as_it_is(tiny, pictures, shared_store):
    one = wb.attribute(pictures, calibration="learned", store=shared_store)
    fitted = one.setting.attributor.calibration
    two = wb.attribute(pictures, calibration=fitted, aggregate="max", store=shared_store)
    assert two.setting.attributor.calibration == fitted
    with pytest.raises(ValueError, match=r"^what was fitted cannot be read back from a repr, "):
        settle(**two.setting.call)


def test_a_hybrid_similarity_is_fitted_first(tiny, pictures, shared_store):
    text = "Hybrid((Cosine('tiny-clip', layer=1), SSIM()))"
    found = wb.attribute(pictures, similarity=text, store=shared_store).setting
    assert len(found.attributor.similarity.means) == 2
    assert found.threshold is None
    assert set(found.weights) == {"tiny-blip", "tiny-clip", "tiny-sd", "tiny-ld"}


def test_adaptive_takes_its_fields_from_the_preset(tiny, pictures, shared_store):
    made = settle(attributor="adaptive", gamma=6)
    name = 'Adaptive(Blip("tiny-blip"), Cosine("tiny-clip"), gamma=6, size=32)'
    assert repr(made.attributor) == name
    assert made.threshold is None
    assert repr(settle(attributor=name).attributor) == name
    found = wb.attribute(
        pictures / "one.png", attributor="adaptive", gamma=6, prompt="a thing", store=shared_store
    )
    (case,) = found.cases.values()
    assert case.error is None
    assert {len(made) for made in case.candidates.values()} <= {4, 6}


def test_jupyter_shows_the_pictures_and_no_page(result):
    html = result._repr_html_()
    assert html.startswith("<div>")
    assert html.count("<article") == 4
    assert "<html" not in html
    assert "missing.png: there is no such file" in repr(result)
