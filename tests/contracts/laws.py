"""What every plug-in of a role must obey; each law takes a plug-in and asserts."""

from __future__ import annotations

import dataclasses
import json
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.contracts.plugins import PROMPTS, bench, pictures, ready, scored
from tests.support import toys
from workbench import catalogue, frames, images
from workbench.generators import Failure
from workbench.inverters import Prompt
from workbench.plugin import identity

ORDER = [3, 0, 5, 1, 4, 2]


def is_a_frozen_value(plugin: Any) -> None:
    assert dataclasses.is_dataclass(plugin)
    assert type(plugin).__dataclass_params__.frozen  # type: ignore[attr-defined]
    again = dataclasses.replace(plugin)
    assert again == plugin
    assert hash(again) == hash(plugin)


def its_repr_reads_back(plugin: Any) -> None:
    own = {"Teller": toys.Teller, "Mean": toys.Mean}
    if any(not field.repr for field in dataclasses.fields(plugin)):  # a bank, of any captions
        with pytest.raises(ValueError, match="has no field"):
            catalogue.parse(repr(plugin), own)
    else:
        assert catalogue.parse(repr(plugin), own) == plugin


def has_a_revision(plugin: Any) -> None:
    assert isinstance(type(plugin).revision, int)
    assert type(plugin).revision >= 1
    assert "revision" not in {field.name for field in dataclasses.fields(plugin)}


def has_an_identity(plugin: Any) -> None:
    assert json.dumps(identity(plugin)) == json.dumps(identity(dataclasses.replace(plugin)))


def travels_to_another_process(plugin: Any) -> None:
    assert pickle.loads(pickle.dumps(plugin)) == plugin


def shows_an_example(plugin: Any) -> None:
    assert ">>>" in (type(plugin).__doc__ or "")


def answers_prompts_in_any_company(plugin: Any) -> None:
    tests = pictures()
    together = plugin(tests)
    assert all(isinstance(prompt, Prompt) for prompt in together)
    assert [plugin([test])[0] for test in tests] == together
    assert plugin([tests[i] for i in ORDER]) == [together[i] for i in ORDER]
    assert plugin([]) == []


def leaves_pictures_alone(plugin: Any) -> None:
    tests = pictures()
    plugin(tests)
    assert tests == pictures()


