from __future__ import annotations

import math
import tomllib
from pathlib import Path

import numpy as np
import pytest

from tests.support import toys
from workbench import paths, ranking
from workbench.attribution.fitting import fit
from workbench.attributors.regeneration import Regeneration
from workbench.calibrations.learned import Learned
from workbench.calibrations.standardised import Standardised
from workbench.catalogue import presets
from workbench.catalogue.presets import Preset
from workbench.catalogue.setting import settle
from workbench.evaluation import calibration
from workbench.evaluation.calibration import Threshold
from workbench.inverters.natural import Natural
from workbench.ranking import conformal
from workbench.similarities.mse import NegativeMSE


@pytest.fixture
def store(shared_store):
    return shared_store  # what one test made, the next finds


@pytest.fixture
def preset(tmp_path):
    path = tmp_path / "prompts.csv"
    lines = [f"scene {i},{split}" for i, split in enumerate(["calibration", "evaluation"] * 120)]
    path.write_text("\n".join(["prompt,split", *lines]) + "\n")
    text = 'Natural(text="scene 0")'
    return Preset("toy", "pocket", text, "mse", size=16, gamma=2, prompts=str(path))


def test_select_compares_every_layer_aggregation_and_similarity(preset, store):
    log: list[list[str]] = []
    found = calibration.select(
        settle(preset, zoo=toys.zoo()), 5, encoder=toys.Mean(log=log), store=store
    )
    assert len(found.grid) == (3 + 2) * 4  # three layers, two similarities of pixels
    assert found.grid["accuracy"].is_monotonic_decreasing
    assert found.similarity == found.grid["similarity"][0]
    assert (found.grid["n"] == 20).all()
    encoded = [line for call in log for line in call]
    assert len(encoded) == len(set(encoded))  # all layers in one pass
    table = tomllib.loads(found.toml())["presets"]["toy"]
    assert table == {"similarity": found.similarity, "aggregate": found.aggregate}
    assert "--preset toy --n 5 --seed 0: " in found.provenance


def test_select_under_an_attack_compares_attacked_pictures(preset, store):
    given = settle(preset, zoo=toys.zoo())
    options = {"encoder": toys.Mean(), "store": store}
    attack = toys.Black()  # nothing is left to tell the models by
    under = calibration.select(given, 3, attack=attack, **options)
    plain = calibration.select(given, 3, **options)
    assert plain.grid["accuracy"].max() == 1
    assert under.grid["accuracy"].max() < 1
    assert f"--select --attack '{attack!r}' --preset toy" in under.provenance


def test_equals_go_to_the_earlier_in_the_grid(preset, store):
    found = calibration.select(settle(preset, zoo=toys.zoo()), 3, encoder=toys.Mean(), store=store)
    best = found.grid[found.grid["accuracy"] == found.grid["accuracy"][0]]
    best = best[best["mrr"] == best["mrr"].iloc[0]]
    order = ["mean", "max", "softmax", "knn"]
    for _, part in best.groupby("similarity"):
        assert list(part["aggregate"]) == [name for name in order if name in set(part["aggregate"])]


def test_a_similarity_without_encoder_has_no_layers(preset, store):
    with pytest.raises(ValueError, match=r"^'mse' has no encoder whose layers could be compared$"):
        calibration.select(settle(preset, zoo=toys.zoo()), 3, store=store)


def test_the_threshold_is_finite_for_an_easy_zoo_and_infinite_for_too_few(preset, store):
    lines = [f"scene {i},calibration" for i in range(240)]  # a quarter of them for the threshold
    Path(preset.prompts).write_text("\n".join(["prompt,split", *lines]) + "\n")
    easy = calibration.threshold(settle(preset, zoo=toys.zoo()), 60, store=store)
    assert 0 < easy.value < math.inf
    table = tomllib.loads(easy.toml())["presets"]["toy"]
    assert table["threshold"] == easy.value
    assert table["threshold_from"].startswith("workbench calibrate --preset ")
    assert set(easy.confidence.thresholds.values()) != {math.inf}
    assert easy.advice == ""
    assert "accepts 240 of 240 calibration pictures, 0 of them wrong" in easy.provenance
    few = calibration.threshold(settle(preset, zoo=toys.zoo()), 20, store=store)  # below 59
    assert set(few.confidence.thresholds.values()) == {math.inf}
    assert few.value == math.inf
    assert "0 are wrong" in few.advice
    assert few.advice.endswith("; if it stays so, some 59 prompts (--n 59) may do.")
    assert tomllib.loads(few.toml())["presets"]["toy"]["threshold"] == "inf"


def test_attribution_sets_and_known_scores_are_found_beside_the_threshold(preset, store):
    found = calibration.threshold(settle(preset, zoo=toys.zoo()), 20, store=store)
    assert found.conformal == 0.0  # the true model is always first
    models = sorted(toys.zoo())
    assert list(found.known.arrays) == models
    assert [len(found.known[name]) for name in models] == [20] * 4
    few = calibration.threshold(settle(preset, zoo=toys.zoo()), 3, store=store)
    assert few.conformal == math.inf


