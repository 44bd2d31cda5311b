"""Hybrid: the sum by hand, its constants from calibration pairs, its way through the pipeline."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from tests.contracts.plugins import pictures
from tests.support import toys
from workbench import catalogue, frames, pipeline
from workbench.inverters.natural import Natural
from workbench.plugin import identity
from workbench.similarities.cosine import Cosine
from workbench.similarities.hybrid import Hybrid
from workbench.similarities.mse import NegativeMSE
from workbench.similarities.psnr import PSNR
from workbench.similarities.ssim import SSIM

PARTS = (NegativeMSE(), PSNR())


@pytest.fixture
def store(shared_store):
    return shared_store  # what one test made, the next finds


def pairs(values: dict[str, list[list[float | None]]]) -> pd.DataFrame:
    """Make a similarities frame: similarity → a row of values for each test image."""
    rows = [
        {
            "image_id": f"image {i}",
            "prompt_id": "p",
            "generator": "g",
            "index": j,
            "similarity": name,
            "value": value,
        }
        for name, table in values.items()
        for i, row in enumerate(table)
        for j, value in enumerate(row)
    ]
    return frames.build("similarities", rows)


def test_it_is_the_weighted_sum_of_standardised_parts():
    tests, candidates = pictures(2), pictures()
    hybrid = Hybrid(PARTS, (0.2, 0.8), means=(-0.1, 12.0), deviations=(0.05, 3.0))
    a, b = (part(tests, candidates) for part in PARTS)
    expected = 0.2 * (a + 0.1) / 0.05 + 0.8 * (b - 12) / 3
    assert np.allclose(hybrid(tests, candidates), expected)


def test_unfitted_it_is_the_mean_of_its_parts():
    tests = pictures(3)
    hybrid = Hybrid(PARTS)
    assert hybrid.unfitted
    assert not Hybrid(PARTS, means=(0, 0)).unfitted
    assert np.allclose(hybrid(tests, tests), np.mean([p(tests, tests) for p in PARTS], axis=0))


def test_fit_finds_the_mean_and_the_deviation_within_an_image():
    """Images of mean 1 and 5, each ±1: mean 3, deviation 1, however far apart the images are."""
    frame = pairs({"NegativeMSE()": [[0, 2], [4, 6, None]], "PSNR()": [[10, 14], [20, 24, 22]]})
    fitted = Hybrid(PARTS).fit(frame)
    assert fitted.means == (3.0, 18.0)
    assert fitted.deviations == pytest.approx((1.0, np.sqrt(16 / 5)))
    assert fitted == Hybrid(PARTS).fit(frame.sample(frac=1, random_state=0))
    assert Hybrid(PARTS).unfitted
    assert not fitted.unfitted
    assert {type(value) for value in fitted.means + fitted.deviations} == {float}


def test_fitted_parts_have_mean_0_and_deviation_1():
    tests = pictures(4)
    table = {repr(part): part(tests, tests).tolist() for part in PARTS}
    fitted = Hybrid(PARTS, weights=(1, 0)).fit(pairs(table))
    values = fitted(tests, tests)
    assert values.mean() == pytest.approx(0, abs=1e-9)
    assert np.sqrt(values.var(axis=1).mean()) == pytest.approx(1)


def test_fit_needs_pairs_that_vary_for_every_part():
    with pytest.raises(ValueError, match=r"^there are no calibration pairs of PSNR\(\) to fit a"):
        Hybrid(PARTS).fit(pairs({"NegativeMSE()": [[0, 1]], "PSNR()": [[None, None]]}))
    with pytest.raises(ValueError, match=r"^PSNR\(\) finds the candidates of each calibration"):
        Hybrid(PARTS).fit(pairs({"NegativeMSE()": [[0, 1]], "PSNR()": [[3, 3], [4, 4]]}))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"parts": ()}, "the parts of a hybrid are similarities, at least one; seen none"),
        ({"weights": (1,)}, "a hybrid of 2 parts has as many weights, or none; seen 1"),
        ({"means": (1, 2, 3)}, "a hybrid of 2 parts has as many means, or none; seen 3"),
        ({"deviations": (1, 0)}, "the deviations of a hybrid are above 0; seen (1.0, 0.0)"),
    ],
)
def test_what_makes_no_hybrid_is_refused(fields, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Hybrid(**{"parts": PARTS, **fields})


def test_it_reads_back_with_nested_parts_and_tells_all_weights():
    text = (
        'Hybrid((Cosine("pocket-clip", layer=2), Hybrid((SSIM(),)), SSIM()), '
        "weights=(0.5, 0.25, 0.25), means=(0.1, -3.5, 0.0), deviations=(1e-05, 2.0, 1.0))"
    )
    hybrid = catalogue.load(text, "similarity")
    assert repr(hybrid) == text
    assert list(catalogue.weights(hybrid)) == ["pocket-clip"]
    assert Hybrid(list(PARTS), [1, 2]) == Hybrid(PARTS, (1.0, 2.0))


def test_its_identity_names_the_weights_of_its_parts():
    one = identity(catalogue.parse('Hybrid((Cosine("pocket-clip"), SSIM()))'))
    cosine, _ = one["parts"]
    assert cosine["encoder"]["checkpoint"]["weights"] == (
        catalogue.checkpoint("pocket-clip").digest()
    )


def test_the_pipeline_puts_it_together_from_cached_features(store):
    images, _ = pipeline.make_queries(["one", "two"], toys.zoo(), store)
    prompts = pipeline.invert(images, Natural(), store)
    candidates = pipeline.generate(prompts, toys.zoo(), 2, 0, store)
    candidates.loc[0, ["candidate_id", "failure"]] = [None, "lost"]
    log: list[list[str]] = []
    parts = (Cosine(toys.Mean(log=log)), SSIM())
    single = [
        pipeline.similarity(images, prompts, candidates, part, store, 16)["value"] for part in parts
    ]
    log.clear()
    hybrid = Hybrid(parts, (1, 2), means=(0.5, 0.1), deviations=(0.1, 0.2))
    whole = pipeline.similarity(images, prompts, candidates, hybrid, store, 16)
    assert log == []
    assert set(whole["similarity"]) == {repr(hybrid)}
    assert whole["value"].isna().sum() == single[0].isna().sum() > 0
    expected = (single[0] - 0.5) / 0.1 + 2 * (single[1] - 0.1) / 0.2
    pd.testing.assert_series_equal(whole["value"], expected, check_names=False)