def answers_any_picture_size(plugin: Any) -> None:
    odd = [pictures(1, side)[0].crop((0, 0, side, side // 2)) for side in (9, 64, 200)]
    assert len(plugin(odd)) == 3


def _digests(answers: list[Any]) -> list[str]:
    return [
        answer.reason if isinstance(answer, Failure) else images.digest(answer)
        for answer in answers
    ]


def answers_pictures_in_any_company(plugin: Any) -> None:
    pairs = [(PROMPTS[i % 2], i // 2) for i in range(6)]
    together = plugin(*map(list, zip(*pairs, strict=True)))
    assert all(isinstance(answer, Image.Image) and answer.mode == "RGB" for answer in together)
    expected = _digests(together)
    assert len(set(expected)) == 6, "seeds and prompts must matter"
    assert plugin([], []) == []
    if getattr(plugin, "paid", False):
        return  # nothing is made twice
    assert _digests([plugin([p], [s])[0] for p, s in pairs[1::3]]) == expected[1::3]
    shuffled = [pairs[i] for i in ORDER]
    assert _digests(plugin(*map(list, zip(*shuffled, strict=True)))) == [expected[i] for i in ORDER]


def answers_pictures_of_the_row(plugin: Any) -> None:
    if hasattr(plugin, "checkpoint"):
        size = plugin.checkpoint.size
        assert plugin([PROMPTS[0]], [0])[0].size == (size, size)


def leaves_torch_alone(plugin: Any) -> None:
    import torch

    before = torch.random.get_rng_state(), torch.get_num_threads(), torch.is_grad_enabled()
    plugin([PROMPTS[0]], [2**48 - 1])
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == before[1:]


def refuses_seeds_without_prompts(plugin: Any) -> None:
    with pytest.raises(ValueError, match="one seed a prompt is needed; there are 1 prompts and 2"):
        plugin(["x"], [1, 2])


def answers_unit_rows_in_any_company(plugin: Any) -> None:
    tests = pictures()
    together = plugin(tests)
    assert together.dtype == np.float32
    assert together.ndim == 2
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert np.array_equal(np.concatenate([plugin([test]) for test in tests]), together)
    assert np.array_equal(plugin([tests[i] for i in ORDER]), together[ORDER])
    assert len(plugin([])) == 0
    assert len(np.unique(together, axis=0)) == 6, "pictures must matter"


def answers_all_layers_in_one_pass(plugin: Any) -> None:
    tests = pictures(3)
    found = plugin.layers(tests, [None, 2, 1])
    assert list(found) == [None, 2, 1]
    for layer, rows in found.items():
        assert rows.dtype == np.float32
        assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
        assert np.array_equal(rows, plugin.layers(tests, [layer])[layer])


def answers_captions_in_the_projected_space(plugin: Any) -> None:
    if not hasattr(plugin, "text"):
        return  # a tower for pictures alone
    texts = [*PROMPTS, "", "a word " * 100]
    rows = plugin.text(texts)
    assert rows.dtype == np.float32
    assert rows.shape == (4, plugin.layers(pictures(1), [None])[None].shape[1])
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert np.array_equal(np.concatenate([plugin.text([text]) for text in texts]), rows)


def answers_a_matrix_in_any_company(plugin: Any) -> None:
    tests, candidates = pictures()[:2], pictures()
    values = plugin(tests, candidates)
    assert values.shape == (2, 6)
    assert values.dtype.kind == "f"
    assert np.isfinite(values).all()
    assert np.array_equal(plugin(tests[1:], candidates), values[1:])
    assert np.array_equal(plugin(tests, [candidates[i] for i in ORDER]), values[:, ORDER])
    assert plugin(tests, []).shape == (2, 0)
    assert plugin([], candidates).shape == (0, 6)


def finds_a_picture_closest_to_itself(plugin: Any) -> None:
    values = plugin(pictures(), pictures())
    assert (np.diag(values)[:, None] >= values).all()
    assert (values.argmax(axis=1) == np.arange(6)).all()


def is_symmetric(plugin: Any) -> None:
    values = plugin(pictures(), pictures())
    assert np.allclose(values, values.T, atol=1e-6)


def compares_features_as_it_compares_pictures(plugin: Any) -> None:
    if hasattr(plugin, "encoder"):
        tests, candidates = plugin.encoder(pictures()[:2]), plugin.encoder(pictures())
        assert np.array_equal(plugin.compare(tests, candidates), plugin(pictures()[:2], pictures()))


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


def _attacked(plugin: Any, seed: int = 0, **fields: Any) -> list[Image.Image]:
    attack = dataclasses.replace(plugin, **fields)
    return [attack(test, np.random.default_rng(seed)) for test in pictures(3)]


def _distance(plugin: Any, **fields: Any) -> float:
    """Measure the mean squared error of attacked pictures, over two seeds."""
    made = [*_attacked(plugin, 0, **fields), *_attacked(plugin, 1, **fields)]
    pairs = zip(pictures(3) * 2, made, strict=True)
    errors = [(images.array(x) - images.array(a.resize(x.size))) ** 2 for x, a in pairs]
    return float(np.mean(errors))


def leaves_the_picture_itself_at_intensity_0(plugin: Any) -> None:
    calm = dataclasses.replace(plugin, intensity=0)
    for test in pictures(2):
        assert calm(test, np.random.default_rng(0)) is test


def answers_rgb_of_the_same_shape(plugin: Any) -> None:
    for side in (33, 64):
        wide = pictures(1, side)[0].resize((2 * side, side))
        for intensity in (1, 100):
            attack = dataclasses.replace(plugin, intensity=intensity)
            made = attack(wide, np.random.default_rng(0))
            assert made.mode == "RGB"
            width, height = made.size
            assert abs(width - 2 * height) <= max(0.1 * width, 2)


def draws_from_its_rng_alone(plugin: Any) -> None:
    """Equal numbers give equal pixels; and where numbers were drawn, others give others."""
    expected = _digests(_attacked(plugin))
    np.random.seed(1)
    assert _digests(_attacked(plugin)) == expected
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    plugin(pictures(1)[0], rng)
    drawn = rng.bit_generator.state != before
    others = {tuple(_digests(_attacked(plugin, seed))) for seed in range(6)}
    assert (len(others) > 1) == drawn


def draws_the_same_at_every_intensity(plugin: Any) -> None:
    def after(intensity: float) -> Any:
        rng = np.random.default_rng(0)
        dataclasses.replace(plugin, intensity=intensity)(pictures(1)[0], rng)
        return rng.bit_generator.state

    assert after(20) == after(80)


def goes_farther_at_higher_intensity(plugin: Any) -> None:
    """On average; the tenth is for tiny models, whose every picture is far from any other."""
    intensities = (40, 70, 100)
    low, middle, high = (_distance(plugin, intensity=x) for x in intensities)
    assert 0 < low <= 1.1 * middle
    assert middle <= 1.1 * high
    assert len({tuple(_digests(_attacked(plugin, intensity=x))) for x in intensities}) == 3


def leaves_picture_and_torch_alone(plugin: Any) -> None:
    import torch

    tests = pictures(2)
    before = torch.random.get_rng_state(), torch.get_num_threads(), torch.is_grad_enabled()
    for test in tests:
        plugin(test, np.random.default_rng(0))
    assert tests == pictures(2)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == before[1:]


def refuses_what_is_no_intensity(plugin: Any) -> None:
    name = type(plugin).__name__
    for wrong in (-1, 100.5, float("nan"), "much"):
        sentence = f"the intensity of {name} runs from 0 to 100; seen {wrong}"
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
            dataclasses.replace(plugin, intensity=wrong)


def has_a_default_of_50(plugin: Any) -> None:
    (field,) = (field for field in dataclasses.fields(plugin) if field.name == "intensity")
    assert field.default == 50


def its_repr_reads_back_at_any_intensity(plugin: Any) -> None:
    for intensity in (0, 12.5, 25.0, np.float64(30), np.float32(62.5), 100):
        attack = dataclasses.replace(plugin, intensity=intensity)
        again = catalogue.parse(repr(attack))
        assert again == attack
        assert repr(again) == repr(attack)
        assert repr(attack) == repr(dataclasses.replace(plugin, intensity=float(intensity)))


Law = Callable[[Any], None]
OF_ALL: list[Law] = [
    is_a_frozen_value,
    its_repr_reads_back,
    has_a_revision,
    has_an_identity,
    travels_to_another_process,
    shows_an_example,
]
LAWS: dict[str, list[Law]] = {
    "inverters": [
        *OF_ALL,
        answers_prompts_in_any_company,
        answers_any_picture_size,
        leaves_pictures_alone,
    ],
    "generators": [
        *OF_ALL,
        answers_pictures_in_any_company,
        answers_pictures_of_the_row,
        leaves_torch_alone,
        refuses_seeds_without_prompts,
    ],
    "encoders": [
        *OF_ALL,
        answers_unit_rows_in_any_company,
        answers_any_picture_size,
        answers_all_layers_in_one_pass,
        answers_captions_in_the_projected_space,
        leaves_pictures_alone,
    ],
    "similarities": [
        *OF_ALL,
        answers_a_matrix_in_any_company,
        finds_a_picture_closest_to_itself,
        is_symmetric,
        compares_features_as_it_compares_pictures,
    ],
    "attributors": [
        *OF_ALL,
        scores_every_image_and_model,
        answers_images_in_any_company,
        leaves_random_numbers_alone,
        refuses_to_be_called_before_it_is_fitted,
        fits_the_same_again,
        learns_from_pictures_of_the_zoo_alone,
        refuses_a_model_it_was_not_fitted_on,
    ],
    "calibrations": [
        *OF_ALL,
        answers_scores_row_for_row,
        answers_scores_in_any_company,
        leaves_missing_scores_missing,
        answers_nothing_before_it_is_fitted,
        learns_the_same_from_the_same,
        says_whether_it_is_trained,
    ],
    "attacks": [
        *OF_ALL,
        leaves_the_picture_itself_at_intensity_0,
        answers_rgb_of_the_same_shape,
        draws_from_its_rng_alone,
        draws_the_same_at_every_intensity,
        goes_farther_at_higher_intensity,
        leaves_picture_and_torch_alone,
        refuses_what_is_no_intensity,
        has_a_default_of_50,
        its_repr_reads_back_at_any_intensity,
    ],
}
