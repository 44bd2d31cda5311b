from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from tests.attributors.conftest import accuracy
from tests.support import toys
from tests.support.models import tiny
from workbench import frames, images, pipeline
from workbench.attributors.aedr import AEDR, _kde_quantile, homogeneity
from workbench.generators.diffusers import Diffusers


@dataclass(frozen=True)
class Fader:
    """Bring a picture nearer to mid-grey 128: the part `keep` of its distance is left."""

    keep: float
    side: int = 8

    def __call__(self, prompts, seeds):
        return [Image.new("RGB", (8, 8), (128 + 64 + seed % 32,) * 3) for seed in seeds]

    def reconstruct(self, pictures):
        fitted = [np.asarray(images.fit(x, self.side), dtype=float) for x in pictures]
        faded = [128 + self.keep * (x - 128) for x in fitted]
        return [Image.fromarray(x.round().astype(np.uint8)) for x in faded]


ZOO = {"half": Fader(0.5), "still": Fader(1.0), "quarter": Fader(0.25), "none": toys.Toy((1, 0, 0))}


def grey(store, level: int, side: int = 8):
    picture = Image.new("RGB", (side, side), (level,) * 3)
    return frames.build("images", [{"image_id": store.put_picture(picture), "source": "half"}])


def scored(stages) -> dict[str, float]:
    return stages.scores.set_index("generator")["score"].to_dict()


def test_the_score_is_minus_the_log_of_the_ratio_of_the_losses(store):
    scores = scored(AEDR()(grey(store, 192), ZOO, store=store))
    # 192 → 160 → 144: losses 32² and 16²; 192 → 144 → 132: 48² and 12² grey levels
    rounding = 1 / 12
    assert scores["half"] == pytest.approx(-np.log((32**2 + rounding) / (16**2 + rounding)))
    assert scores["quarter"] == pytest.approx(-np.log((48**2 + rounding) / (12**2 + rounding)))
    assert scores["still"] == 0  # a fixed point: neither pass changes anything
    assert np.isnan(scores["none"])


def test_homogeneity_is_the_mean_likeness_of_neighbours():
    # 0 | 8 | 255: neighbours 1 and 30 of 32 levels apart, each pair as often
    pixels = np.repeat(np.array([[0, 8, 255]]), 4, axis=0).astype(np.uint8)
    found = homogeneity(Image.fromarray(pixels).convert("RGB"))
    assert found == pytest.approx((1 / 2 + 1 / (1 + 30**2)) / 2)
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (9, 9), dtype=np.uint8)
    left, right = noise[:, :-1].astype(int) // 8, noise[:, 1:].astype(int) // 8
    found = homogeneity(Image.fromarray(noise).convert("RGB"))
    assert found == pytest.approx(np.mean(1 / (1 + (left - right) ** 2)))


def test_homogeneity_moves_every_score_of_an_image_alike(store):
    pixels = np.full((8, 8, 3), 160, dtype=np.uint8)
    pixels[:, ::2] = 192
    picture = Image.fromarray(pixels)
    table = frames.build("images", [{"image_id": store.put_picture(picture), "source": "half"}])
    scores = scored(AEDR()(table, ZOO, store=store))
    # all distances to grey are halved: the ratio is that of 64² + 32² to 32² + 16², both halved
    losses = [(32**2 + 16**2) / 2, (16**2 + 8**2) / 2]
    ratio = np.log(losses[0] + 1 / 12) - np.log(losses[1] + 1 / 12)
    assert scores["half"] == pytest.approx(-ratio - np.log(1 / (1 + 4**2)))
    assert scores["still"] == pytest.approx(-np.log(1 / (1 + 4**2)))


def test_the_loss_is_taken_at_the_size_of_the_model(store):
    zoo = ZOO | {"large": Fader(0.5, side=32)}
    scores = scored(AEDR()(grey(store, 192, side=16), zoo, store=store))
    assert scores["large"] == scores["half"]


