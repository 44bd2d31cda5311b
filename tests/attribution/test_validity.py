"""What was measured beforehand goes into reports of the very setting, and of no other."""

from __future__ import annotations

import json
import shutil

import pytest

import workbench as wb
from workbench import experiments
from workbench.attribution import validity
from workbench.catalogue.setting import settle


@pytest.fixture(scope="module")
def reference(tiny_data, shared_store):
    """Leave a reference of the tiny models, made by the experiment itself."""
    from workbench import paths

    folder = tiny_data / "reference" / "calibration"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "PLACES", [tiny_data])
        bench = experiments.Bench(settle("pocket"), 2, store=shared_store)
        options = {"calibration": 3, "intensities": (50,), "gammas": (2,)}
        found = experiments.run("calibration", bench, **options)
        yield found.save(folder)
        shutil.rmtree(folder.parent)


@pytest.mark.usefixtures("tiny")
def test_it_is_told_of_the_setting_that_was_measured(reference):
    kept = json.loads((reference / "provenance.json").read_text())
    assert validity.told(settle("pocket")) == kept["answer"]
    assert validity.told(settle("pocket", gamma=1)) is None
    assert validity.told(settle("pocket", attributor="chance")) is None
    assert validity.told(settle("never")) is None


@pytest.mark.usefixtures("tiny")
def test_other_weights_or_a_damaged_reference_are_not_told_of(reference):
    file = reference / "provenance.json"
    text = file.read_text()
    try:
        kept = json.loads(text)
        file.write_text(json.dumps(kept | {"weights": kept["weights"] | {"tiny-sd": "0" * 64}}))
        assert validity.told(settle("pocket")) is None
        file.write_text("{")
        assert validity.told(settle("pocket")) is None
    finally:
        file.write_text(text)


@pytest.mark.usefixtures("tiny")
def test_a_report_tells_it(reference, pictures, shared_store, tmp_path):
    found = wb.attribute(pictures / "one.png", store=shared_store)
    page = found.report(tmp_path / "r.html").read_text(encoding="utf-8")
    assert "measured beforehand" in page
    assert validity.told(settle("pocket")) in page.replace("&#39;", "'")


@pytest.mark.usefixtures("tiny")
def test_without_a_reference_there_is_nothing_to_tell():
    assert validity.told(settle("never")) is None
