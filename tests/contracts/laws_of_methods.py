"""What every attributor and every calibration must obey."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.contracts.laws_of_all import is_a_frozen_value, travels_to_another_process
from tests.contracts.plugins import bench, ready, scored
from tests.support import toys
from workbench import catalogue, frames


def scores_every_image_and_model(plugin: Any) -> None:
    made, before = bench(), bench().images.copy()
    method = ready(plugin)
    stages = method(made.images, made.zoo, store=made.store)
    for name in ("prompts", "candidates", "similarities", "scores"):
        pd.testing.assert_frame_equal(
            frames.check(getattr(stages, name), name), getattr(stages, name)
        )
    pd.testing.assert_frame_equal(made.images, before)
    pairs = set(zip(stages.scores["image_id"], stages.scores["generator"], strict=True))
    assert pairs == {(image, name) for image in made.images["image_id"] for name in made.zoo}
    assert set(stages.scores["attributor"]) == {repr(method)}
    known = stages.scores[stages.scores["score"].notna()]
    assert np.isfinite(known["score"]).all()
    assert (known.groupby("image_id").size() >= 2).all()
    assert set(known["image_id"]) == {*made.images["image_id"]} - {"path:0"}


def answers_images_in_any_company(plugin: Any) -> None:
    made, method, key = bench(), ready(plugin), ["image_id", "generator"]

    def scores(table: pd.DataFrame, zoo: dict[str, Any] = made.zoo) -> pd.DataFrame:
        return method(table, zoo, store=made.store).scores.sort_values(key, ignore_index=True)

    whole = scores(made.images)
    pd.testing.assert_frame_equal(scores(made.images[::-1]), whole, check_exact=True)
    turned = dict(reversed(made.zoo.items()))
    pd.testing.assert_frame_equal(scores(made.images, turned), whole, check_exact=True)
    for place in (1, 6):
        alone = scores(made.images.iloc[[place]])
        expected = whole[whole["image_id"] == made.images["image_id"][place]]
        pd.testing.assert_frame_equal(alone, expected.reset_index(drop=True), check_exact=True)
    assert scores(made.images[:0]).empty


def leaves_random_numbers_alone(plugin: Any) -> None:
    import torch

    made = bench()
    before = torch.random.get_rng_state(), torch.get_num_threads(), torch.is_grad_enabled()
    numbers = np.random.get_state()[1].tolist()
    if hasattr(plugin, "fit"):
        plugin.fit(made.training, made.zoo, store=made.store)
    ready(plugin)(made.images, made.zoo, store=made.store)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == before[1:]
    assert np.random.get_state()[1].tolist() == numbers


def refuses_to_be_called_before_it_is_fitted(plugin: Any) -> None:
    made = bench()
    if getattr(plugin, "unfitted", False):
        sentence = "is not fitted: call its fit with pictures of known source, and use the answer$"
        with pytest.raises(ValueError, match=sentence):
            plugin(made.images, made.zoo, store=made.store)


def fits_the_same_again(plugin: Any) -> None:
    if not hasattr(plugin, "fitted"):
        return
    made, one = bench(), ready(plugin)
    table = pd.concat([made.training, made.images[-1:]], ignore_index=True)[::-1]
    two = plugin.fit(table, dict(reversed(made.zoo.items())), store=made.store)
    assert (two, repr(two), hash(two)) == (one, repr(one), hash(one))
    assert one != plugin
    assert plugin.fitted is None
    assert one.fitted.pictures == len(made.training)
    assert repr(one.fitted) in repr(one)
    assert one.trained
    assert not getattr(one, "unfitted", False)
    assert pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(ValueError, match="what was fitted cannot be read back from a repr"):
        catalogue.parse(repr(one), {"Teller": toys.Teller, "Mean": toys.Mean})


def learns_from_pictures_of_the_zoo_alone(plugin: Any) -> None:
    if not hasattr(plugin, "fitted"):
        return
    made = bench()
    for source, seen in (("purple", "purple"), (None, "no source")):
        strange = made.training.assign(source=[source, *made.training["source"][1:]])
        sentence = f"training pictures are of the candidate models blue, .*; seen also: {seen}$"
        with pytest.raises(ValueError, match=sentence):
            plugin.fit(strange, made.zoo, store=made.store)
    few = made.training[made.training["source"] != "blue"]
    with pytest.raises(ValueError, match=r"needs training pictures; there are none of blue$"):
        plugin.fit(few, made.zoo, store=made.store)


def refuses_a_model_it_was_not_fitted_on(plugin: Any) -> None:
    if not hasattr(plugin, "fitted"):
        return
    made = bench()
    zoo = made.zoo | {"violet": toys.Coder((0.5, 0, 0.5))}
    sentence = "was fitted on blue, green, grey, red, not on violet: fit it again on this zoo$"
    with pytest.raises(ValueError, match=sentence):
        ready(plugin)(made.images, zoo, store=made.store)


def _ready(calibration: Any) -> Any:
    return calibration.fit(scored()) if hasattr(calibration, "fit") else calibration


def answers_scores_row_for_row(plugin: Any) -> None:
    table = scored()
    answer = _ready(plugin)(table)
    assert list(answer.columns) == list(frames.SCHEMAS["scores"].columns)
    key = list(frames.SCHEMAS["scores"].key)
    pd.testing.assert_frame_equal(answer[key], table[key])
    pd.testing.assert_frame_equal(table, scored())
    assert _ready(plugin)(table[:0]).empty


def answers_scores_in_any_company(plugin: Any) -> None:
    ready, table = _ready(plugin), scored()
    together = ready(table)["score"].to_numpy()
    order = np.random.default_rng(0).permutation(len(table))
    assert np.array_equal(ready(table.iloc[order])["score"], together[order], equal_nan=True)
    for _, own in table.groupby("image_id"):
        assert np.array_equal(ready(own)["score"], together[own.index], equal_nan=True)


def leaves_missing_scores_missing(plugin: Any) -> None:
    table = scored()
    answer = _ready(plugin)(table)["score"]
    assert 0 < answer.isna().sum() == (answer.isna() & table["score"].isna()).sum()
    assert np.isfinite(answer.dropna()).all()


def answers_nothing_before_it_is_fitted(plugin: Any) -> None:
    if hasattr(plugin, "fit"):
        fitted = plugin.fit(scored())
        assert (plugin.unfitted, fitted.unfitted) == (True, False)
        with pytest.raises(ValueError, match="is fitted on calibration pictures first: "):
            plugin(scored())


def learns_the_same_from_the_same(plugin: Any) -> None:
    if hasattr(plugin, "fit"):
        fitted = plugin.fit(scored())
        again = fitted.fit(scored().sample(frac=1, random_state=0))
        assert (again, hash(again), repr(again)) == (fitted, hash(fitted), repr(fitted))
        assert repr(plugin.fit(scored(seed=8))) != repr(fitted) != repr(plugin)
        is_a_frozen_value(fitted)
        travels_to_another_process(fitted)


def says_whether_it_is_trained(plugin: Any) -> None:
    assert isinstance(type(plugin).trained, bool)
    assert type(plugin).trained >= hasattr(plugin, "fit")
