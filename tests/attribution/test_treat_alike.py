"""Candidates that go the test picture's way: asked for, told, and made again from a report."""

from __future__ import annotations

import json

import pytest
from PIL import Image

import workbench as wb
from workbench.attribution import replay
from workbench.attribution.cards import WHOLE
from workbench.catalogue.setting import settle
from workbench.evaluation import benchmark


@pytest.fixture
def result(tiny, pictures, shared_store):
    paths = [pictures / "two.jpg", pictures / "one.png", pictures / "missing.png"]
    return wb.attribute(paths, store=shared_store, treat_alike=True)


def test_a_record_says_what_candidates_went_through(result):
    told = [record["treated"] for record in result.records()]
    assert "brought to 48 pixels a side and compressed with JPEG of quality 75. " in told[0]
    assert "one crop for all" in told[0]
    assert "No compression or enlargement was found" in told[1]
    assert told[2] is None
    assert json.dumps(result.records())


def test_it_is_not_calibrated_and_its_name_says_so(result):
    assert result.setting.threshold is None
    assert repr(result.setting.attributor).endswith("alike=True)")
    assert result.setting.call["treat_alike"] is True


def test_a_report_tells_it_and_is_made_again_with_it(result, pictures, tmp_path, shared_store):
    path = result.report(tmp_path / "it.html")
    page = path.read_text(encoding="utf-8")
    assert "compressed with JPEG of quality 75" in page
    assert "one crop for all" in page
    kept = replay.read(path)
    again = wb.attribute(
        [pictures / "two.jpg", pictures / "one.png"], **kept["call"], store=shared_store
    )
    assert all(match.matches for match in replay.compare(kept, again))


def test_a_wide_picture_is_drawn_for_in_its_aspect_where_all_models_can(
    tiny, shared_store, tmp_path
):
    Image.linear_gradient("L").resize((50, 31)).convert("RGB").save(tmp_path / "wide.png")
    wide = wb.attribute(tmp_path / "wide.png", store=shared_store, gamma=1, treat_alike=True)
    sides = {shared_store.picture(name).size for name in wide.candidates["candidate_id"]}
    assert sides == {(40, 24)}
    (told,) = [record["treated"] for record in wide.records()]
    assert "the largest centred part of 10 to 6 was inverted" in told
    path = wide.report(tmp_path / "wide.html")
    assert "one aspect for all" in path.read_text(encoding="utf-8")
    kept = replay.read(path)
    again = wb.attribute(tmp_path / "wide.png", **kept["call"], store=shared_store)
    assert all(match.matches for match in replay.compare(kept, again))


def test_without_it_nothing_is_said_and_nothing_changes(tiny, pictures, shared_store, tmp_path):
    plain = wb.attribute(pictures / "two.jpg", store=shared_store)
    same = wb.attribute(pictures / "two.jpg", store=shared_store, treat_alike=False)
    assert "treated" not in plain.records()[0]
    assert plain.setting.call == same.setting.call
    assert "treat_alike" not in plain.setting.call
    assert repr(plain.setting.attributor) == repr(same.setting.attributor)
    assert plain.treatments == {}
    assert WHOLE in plain.report(tmp_path / "it.html").read_text(encoding="utf-8")
    Image.open(pictures / "one.png").resize((48, 48)).save(tmp_path / "square.png")
    square = wb.attribute(tmp_path / "square.png", store=shared_store)
    assert "alike" not in square.report(tmp_path / "square.html").read_text(encoding="utf-8")


def test_an_attributor_that_compares_no_candidates_has_no_use_for_it(tiny):
    with pytest.raises(ValueError, match=r"^knn has no use for treat_alike: leave it out$"):
        settle("pocket", attributor="knn", treat_alike=True)


def test_an_evaluation_treats_the_controls_alike_too(tiny, shared_store):
    found = benchmark.evaluate_preset("pocket", 2, store=shared_store, treat_alike=True)
    assert all("alike=True" in name for name in found.attributors.values())
    assert found.summary["settings"]["threshold"] is None