def test_what_is_printed_reads_back_as_the_preset(preset, store, tmp_path, monkeypatch):
    found = calibration.threshold(settle(preset, zoo=toys.zoo()), 20, store=store)
    text = "[presets.toy]\nzoo = 'z'\ninverter = 'i'\nsimilarity = 's'\n"
    text += found.toml().partition("\n")[2]  # its lines are pasted into the table
    (tmp_path / "catalogue").mkdir()
    (tmp_path / "catalogue" / "presets.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(paths, "PLACES", [tmp_path])
    row = presets.preset("toy")
    assert (row.threshold, row.conformal) == (found.value, found.conformal)
    for name, scores in row.known:
        np.testing.assert_allclose(scores, found.known[name], rtol=1e-5)
    assert len(row.known) == 4
    assert row.confidence == found.confidence


def test_a_name_that_is_no_bare_key_reads_back_too():
    known = conformal.known({'Diffusers("a", steps=2)': [0.5]})
    found = Threshold("x", 0.5, math.inf, known, "a test", None)
    table = tomllib.loads(found.toml())["presets"]["x"]
    assert table["known"] == {'Diffusers("a", steps=2)': [0.5]}
    assert table["conformal"] == "inf"


def test_twins_leave_nothing_to_accept(preset, store):
    zoo = {"one": toys.Toy((1, 0, 0)), "two": toys.Toy((1, 0, 0), noise=0.0500001)}
    found = calibration.threshold(settle(preset, zoo=zoo), 20, store=store)
    assert found.value == math.inf
    assert "more prompts would not change that" in found.advice


@pytest.mark.parametrize("share", [0.0, 0.01, 0.02, 0.04])
def test_as_many_pictures_as_advised_pass_and_fewer_do_not(share):
    def found(count):
        right = np.ones(count, dtype=bool)
        right[: math.ceil(share * count)] = False
        return ranking.threshold([0.5] * count, right)

    count = int(ranking.enough(share))
    assert found(count) == 0.5
    assert found(count - 1) == math.inf


def test_selection_threshold_bank_and_evaluation_share_no_prompt(preset):
    parts = ("bank", "selection", "stopping", "threshold", "evaluation")
    texts = [text for part in parts for text in presets.prompts(preset, part)]
    assert len(texts) == len(set(texts)) == 240


def method(**fields):
    return Regeneration(Natural(), NegativeMSE(), gamma=2, size=16, **fields)


def test_fit_makes_fresh_pictures_of_the_selection_prompts_and_only_once(preset, store):
    log: list[list[str]] = []
    stages: list[str] = []
    fitted = fit(
        method(calibration=Standardised()), settle(preset, zoo=toys.zoo(log=log)), 3, store,
        lambda stage, done, total: stages.append(stage), n=5,
    )  # fmt: skip
    assert fitted.calibration.fitted.pictures == 5 * 4
    made = {line.partition(" scene ")[2].split()[0] for call in log for line in call}
    allowed = {text.split()[1] for text in presets.prompts(preset, "selection")}
    assert len(made) == 5
    assert made <= allowed
    assert {"fit: generate", "fit: invert", "fit: similarity"} == set(stages)
    log.clear()
    again = fit(
        method(calibration=Standardised()), settle(preset, zoo=toys.zoo(log=log)), 3, store, n=5
    )
    assert (again, log) == (fitted, [])


def test_fit_takes_25_prompts_or_all_there_are(preset, store, tmp_path):
    for prompts, taken in ((200, 25), (20, 4)):
        path = tmp_path / f"{prompts}.csv"
        rows = "".join(f"scene {i},calibration\n" for i in range(prompts))
        path.write_text(f"prompt,split\n{rows}")
        own = settle(preset.override(prompts=str(path)), zoo=toys.zoo())
        found = fit(method(calibration=Learned()), own, 0, store)
        assert found.calibration.fitted.pictures == taken * 4


def test_fit_leaves_alone_what_is_not_unfitted(preset, store):
    plain = method()
    assert fit(plain, settle(preset, zoo=toys.zoo()), 0, store) is plain
    fitted = fit(method(calibration=Learned()), settle(preset, zoo=toys.zoo()), 0, store)
    assert fit(fitted, settle(preset, zoo=toys.zoo()), 0, store) is fitted


def test_the_threshold_of_a_hybrid_is_that_of_the_fitted_one(preset, store):
    hybrid = preset.override(similarity="Hybrid((NegativeMSE(), PSNR()))")
    found = calibration.threshold(settle(hybrid, zoo=toys.zoo()), 3, store=store)
    inner = 'Regeneration(Natural(text="scene 0"), Hybrid((NegativeMSE(), PSNR()), means=('
    assert inner in found.provenance
