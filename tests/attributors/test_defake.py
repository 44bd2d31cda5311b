from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch

from tests.attributors.conftest import accuracy
from tests.support import toys
from workbench import pipeline
from workbench.attributors.defake import DeFake
from workbench.inverters.natural import Natural

METHOD = DeFake(toys.Teller(), toys.Mean(), size=16, epochs=60, batch=8)


@dataclass(frozen=True)
class Blind:
    """Encode pictures, but no captions."""

    def __call__(self, pictures):
        return toys.Mean()(pictures)


@pytest.fixture
def fitted(training, store):
    return METHOD.fit(training, toys.zoo(), store=store)


def test_it_learns_the_easy_models(fitted, images, store):
    stages = fitted(images, toys.zoo(), store=store)
    assert accuracy(stages.scores, images) == 1
    assert set(stages.prompts["inverter"]) == {"Teller()"}
    totals = np.exp(stages.scores.set_index("image_id")["score"]).groupby("image_id").sum()
    assert np.allclose(totals, 1)


def test_a_network_of_torch_with_its_weights_says_the_same(fitted, images, store):
    learned = fitted.fitted
    net = torch.nn.Sequential(
        torch.nn.Linear(6, 512),
        torch.nn.ReLU(),
        torch.nn.Dropout(),
        torch.nn.Linear(512, 256),
        torch.nn.ReLU(),
        torch.nn.Linear(256, 4),
        torch.nn.LogSoftmax(dim=1),
    ).eval()
    names = [f"{kind}{i}" for i in range(3) for kind in ("weights", "bias")]
    net.load_state_dict(
        {
            key: torch.from_numpy(learned[name].copy())
            for key, name in zip(net.state_dict(), names, strict=True)
        }
    )
    assert {learned[name].dtype for name in names} == {np.dtype(np.float32)}
    prompts = pipeline.invert(images, toys.Teller(), store)
    seen = pipeline.encode(images["image_id"], toys.Mean(), store, 16).matrix
    told = pipeline.encode_texts(list(prompts["prompt"]), toys.Mean(), store)
    inputs = torch.from_numpy(np.concatenate([seen, told], axis=1)) * 3**0.5
    scores = fitted(images, toys.zoo(), store=store).scores
    ours = scores.pivot(index="image_id", columns="generator", values="score")
    expected = net(inputs).detach().numpy()
    assert np.allclose(ours.loc[images["image_id"]].to_numpy(), expected, atol=1e-4)


def test_the_threads_do_not_change_what_is_learned_but_the_seed_does(training, store):
    few = DeFake(toys.Teller(), toys.Mean(), size=16, epochs=2)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(few.fit(training, toys.zoo(), store=store))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]
    assert few.fit(training, toys.zoo(), store=store, seed=1) != found[0]


def test_more_epochs_fit_the_training_pictures_better(training, fitted, store):
    short = DeFake(toys.Teller(), toys.Mean(), size=16, epochs=1, batch=8)

    def likelihood(method):
        scores = method(training, toys.zoo(), store=store).scores
        both = scores.merge(training, on="image_id")
        return both.loc[both["generator"] == both["source"], "score"].mean()

    untold = np.log(1 / 4)
    assert untold < likelihood(short.fit(training, toys.zoo(), store=store)) < likelihood(fitted)


def test_a_picture_without_a_caption_has_no_scores_and_is_not_learned_from(images, training, store):
    method = DeFake(Natural(), toys.Mean(), size=16, epochs=1)
    silent = training.assign(prompt=training["prompt"].where(training["prompt"] != "six"))
    learned = method.fit(silent, toys.zoo(), store=store)
    assert learned.fitted.pictures == 20
    left = training[training["prompt"] != "six"]
    assert learned == method.fit(left, toys.zoo(), store=store)
    lost = images.assign(prompt=images["prompt"].where(images["prompt"] != "two"))
    scores = learned(lost, toys.zoo(), store=store).scores
    missing = scores.loc[scores["score"].isna(), "image_id"]
    assert set(missing) == set(images.loc[images["prompt"] == "two", "image_id"])


def test_no_caption_at_all_is_told(training, store):
    silent = training.assign(prompt=pd.Series([None] * len(training), dtype="str"))
    with pytest.raises(ValueError, match="every candidate model needs training pictures"):
        DeFake(Natural(), toys.Mean()).fit(silent, toys.zoo(), store=store)


def test_the_encoder_needs_a_text_tower(training, store):
    sentence = r"^Blind\(\) has no text tower, which is needed to compare captions$"
    with pytest.raises(ValueError, match=sentence):
        DeFake(toys.Teller(), Blind()).fit(training, toys.zoo(), store=store)


def test_progress_counts_the_epochs(training, store):
    seen = []
    few = DeFake(toys.Teller(), toys.Mean(), size=16, epochs=3)
    few.fit(training, toys.zoo(), store=store, progress=lambda *tick: seen.append(tick))
    assert seen[-3:] == [("train", 1, 3), ("train", 2, 3), ("train", 3, 3)]


def test_impossible_training_is_refused():
    sentence = "^epochs and batch are at least 1 and the rate is above 0; seen 0, 128 and 0.0003$"
    with pytest.raises(ValueError, match=sentence):
        DeFake(Natural(), toys.Mean(), epochs=0)
