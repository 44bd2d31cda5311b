"""Did this model make it?"""

from __future__ import annotations

import json

import numpy as np
import pytest

import workbench as wb
from tests.support import toys
from workbench import pipeline
from workbench.attribution import verification
from workbench.catalogue.presets import Preset
from workbench.catalogue.setting import settle
from workbench.ranking import oneclass
from workbench.similarities.cosine import Cosine
from workbench.similarities.ssim import SSIM


@pytest.fixture
def setting(tmp_path):
    lines = [f"scene {i},calibration" for i in range(240)]
    path = tmp_path / "prompts.csv"
    path.write_text("\n".join(["prompt,split", *lines]) + "\n")
    preset = Preset("toy", "pocket", "natural", "ssim", size=16, gamma=3, prompts=str(path))
    return settle(preset, zoo=toys.zoo(), inverter=toys.Teller(), similarity=Cosine(toys.Mean()))


@pytest.fixture
def queries(shared_store):
    return pipeline.make_queries([f"query {i}" for i in range(10)], toys.zoo(), shared_store)[0]


@pytest.fixture
def folders(tmp_path, queries, shared_store):
    """Save the pictures of each toy into a folder of its own."""
    made = {}
    for name, part in queries.groupby("source"):
        made[name] = tmp_path / "known" / str(name)
        made[name].mkdir(parents=True)
        for image in part["image_id"]:
            shared_store.picture(image).save(made[name] / f"{image[:8]}.png")
    return made


@pytest.mark.parametrize("score", ["nearest", "mahalanobis"])
def test_the_models_own_pictures_are_like_and_others_are_not(score, setting, folders, shared_store):
    found = {
        name: wb.verify(folder, "red", setting, score=score, n=30, store=shared_store).records()
        for name, folder in folders.items()
    }
    own = [record["finding"] for record in found["red"]]
    assert own.count("like") >= 8
    for name in ("green", "blue", "grey"):
        assert [record["finding"] for record in found[name]].count("unlike") >= 8
        assert sum(record["log10_lr"] < 0 for record in found[name]) >= 9
    first = found["red"][0]
    assert first["against"] == ["green", "blue", "grey"]
    assert first["calibration"] == {"own": 30, "others": 90}
    assert "does not prove" in first["caveat"]
    assert "no probability" in first["caveat"]
    assert json.dumps(first, allow_nan=False)


def test_it_is_drawn_once_and_the_model_in_question_alone_draws_for_a_picture(
    setting, folders, shared_store
):
    log: list[list[str]] = []
    again = settle(
        setting.preset,
        zoo=toys.zoo(log),
        inverter=toys.Teller(log=log),
        similarity=Cosine(toys.Mean(log=log)),
    )
    first = wb.verify(folders["red"], "red", setting, n=30, store=shared_store)
    second = wb.verify(folders["red"], "red", again, n=30, store=shared_store)
    assert log == []
    assert first.scores.equals(second.scores)


def test_of_a_reference_half_is_compared_with_and_half_calibrates(setting, folders, shared_store):
    others = [folders["green"], folders["blue"]]
    asked = {"reference": folders["red"], "others": others, "alpha": 0.2, "store": shared_store}
    found = wb.verify(folders["grey"], "my model", setting, **asked)
    assert (found.own, found.others) == (5, 20)
    assert found.against == ("the other pictures given",)
    assert {record["model"] for record in found.records()} == {"my model"}
    own = wb.verify(folders["red"], "my model", setting, **asked)
    assert own.scores["score"].mean() > found.scores["score"].mean()
    assert (own.scores["score"] < 1 - 1e-9).any()  # a picture is not compared with itself


def test_without_others_there_is_no_ratio_and_no_word_of_one(setting, folders, shared_store):
    found = wb.verify(folders["green"], "x", setting, reference=folders["red"], store=shared_store)
    record = found.records()[0]
    assert record["log10_lr"] is record["p_other"] is record["words"] is None
    assert 0 < record["p_made"] <= 1
    assert "ratio" not in found.caveat
    assert record["finding"] in ("unlike", "inconclusive")