def test_the_own_pictures_of_a_model_change_least(store):
    table = pipeline.make_queries([f"thing {i}" for i in range(10)], toys.coders(), store)[0]
    coded = table[table["source"] != "grey"]
    scores = AEDR()(coded, toys.coders(), store=store).scores
    assert accuracy(scores, coded) > 0.9
    assert set(scores.loc[scores["score"].isna(), "generator"]) == {"grey"}


def test_fit_moves_the_scores_of_each_model_by_its_threshold(store):
    table = pipeline.make_queries([f"thing {i}" for i in range(10)], toys.coders(), store)[0]
    fitted = AEDR(quantile=0.9).fit(table, toys.coders(), store=store)
    assert not AEDR().trained
    assert fitted.trained
    plain = AEDR()(table, toys.coders(), store=store).scores
    moved = fitted(table, toys.coders(), store=store).scores
    thresholds = dict(zip(fitted.fitted["models"], fitted.fitted["thresholds"], strict=True))
    assert np.isnan(thresholds["grey"])
    expected = plain["score"] + np.log(plain["generator"].map(thresholds).astype(float))
    assert np.allclose(moved["score"], expected, equal_nan=True)
    both = moved.merge(table[["image_id", "source"]], on="image_id")
    own = both[(both["generator"] == both["source"]) & (both["source"] != "grey")]
    assert 0.7 <= (own["score"] >= 0).mean() < 1  # about the quantile of them is accepted


def test_the_threshold_is_the_quantile_of_a_kernel_density():
    assert _kde_quantile(np.array([1.0, 2.0]), 0.5) == pytest.approx(1.5)  # by symmetry
    assert _kde_quantile(np.array([2.0, 2.0, 2.0]), 0.95) == 2
    values = np.random.default_rng(0).gamma(4, size=300)
    from scipy.stats import gaussian_kde

    grid = np.linspace(values.min() - 10, values.max() + 10, 20001)
    below = np.cumsum(gaussian_kde(values)(grid))
    expected = np.interp(0.95, below / below[-1], grid)
    assert _kde_quantile(values, 0.95) == pytest.approx(expected, abs=1e-2)


def test_calibration_needs_two_pictures_of_a_model(store):
    table = pipeline.make_queries(["thing 0"], toys.coders(), store)[0]
    sentence = "^AEDR needs at least 2 pictures of each model; seen 1 of blue$"
    with pytest.raises(ValueError, match=sentence):
        AEDR().fit(table, toys.coders(), store=store)


def test_the_quantile_lies_in_the_upper_half():
    with pytest.raises(ValueError, match=r"^the quantile lies in \[0.5, 1\); seen 1$"):
        AEDR(quantile=1)


def test_reconstructions_are_made_once(store):
    log: list[list[str]] = []
    table = pipeline.make_queries(["a thing made once"], toys.coders(), store)[0]
    seen = []
    for method in (AEDR(), AEDR(quantile=0.9)):
        method(table, toys.coders(log), store=store, progress=lambda *tick: seen.append(tick))
        made = [line for call in log for line in call]
        assert len(made) == 4 * 2 * 3  # four pictures, twice, by three models
    assert ("reconstruct", 4, 4) in seen


def test_a_real_autoencoder_reconstructs_test_pictures(images, store):
    zoo = {"tiny-sd": Diffusers(tiny.checkpoint("tiny-sd")), "toy": toys.Toy((1, 0, 0))}
    scores = AEDR()(images[:2], zoo, store=store).scores
    assert set(scores.loc[scores["score"].notna(), "generator"]) == {"tiny-sd"}
    once = pipeline.reconstruct(images["image_id"][:2], zoo["tiny-sd"], store)
    twice = pipeline.reconstruct(once.values(), zoo["tiny-sd"], store)
    for image, first in once.items():
        x, one, two = (
            np.asarray(store.picture(name).resize((32, 32), Image.Resampling.BICUBIC)) / 255.0
            for name in (image, first, twice[first])
        )
        losses = [np.mean((x - one) ** 2), np.mean((one - two) ** 2)]
        score = scores.loc[scores["image_id"] == image, "score"].max()
        alike = homogeneity(store.picture(image))
        assert score == pytest.approx(-np.log(losses[0] / losses[1] * alike), abs=1e-2)
