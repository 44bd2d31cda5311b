"""The learned metric: closed forms, a second implementation, and no look at what is left out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.evaluation import discriminant
from workbench.evaluation.gallery import choose

MODELS = ("one", "two", "three")


def gallery(prompts=6, each=4, width=12, seed=0):
    """Draw features: a prompt's own centre, a small shift of each model, and noise within."""
    rng = np.random.default_rng(seed)
    spread = np.linspace(0.2, 3, width)
    shift = {model: rng.normal(size=width) * 0.6 for model in MODELS}
    rows = []
    for p in range(prompts):
        centre = rng.normal(size=width) * 4
        for model in MODELS:
            rows += [
                (f"prompt {p}", model, centre + shift[model] + rng.normal(size=width) * spread)
                for _ in range(each)
            ]
    table = pd.DataFrame(rows, columns=["prompt", "generator", "feature"])
    table["image_id"] = [f"{i:064x}" for i in range(len(table))]
    features = np.stack(table["feature"])
    truth = np.array([MODELS.index(name) for name in table["generator"]])
    chosen = choose(table, MODELS, each)
    return features, chosen, truth, table["prompt"].to_numpy(dtype=str)


@pytest.fixture(scope="module")
def made():
    return gallery()


@pytest.mark.parametrize("width", [12, 200])
def test_the_whitening_is_the_inverse_root_of_the_shrunk_scatter(width):
    """Second implementation: an eigendecomposition of the whole matrix, more wide than long too."""
    features, chosen, truth, prompts = gallery(width=width)
    learned = discriminant.fit(features, chosen, truth, prompts, np.arange(len(truth)))
    rows = (features - features.mean(axis=0)) / features.std(axis=0)
    within = rows.copy()
    for prompt in set(prompts):
        for model in range(3):
            own = (prompts == prompt) & (truth == model)
            within[own] -= within[own].mean(axis=0)
    scatter = within.T @ within / len(rows)
    shrunk = 0.7 * scatter + 0.3 * np.trace(scatter) / width * np.eye(width)
    values, vectors = np.linalg.eigh(shrunk)
    root = vectors / np.sqrt(values) @ vectors.T
    assert np.allclose(learned.whiten(features), rows @ root, atol=1e-6)


def test_the_linear_part_is_the_discriminant_of_equal_gaussians(made):
    """x scores k over l by the log of N(x; m_k, S) / N(x; m_l, S), with x beside its centre."""
    features, chosen, truth, prompts = made
    learned = discriminant.fit(features, chosen, truth, prompts, np.arange(len(truth)))
    linear, cosines = learned.parts(features, features, chosen)
    whitened = learned.whiten(features)
    differences = np.stack(
        [
            whitened[i]
            - np.mean([whitened[row[row >= 0]].mean(axis=0) for row in chosen[i]], axis=0)
            for i in range(len(features))
        ]
    )
    means = np.stack([differences[truth == k].mean(axis=0) for k in range(3)])
    densities = -((differences[:, None] - means) ** 2).sum(axis=2) / 2
    assert np.allclose(linear - linear[:, :1], densities - densities[:, :1])
    i, k, j = 5, 1, 0
    test, other = differences[i], whitened[chosen[i, k, j]] - (whitened[i] - differences[i])
    expected = test @ other / np.linalg.norm(test) / np.linalg.norm(other)
    assert np.isclose(cosines[i, k, j], expected)
    assert np.nanmax(np.abs(cosines)) <= 1 + 1e-9
    both = linear / learned.units[0] + np.nanmean(cosines, axis=2) / learned.units[1]
    assert np.allclose(learned.scores(features, features, chosen), both)


def test_it_sees_what_the_plain_cosine_does_not(made):
    features, chosen, truth, prompts = made
    found = discriminant.folds(features, chosen, truth, prompts)
    scores = discriminant.out_of_fold(found, features, features, chosen, prompts)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    plain = np.stack([[np.max(unit[row[row >= 0]] @ unit[i]) for row in places]
                      for i, places in enumerate(chosen)])  # fmt: skip
    right = (scores.argmax(axis=1) == truth).mean()
    assert right > (plain.argmax(axis=1) == truth).mean() + 0.1
    assert right > 0.6


def test_what_is_left_out_is_not_seen(made):
    """The sources of a prompt's own pictures change nothing of what is said about them."""
    features, chosen, truth, prompts = made
    own = prompts == "prompt 2"
    turned = truth.copy()
    turned[own] = (truth[own] + 1) % 3
    for one, two in zip(
        discriminant.folds(features, chosen, truth, prompts),
        discriminant.folds(features, chosen, turned, prompts),
        strict=True,
    ):
        same = np.array_equal(one.learned.means, two.learned.means)
        assert same == (one.prompt == "prompt 2")
        if one.prompt == "prompt 2":
            first, second = (
                discriminant.out_of_fold([each], features, features, chosen, prompts)
                for each in (one, two)
            )
            assert np.array_equal(first, second, equal_nan=True)


def test_noise_alone_is_called_by_chance():
    features, chosen, truth, prompts = gallery(prompts=10, seed=3)
    noise = np.random.default_rng(1).normal(size=features.shape)
    found = discriminant.folds(noise, chosen, truth, prompts)
    scores = discriminant.out_of_fold(found, noise, noise, chosen, prompts)
    right = (scores.argmax(axis=1) == truth).mean()
    assert abs(right - 1 / 3) < 3 * np.sqrt(2 / 9 / len(truth))


def test_a_model_without_pictures_is_one_sentence(made):
    features, chosen, truth, prompts = made
    with pytest.raises(ValueError, match=r"^model 1 of 3 has no picture to learn from$"):
        discriminant.fit(features, chosen, truth, prompts, np.flatnonzero(truth != 1))