def test_a_picture_that_cannot_be_opened_keeps_its_row(setting, folders, shared_store, tmp_path):
    paths = [tmp_path / "missing.png", *sorted(folders["red"].iterdir())[:1]]
    lost, good = wb.verify(paths, "red", setting, n=30, store=shared_store).records()
    assert lost["error"] == "there is no such file"
    assert lost["finding"] is lost["score"] is lost["p_made"] is None
    assert lost.keys() == good.keys()
    assert good["error"] is None


def test_false_alarms_and_false_rejections_keep_to_the_level(setting, shared_store):
    images, _ = pipeline.make_queries([f"new {i}" for i in range(60)], toys.zoo(), shared_store)
    known, _ = verification.calibration_pictures(setting, "threshold", 60, 0, shared_store, None)
    rejected, alarms = [], []
    for model in toys.zoo():
        compared = verification.by_candidates([known, images], setting, model, shared_store)
        own = (known["source"] == model).to_numpy()
        scores = verification.weighed(images, known, own, compared, "nearest")
        made = (images["source"] == model).to_numpy()
        rejected.append((scores["p_made"][made] <= 0.1).mean())
        alarms.append((scores["p_other"][~made] <= 0.1).mean())
    assert np.mean(rejected) <= 0.14  # 240 pictures, calibrated on as many
    assert np.mean(alarms) <= 0.14


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"score": "best"}, r"^no score named 'best'; there are: nearest, mahalanobis$"),
        ({"alpha": 1}, r"^a level lies between 0 and 1; seen 1$"),
        ({"others": ["x.png"]}, r"^pictures of others are compared with a reference"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, sentence, setting, shared_store):
    with pytest.raises(ValueError, match=sentence):
        wb.verify("x.png", "red", setting, store=shared_store, **options)


def test_an_unknown_model_too_few_pictures_and_no_encoder_are_told(setting, folders, shared_store):
    with pytest.raises(LookupError, match=r"^no model in the zoo named 'purple'; there are: "):
        wb.verify("x.png", "purple", setting, store=shared_store)
    some = sorted(folders["red"].iterdir())[:7]
    with pytest.raises(ValueError, match=r"^a reference needs 8 different pictures of x at least"):
        wb.verify(some, "x", setting, reference=some, store=shared_store)
    flat = settle(setting.preset, zoo=toys.zoo(), inverter=toys.Teller(), similarity=SSIM())
    with pytest.raises(ValueError, match=r"^verify needs a similarity over an encoder; seen SSIM"):
        wb.verify("x.png", "red", flat, store=shared_store)


@pytest.mark.parametrize(
    ("p_made", "p_other", "finding"),
    [
        (0.5, 0.01, "like"),
        (0.01, 0.5, "unlike"),
        (0.05, 0.05, "neither"),
        (0.5, 0.5, "inconclusive"),
        (0.5, np.nan, "inconclusive"),
        (0.01, np.nan, "unlike"),
    ],
)
def test_each_p_rules_its_side_out_or_does_not(p_made, p_other, finding):
    import pandas as pd

    row = {"image_id": "a", "score": 0.5, "p_made": p_made, "p_other": p_other, "log10_lr": np.nan}
    table = pd.DataFrame([row | {"failure": None}])
    found = verification.Verification("m", "nearest", 0.05, 9, 9, (), table, (("a", "a"),), 0.0)
    assert found.records()[0]["finding"] == finding


def test_a_calibration_picture_is_scored_without_its_own_candidates_in_the_covariance():
    rng = np.random.default_rng(0)
    pool = {key: rng.standard_normal((4, 3)) for key in "abc"}
    vectors = {"known": rng.standard_normal(3), "new": rng.standard_normal(3)}
    references = {"known": pool["a"], "new": rng.standard_normal((4, 3))}
    compared = verification.Compared(vectors, references, pool, {"known": "a", "new": "z"})
    scores = compared.scores(["new", "lost", "known"], "mahalanobis")
    for name, place, sets in (("known", 2, "bc"), ("new", 0, "abc")):
        covariance = oneclass.within([pool[key] for key in sets])
        expected = oneclass.mahalanobis(vectors[name][None], [references[name]], covariance)
        assert scores[place] == pytest.approx(expected[0])
    assert np.isnan(scores[1])
