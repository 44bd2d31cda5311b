from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from tests.attributors.conftest import accuracy
from tests.support import toys
from workbench import frames
from workbench.attributors import Stages
from workbench.attributors._training import only_scores
from workbench.attributors.chance import Chance
from workbench.attributors.fusion import Fusion
from workbench.attributors.knn import KNN
from workbench.attributors.probe import Probe
from workbench.attributors.regeneration import Regeneration
from workbench.inverters.natural import Natural
from workbench.similarities.mse import NegativeMSE

NAMES = ("blue", "green", "grey", "red")


@dataclass(frozen=True)
class Fixed:
    """Score every image alike, in the order of the names."""

    values: tuple[float | None, ...]

    def __call__(self, images, zoo, *, store, seed=0, progress=None) -> Stages:
        rows = [
            {"image_id": image, "attributor": repr(self), "generator": name, "score": value}
            for image in images["image_id"]
            for name, value in zip(NAMES, self.values, strict=True)
        ]
        return only_scores(frames.build("scores", rows))


def fused(fusion, images, store):
    scores = fusion(images[:1], toys.zoo(), store=store).scores
    return scores.set_index("generator")["score"].loc[list(NAMES)].to_numpy()


def log_softmax(values):
    return np.array(values) - np.log(np.exp(values).sum())


def test_the_fused_score_is_the_mean_of_the_log_softmax_of_the_standardised(images, store):
    one, two = (1.0, 1.0, 3.0, 3.0), (0.0, 20.0, 0.0, 20.0)
    a, b = log_softmax([-1.0, -1.0, 1.0, 1.0]), log_softmax([-1.0, 1.0, -1.0, 1.0])
    both = Fusion((Fixed(one), Fixed(two)))
    assert np.allclose(fused(both, images, store), (a + b) / 2)
    weighted = Fusion((Fixed(one), Fixed(two)), weights=(3, 1))
    assert np.allclose(fused(weighted, images, store), (3 * a + b) / 4)
    cold = Fusion((Fixed(one), Fixed(one)), temperature=0.5)
    assert np.allclose(fused(cold, images, store), log_softmax([-2.0, -2.0, 2.0, 2.0]))


def test_the_scale_of_a_part_does_not_matter_and_a_part_that_ties_all_says_nothing(images, store):
    one, same = (0.3, 0.1, 0.9, 0.2), (5.0, 5.0, 5.0, 5.0)
    large = tuple(1000 * value - 7 for value in one)
    other = Fixed((0.0, 1.0, 0.0, 2.0))
    small = fused(Fusion((Fixed(one), other)), images, store)
    assert np.allclose(fused(Fusion((Fixed(large), other)), images, store), small)
    alone = fused(Fusion((Fixed(one), Fixed(one))), images, store)
    tied = fused(Fusion((Fixed(one), Fixed(same))), images, store)
    assert np.allclose(tied, (alone + np.log(1 / 4)) / 2)


def test_a_model_without_a_score_in_one_part_takes_that_of_the_others(images, store):
    whole, gap = Fixed((1.0, 1.0, 3.0, 3.0)), Fixed((1.0, None, 3.0, None))
    a = log_softmax([-1.0, -1.0, 1.0, 1.0])
    b = log_softmax([-1.0, 1.0])
    found = fused(Fusion((whole, gap), weights=(1, 3)), images, store)
    assert np.allclose(found, [(a[0] + 3 * b[0]) / 4, a[1], (a[2] + 3 * b[1]) / 4, a[3]])
    silent = Fixed((None, None, None, None))
    assert np.allclose(fused(Fusion((whole, silent)), images, store), a)
    assert np.isnan(fused(Fusion((gap, silent)), images, store)).tolist() == [0, 1, 0, 1]


def test_fit_fits_what_needs_it_and_leaves_the_rest(images, training, store):
    regeneration = Regeneration(Natural(), NegativeMSE(), gamma=2, size=16)
    knn, probe = KNN(toys.Mean(), size=16), Probe(toys.Mean(), size=16)
    known = probe.fit(training[training["prompt"] != "three"], toys.zoo(), store=store)
    fusion = Fusion((regeneration, knn, known))
    assert fusion.trained
    assert fusion.unfitted
    made = fusion.fit(training, toys.zoo(), store=store)
    assert made.parts == (regeneration, knn.fit(training, toys.zoo(), store=store), known)
    assert made.fitted.pictures == 24
    stages = made(images, toys.zoo(), store=store)
    assert accuracy(stages.scores, images) == 1
    assert len(stages.candidates) == 2 * 4 * 2  # of the part that has some
    assert len(stages.prompts) == 8


