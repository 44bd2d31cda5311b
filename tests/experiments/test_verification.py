"""Verification: on toys as the command asks, and on a gallery leave-one-prompt-out."""

from __future__ import annotations

import numpy as np
import pytest

from tests.experiments.test_gallery import folder  # noqa: F401
from workbench import experiments
from workbench.catalogue.setting import settle
from workbench.evaluation.likelihood import cllr
from workbench.evaluation.openset import auroc
from workbench.experiments import Bench
from workbench.experiments.verification import _left_out
from workbench.ranking import oneclass
from workbench.store.store import Store


@pytest.fixture(scope="module")
def found(folder, tmp_path_factory):  # noqa: F811
    store = Store(tmp_path_factory.mktemp("store"))
    bench = Bench(settle("pocket"), store=store)
    return experiments.run("verification", bench, data=str(folder), gamma=2, size=96)


def test_each_picture_is_asked_of_each_model_by_each_score(found):
    table = found.frames["pictures"]
    assert len(table) == 36 * 3 * 2
    assert not table.duplicated(["image_id", "model", "score"]).any()
    assert table[["value", "p_made", "p_other", "log10_lr"]].notna().all(axis=None)
    assert table["p_made"].between(0.25, 1).all()  # three other prompts calibrate


def test_areas_and_costs_are_those_of_the_pictures(found):
    table = found.frames["results"].set_index(["score", "model", "metric"])["value"]
    for (score, model), part in found.frames["pictures"].groupby(["score", "model"]):
        own = part["truth"] == model
        area = auroc(part.loc[own, "value"], part.loc[~own, "value"])
        assert table[score, model, "AUROC"] == pytest.approx(area)
        assert table[score, model, "Cllr"] == pytest.approx(cllr(part["log10_lr"], own))
        missed = (part.loc[own, "p_made"] <= 0.05).mean()
        assert table[score, model, "false rejections at 5%"] == pytest.approx(missed)
    assert table["nearest", "noise", "AUROC"] > 0.9  # a texture of its own
    assert "AUROC noise" in found.answer


def test_a_prompt_is_weighed_by_the_others_alone():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((24, 5))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    prompt = np.repeat(list("abcd"), 6)
    own = np.arange(24) % 2 == 0
    sets = [rng.standard_normal((3, 5)) for _ in features]
    for score in oneclass.SCORES:
        before = _left_out(features, sets, own, prompt, "b", score)
        assert before.shape == (6, 4)
        rest = np.flatnonzero(prompt != "b")
        if score == "nearest":
            value = np.array([max(some @ x) for x, some in zip(features, sets, strict=True)])
            assert np.allclose(before[:, 0], value[prompt == "b"])
            made = rest[own[rest]]
            names = prompt[made]
            shares = [
                np.mean([np.mean(value[made][names == each] <= one) for each in "acd"])
                for one in before[:, 0]
            ]
            assert np.allclose(before[:, 1], (1 + 3 * np.array(shares)) / 4)
        features[prompt == "b"] *= [[1]] * 3 + [[-1]] * 3  # its own pictures change nothing
        after = _left_out(features, sets, own, prompt, "b", score)
        assert np.allclose(before[:3], after[:3])
        features[prompt == "b"] *= [[1]] * 3 + [[-1]] * 3
