"""Attributors with a calibration, or a hybrid similarity: fitted on pictures of known source."""

from __future__ import annotations

import dataclasses
import re

import pandas as pd
import pytest

from tests.support import toys
from workbench import frames, pipeline
from workbench.attributors.reference_bank import ReferenceBank
from workbench.attributors.regeneration import Regeneration
from workbench.calibrations.learned import Learned
from workbench.calibrations.standardised import Standardised
from workbench.inverters.natural import Natural
from workbench.similarities.cosine import Cosine
from workbench.similarities.hybrid import Hybrid
from workbench.similarities.mse import NegativeMSE
from workbench.similarities.psnr import PSNR

CAPTIONS = tuple(f"caption {i}" for i in range(12))
METHODS = {
    "regeneration": Regeneration(toys.Teller(), Cosine(toys.Mean()), gamma=2, size=16),
    "matched": ReferenceBank(
        toys.Teller(), Cosine(toys.Mean()), gamma=2, size=16, prompts=CAPTIONS, bank=8
    ),
    "arbitrary": ReferenceBank(
        Natural(), NegativeMSE(), gamma=3, size=16, prompts=CAPTIONS, matched=False
    ),
}


@pytest.fixture
def store(shared_store):
    return shared_store  # what one test made, the next finds


@pytest.fixture
def images(store):
    return pipeline.make_queries(["one", "two"], toys.zoo(), store)[0]


@pytest.fixture
def known(store):
    """Return calibration pictures, one of them lost."""
    found = pipeline.make_queries(["six", "seven", "eight"], toys.zoo(), store)[0]
    lost = {"image_id": "path:0", "source": "red", "prompt": "six", "failure": "there is no file"}
    return pd.concat([found, frames.build("images", [lost])], ignore_index=True)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_without_a_calibration_nothing_is_to_be_fitted(method, known, store):
    assert (method.unfitted, method.trained) == (False, False)
    assert "calibration" not in repr(method)
    assert method.fit(known, toys.zoo(), store=store) == method


@pytest.mark.parametrize("calibration", [Standardised(), Learned()], ids=repr)
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_fitted_calibration_changes_the_scores_and_the_name(
    method, calibration, images, known, store
):
    raw = method(images, toys.zoo(), store=store).scores
    before = dataclasses.replace(method, calibration=calibration)
    assert (before.unfitted, before.trained) == (True, True)
    fitted = before.fit(known, toys.zoo(), store=store)
    assert (before.unfitted, fitted.unfitted, fitted.trained) == (True, False, True)
    assert fitted.calibration.fitted.pictures == 12  # the lost one is left out
    scores = fitted(images, toys.zoo(), store=store).scores
    assert set(scores["attributor"]) == {repr(fitted)}
    assert f"{type(calibration).__name__}(fitted=fitted(" in repr(fitted)
    expected = fitted.calibration(raw)
    pd.testing.assert_series_equal(scores["score"], expected["score"])
    assert not scores["score"].equals(raw["score"])


def test_a_fit_does_not_depend_on_the_order_of_the_pictures(known, store):
    method = dataclasses.replace(METHODS["regeneration"], calibration=Learned())
    one = method.fit(known, toys.zoo(), store=store)
    assert method.fit(known.iloc[::-1], toys.zoo(), store=store) == one
    assert one.fit(known, toys.zoo(), store=store) == one
    assert method.fit(known.iloc[1:], toys.zoo(), store=store) != one


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_what_cannot_answer_says_so_before_anything_is_made(method, images, known, store):
    before = dataclasses.replace(method, calibration=Standardised())
    log: list[list[str]] = []
    sentence = "^Standardised is fitted on calibration pictures first: "
    with pytest.raises(ValueError, match=sentence):
        before(images, toys.zoo(log=log), store=store, seed=77)
    fitted = before.fit(known, toys.zoo(), store=store)
    more = {**toys.zoo(log=log), "new": toys.Toy((0, 0, 0), log=log)}
    with pytest.raises(ValueError, match=r"; there are scores of 'new' too$"):
        fitted(images, more, store=store, seed=78)
    assert log == []


def test_a_hybrid_is_fitted_on_the_pairs_of_its_parts_and_then_the_calibration(known, store):
    parts = (Cosine(toys.Mean()), PSNR())
    method = Regeneration(
        toys.Teller(), Hybrid(parts), gamma=2, size=16, calibration=Standardised()
    )
    fitted = method.fit(known, toys.zoo(), store=store)
    prompts = pipeline.invert(known, toys.Teller(), store)
    candidates = pipeline.generate(prompts, toys.zoo(), 2, 0, store)
    values = [
        pipeline.similarity(known, prompts, candidates, part, store, 16)["value"] for part in parts
    ]
    assert fitted.similarity.means == pytest.approx([value.mean() for value in values])
    assert fitted.similarity == Hybrid(parts).fit(
        pd.concat(
            [
                pipeline.similarity(known, prompts, candidates, part, store, 16)
                for part in reversed(parts)
            ]
        )
    )
    plain = dataclasses.replace(fitted, calibration=None)
    scores = plain(known, toys.zoo(), store=store).scores
    truth = known[["image_id", "source"]].rename(columns={"source": "truth"})
    assert fitted.calibration == Standardised().fit(scores.merge(truth, on="image_id"))
    alone = dataclasses.replace(method, calibration=None)
    assert alone.unfitted
    assert alone.fit(known, toys.zoo(), store=store) == plain
    assert not plain.trained


def test_constants_that_are_given_stay(known, store):
    hybrid = Hybrid((NegativeMSE(), PSNR()), means=(0, 10), deviations=(0.1, 2))
    method = Regeneration(toys.Teller(), hybrid, gamma=2, size=16, calibration=Standardised())
    assert method.fit(known, toys.zoo(), store=store).similarity == hybrid


def test_a_known_prompt_is_not_that_of_the_calibration_pictures(known, store):
    told = Regeneration(
        Natural(text="one"), NegativeMSE(), gamma=2, size=16, calibration=Standardised()
    )
    fitted = told.fit(known, toys.zoo(), store=store)
    oracle = dataclasses.replace(told, inverter=Natural()).fit(known, toys.zoo(), store=store)
    assert fitted.calibration == oracle.calibration
    assert fitted.inverter == Natural(text="one")


def test_pictures_of_unknown_source_teach_nothing(known, store):
    method = dataclasses.replace(METHODS["regeneration"], calibration=Standardised())
    sentence = "a calibration picture has one truth, the generator that made it"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        method.fit(known.assign(source=None), toys.zoo(), store=store)
