"""What is reported of likelihood ratios and sets can be computed again from the frames."""

from __future__ import annotations

import pytest

from tests.support import toys
from workbench import experiments
from workbench.attribution import validity
from workbench.catalogue.presets import Preset
from workbench.catalogue.setting import settle
from workbench.evaluation import likelihood
from workbench.experiments import Bench
from workbench.similarities.cosine import Cosine

MEDIA = ("", "a photo of ", "an ink drawing of ")


@pytest.fixture(scope="module")
def found(tmp_path_factory, shared_store):
    path = tmp_path_factory.mktemp("calibration") / "prompts.csv"
    shown = ["a red star on grass {0}", "a red star left of a blue moon on sand {0}"]
    lines = [
        f"{MEDIA[i // 3 % 3]}{shown[i % 2].format(i)},{split}"
        for i, split in enumerate(["calibration", "evaluation", "calibration"] * 16)
    ]
    path.write_text("\n".join(["prompt,split", *lines]) + "\n")
    preset = Preset("toy", "pocket", "natural", "ssim", size=16, gamma=2, prompts=str(path))
    zoo = {name: toys.Toy(tint, noise=0.4) for name, tint in list(toys.TINTS.items())[:3]}
    similarity = Cosine(toys.Mean())
    setting = settle(preset, zoo=zoo, inverter=toys.Teller(), similarity=similarity)
    options = {"calibration": 8, "intensities": (50,), "gammas": (1, 2)}
    with pytest.MonkeyPatch.context() as patch:
        words = {"medium": [each.strip() for each in MEDIA[1:]], "object": ["star", "moon"]}
        patch.setattr("workbench.experiments.calibration.slots", lambda preset: words)
        return experiments.run("calibration", Bench(setting, 6, store=shared_store), **options)


@pytest.fixture
def table(found):
    return found.frames["results"].set_index(["part", "metric"])


def test_cllr_and_its_minimum_are_those_of_the_ratios(found, table):
    for part, trials in found.frames["ratios"].groupby("part"):
        cost = likelihood.cost(trials["log10_lr"], trials["same"])
        assert table.loc[(part, "Cllr"), "value"] == pytest.approx(cost.cllr, abs=1e-12)
        assert table.loc[(part, "minimum Cllr"), "value"] == pytest.approx(cost.minimum, abs=1e-12)
        own = trials[trials["same"]]
        misled = table.loc[(part, "true model below 1"), "value"]
        assert misled == pytest.approx((own["log10_lr"] < 0).mean())
    assert set(found.frames["ratios"]["part"]) == {"untouched", "jpeg 50"}


def test_the_preset_s_own_gamma_is_a_point_of_the_curve_and_all_smaller_zoos_are_there(table):
    at_two = table.loc[("γ = 2", "Cllr")]
    assert at_two["value"] == pytest.approx(table.loc[("untouched", "Cllr"), "value"])
    assert {part for part, _ in table.index if part.startswith("K = ")} == {"K = 2"}
    assert table.loc[("K = 2", "Cllr"), "n"] == 3 * 2 * 6  # three pairs, two models' pictures each


def test_errors_and_sets_are_those_of_the_pictures(found, table):
    pictures, errors = found.frames["pictures"], found.frames["errors"]
    for part, some in pictures.groupby("part"):
        assert table.loc[(part, "error rate"), "value"] == pytest.approx(1 - some["correct"].mean())
        assert table.loc[(part, "set coverage"), "value"] == pytest.approx(some["held"].mean())
        assert table.loc[(part, "set size"), "value"] == pytest.approx(some["size"].mean())
    assert errors["n"].sum() == len(pictures) == 2 * 3 * 6
    assert errors["wrong"].sum() == (~pictures["correct"]).sum()
    untouched = pictures[pictures["part"] == "untouched"]
    for key in ("model", "medium", "objects"):
        for name, some in untouched.groupby(key):
            row = table.loc[(f"{key} {name}", "error rate")]
            assert (row["n"], row["value"]) == (len(some), pytest.approx((~some["correct"]).mean()))
    assert set(pictures["objects"]) == {1, 2}
    assert set(pictures["medium"]) == {"not named", "a photo of", "an ink drawing of"}


def test_the_sentence_is_made_of_the_numbers(found, table):
    told = found.answer
    assert told == validity.sentence(found.frames["results"])
    assert f"Cllr {table.loc[('untouched', 'Cllr'), 'value']:.2f} (" in told
    assert "with equal prior probabilities" in told
    assert "least under jpeg 50" in told
    rates = table.xs("error rate", level="metric")["value"]
    models = rates[[name.startswith("model ") for name in rates.index]]
    assert f"by model from {models.min():.1%} (" in told
