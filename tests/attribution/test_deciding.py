"""What is decided where a setting is calibrated, and where a candidate model could not draw."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.support import toys
from workbench import pipeline, ranking
from workbench.attribution.deciding import decide, incomplete
from workbench.attribution.fitting import calibration_pictures
from workbench.catalogue.presets import Preset
from workbench.catalogue.setting import settle
from workbench.encoders.open_clip import OpenClip
from workbench.pipeline.agreement import LAYERS, at_layers
from workbench.plugin import Fitted
from workbench.ranking import conformal
from workbench.similarities.cosine import Cosine
from workbench.similarities.mse import NegativeMSE
from workbench.weights.checkpoint import Checkpoint


@pytest.fixture
def preset(tmp_path):
    lines = [f"scene {i},calibration" for i in range(40)]
    (tmp_path / "prompts.csv").write_text("\n".join(["prompt,split", *lines]) + "\n")
    where = str(tmp_path / "prompts.csv")
    return Preset("toy", "pocket", "natural", "mse", size=16, gamma=2, prompts=where)


def stages(setting, store, n=5):
    images, truth = calibration_pictures(setting, "threshold", n, 0, store, None)
    return images, truth, setting.attributor(images, setting.zoo, store=store)


def learned(setting, store, limit=0.5):
    images, truth, made = stages(setting, store)
    told = decide(setting, images, made, store)
    table = pipeline.agreement(
        images, made.prompts, made.candidates, told.attributions, setting.similarity, store, 16
    ).assign(truncated=0.0)
    found = ranking.fit_confidence(made.scores, truth, table)
    arrays = dict(found.fitted.arrays) | {"thresholds": np.full(4, limit)}
    return replace(found, fitted=Fitted(found.fitted.pictures, arrays))


def test_the_confidence_decides_instead_of_the_margin(preset, shared_store):
    setting = settle(preset, zoo=toys.zoo())
    never = replace(setting, threshold=math.inf)
    images, _, made = stages(never, shared_store)
    assert not decide(never, images, made, shared_store).attributions["accepted"].any()
    sure = replace(never, confidence=learned(setting, shared_store))
    found = decide(sure, images, made, shared_store)
    assert found.attributions["accepted"].all()
    sums = found.probabilities.groupby("image_id")["probability"].sum()
    assert sums.to_numpy() == pytest.approx(1.0)
    none = replace(never, confidence=learned(setting, shared_store, math.inf))
    assert not decide(none, images, made, shared_store).attributions["accepted"].any()


def test_a_model_that_could_not_draw_leaves_no_call_and_no_set(preset, shared_store):
    broken = {**toys.zoo(), "blue": toys.Toy((0, 0, 1), refuses="scene")}
    setting = settle(preset, zoo=toys.zoo())
    images, truth, made = stages(setting, shared_store)
    known = conformal.fit_known(made.scores, truth)
    sure = replace(setting, conformal=1.0, known=known, zoo=broken)
    lacking = sure.attributor(images, broken, store=shared_store)
    assert incomplete(made.scores) == set()
    assert incomplete(lacking.scores) == set(images["image_id"])
    found = decide(sure, images, lacking, shared_store)
    assert not found.attributions["accepted"].any()
    assert found.attributions["predicted"].notna().all()
    assert (len(found.sets), len(found.known)) == (0, 0)
    forced = decide(sure, images, lacking, shared_store, without_missing=True)
    assert forced.attributions["accepted"].all()


def test_settings_agree_wholly_where_they_have_one_layer_and_clear_scores(preset, shared_store):
    setting = settle(preset, zoo=toys.zoo())
    images, _, made = stages(setting, shared_store)
    called = decide(setting, images, made, shared_store).attributions
    parts = images, made.prompts, made.candidates
    assert at_layers(NegativeMSE()) == [NegativeMSE()]
    table = pipeline.agreement(*parts, called, NegativeMSE(), shared_store, 16)
    assert table["agreement"].tolist() == [1.0] * 20
    other = called.assign(predicted="grey")
    table = pipeline.agreement(*parts, other, NegativeMSE(), shared_store, 16)
    assert table["agreement"].sum() == 5  # the pictures of that model


def test_a_deep_encoder_is_asked_at_few_layers_and_at_its_own(monkeypatch):
    encoder = OpenClip(Checkpoint("x", "encoder", "", "/none"), layer=5)
    monkeypatch.setattr(OpenClip, "depth", lambda self: 24)
    layers = [each.encoder.layer for each in at_layers(Cosine(encoder))]
    assert layers == [None, 1, 4, 8, 11, 14, 17, 21, 24, 5]
    assert len(layers) == LAYERS + 2