def test_nothing_to_learn_is_nothing_learned(training, store):
    fusion = Fusion((Chance(), Fixed((1.0, 2.0, 3.0, 4.0))))
    assert not fusion.trained
    assert not fusion.unfitted
    assert fusion.fit(training, toys.zoo(), store=store) is fusion


def test_tuned_weights_trust_the_part_that_is_right(images, training, store):
    good = Regeneration(Natural(), NegativeMSE(), gamma=2, size=16)
    liar = Fixed((4.0, 3.0, 2.0, 1.0))
    fusion = Fusion((liar, good), tune=True)
    assert fusion.trained
    assert fusion.unfitted
    made = fusion.fit(training, toys.zoo(), store=store)
    lies, says = made.fitted["weights"]
    assert says > lies
    assert lies + says == pytest.approx(1)
    assert accuracy(made(images, toys.zoo(), store=store).scores, images) == 1
    with pytest.raises(ValueError, match=r"^Fusion is not fitted: call its fit"):
        fusion(images, toys.zoo(), store=store)


@dataclass(frozen=True)
class Hesitant:
    """Score a model of its own with a margin that differs from image to image."""

    name: str
    margins: tuple[float, ...]

    def __call__(self, images, zoo, *, store, seed=0, progress=None) -> Stages:
        order = sorted(images["image_id"])
        rows = [
            {"image_id": image, "attributor": repr(self), "generator": name,
             "score": self.margins[order.index(image) % len(self.margins)] * (name == self.name)}
            for image in images["image_id"]
            for name in NAMES
        ]  # fmt: skip
        return only_scores(frames.build("scores", rows))


def test_scores_that_keep_their_confidence_weigh_more_where_they_differ_more(
    images, training, store
):
    sure, even = Hesitant("red", (4.0, 1.0)), Hesitant("blue", (2.0,))
    keeping = Fusion((sure, even), confident=True)
    assert keeping.unfitted
    made = keeping.fit(training, toys.zoo(), store=store)
    ratio = ((16 + 1) / 2) ** 0.5 / 2  # root mean squares of the deviations, half of each margin
    assert made.fitted["spreads"][0] / made.fitted["spreads"][1] == pytest.approx(ratio)

    def called(fusion) -> list[str]:
        scores = fusion(images, toys.zoo(), store=store).scores
        best = scores.loc[scores.groupby("image_id")["score"].idxmax()]
        return best.sort_values("image_id")["generator"].tolist()

    assert called(made) == ["red", "blue"] * 4  # 4 / 2.9 beats 2 / 2, and 1 / 2.9 does not
    flat = fused(Fusion((sure, even)), images, store)
    assert flat[0] == pytest.approx(flat[3])  # image by image each is as sure as the other


def test_the_held_out_half_shares_no_prompt_with_the_other(training):
    from workbench.attributors.fusion import _held_out

    held = training[training["image_id"].isin(_held_out(training, 0))]
    left = training[~training["image_id"].isin(held["image_id"])]
    assert (held["prompt"].nunique(), left["prompt"].nunique()) == (3, 3)
    assert not set(held["prompt"]) & set(left["prompt"])
    assert _held_out(training[::-1], 0) == _held_out(training, 0)[::-1]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"parts": (Chance(),)}, "at least two parts, .*; seen 1 parts and 0 weights"),
        ({"weights": (1.0,)}, "a weight for each or none at all; seen 2 parts and 1 weights"),
        ({"weights": (0, 0)}, r"weights are at least 0, and not all of them 0; seen \(0, 0\)"),
        ({"weights": (-1, 2)}, r"weights are at least 0, .*; seen \(-1, 2\)"),
        ({"temperature": 0}, "the temperature is above 0; seen 0"),
    ],
)
def test_an_impossible_fusion_is_refused(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        Fusion(**({"parts": (Chance(), Chance())} | fields))
