"""The space: which pictures of a run lie in it, and maps of it that are seeded, kept and judged."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import manifold

from tests.support import toys
from workbench import frames, pipeline
from workbench.attributors.regeneration import Regeneration
from workbench.evaluation import benchmark, projection
from workbench.similarities.cosine import Cosine

ZOO = {"red": toys.Toy((1, 0, 0)), "green": toys.Toy((0, 1, 0)), "blue": toys.Toy((0, 0, 1))}


def run(store, texts=("one", "two", "forbidden three"), gamma=3):
    images, truth = pipeline.make_queries(texts, ZOO, store)
    ours = Regeneration(toys.Teller(), Cosine(toys.Mean()), "mean", gamma, 16)
    return benchmark.evaluate([ours], images, ZOO, truth=truth, store=store)


def clusters(n=60, width=8, seed=0):
    rng = np.random.default_rng(seed)
    centre = 5 * np.eye(3, width)[np.arange(n) % 3]
    return (centre + 0.1 * rng.standard_normal((n, width))).astype(np.float32)


def test_points_are_the_pictures_of_a_run_once(store):
    made = run(store)
    table = projection.points(made)
    assert list(table.columns) == list(projection.COLUMNS)
    assert table["picture"].is_unique
    tests, candidates = (table[table["kind"] == kind] for kind in ("test", "candidate"))
    assert set(tests["picture"]) == set(made["images"]["image_id"])
    assert set(candidates["picture"]) == set(made["candidates"]["candidate_id"].dropna())
    for picture in table["picture"]:
        store.picture(picture)
    assert candidates["similarity"].notna().all()
    assert candidates["inverter"].unique().tolist() == [repr(toys.Teller())]
    assert candidates["outcome"].isna().all()


def test_points_tell_the_outcome_of_the_first_attributor(store):
    made = run(store)
    tests = projection.points(made).query("kind == 'test'").set_index("picture")
    told = made["outcomes"].dropna(subset="predicted").set_index("image_id")
    assert (tests["generator"] == told["truth"]).all()
    assert (tests["predicted"] == told["predicted"]).all()
    assert ((tests["outcome"] == "right") == told["correct"]).all()
    assert (tests["margin"] == told["margin"]).all()


def test_points_of_unknown_source_have_an_unknown_outcome(store):
    made = run(store)
    del made["outcomes"]
    made["images"] = made["images"].assign(source=None)
    tests = projection.points(made).query("kind == 'test'")
    assert tests["generator"].isna().all()
    assert tests["predicted"].notna().all()
    assert set(tests["outcome"]) == {"unknown"}


def test_a_shared_candidate_stands_with_the_nearest_test_image(store):
    made = run(store)
    table = projection.points(made).query("kind == 'candidate'").set_index("picture")
    best = projection.related(made).groupby("picture")["similarity"].max()
    assert (table["similarity"] == best[table.index]).all()
    pairs = set(
        projection.related(made)[["image_id", "picture"]].itertuples(index=False, name=None)
    )
    assert set(zip(table["image_id"], table.index, strict=True)) <= pairs


def test_failed_pictures_have_no_point(store):
    made = run(store)
    lost = made["images"]["image_id"].iloc[0]
    made["images"].loc[0, "failure"] = "it could not be read"
    table = projection.points(made)
    assert lost not in set(table["picture"])
    assert lost not in set(table["image_id"])


def test_the_first_of_several_similarities_counts(store):
    made = run(store)
    other = made["similarities"].assign(similarity="SSIM()", value=-1.0)
    both = made | {"similarities": pd.concat([made["similarities"], other], ignore_index=True)}
    pd.testing.assert_frame_equal(projection.points(both), projection.points(made))


def test_points_need_the_frames_of_a_run():
    sentence = (
        "the pictures of a run are told by images, prompts, candidates and similarities; "
        "prompts, candidates, similarities missing, there are: images"
    )
    with pytest.raises(ValueError, match=sentence):
        projection.points({"images": frames.empty("images")})


def test_a_run_without_pictures_has_no_points():
    names = ("images", "prompts", "candidates", "similarities")
    assert projection.points({name: frames.empty(name) for name in names}).empty


@pytest.mark.slow
def test_umap_tells_its_epochs_and_is_kept(store):
    features, epochs = clusters(), []
    assert not projection.kept(features, "umap", seed=2, store=store)
    told = projection.project(
        features, "umap", seed=2, store=store, progress=lambda *step: epochs.append(step)
    )
    done, total = zip(*epochs, strict=True)
    assert list(done) == sorted(done)
    assert done[-1] == total[-1] == total[0]
    assert projection.kept(features, "umap", seed=2, store=store)
    assert not projection.kept(features, "umap", seed=3, store=store)
    np.testing.assert_array_equal(told, projection.project(features, "umap", seed=2))


@pytest.mark.slow
def test_umap_is_seeded_and_keeps_clusters_apart():
    features = clusters()
    places = projection.project(features)
    assert places.shape == (60, 2)
    assert places.dtype == np.float32
    np.testing.assert_array_equal(places, projection.project(features))
    assert not np.array_equal(places, projection.project(features, seed=1))
    near = np.argsort(((places[:, None] - places) ** 2).sum(-1), axis=1)[:, 1:6]
    assert (near % 3 == np.arange(60)[:, None] % 3).all()
    assert projection.trustworthiness(features, places) > 0.8


def test_pca_is_the_singular_value_decomposition():
    features = clusters()
    centred = features - features.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    places = projection.project(features, "pca")
    np.testing.assert_allclose(abs(places), abs(u[:, :2] * s[:2]), atol=1e-4)
    np.testing.assert_array_equal(places, projection.project(features, "pca", seed=7, neighbours=3))


@pytest.mark.slow
@pytest.mark.parametrize("method", projection.METHODS)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 11, 12, 16])
def test_few_points_have_a_map_without_a_warning(n, method):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("error", RuntimeWarning)
        places = projection.project(clusters(n), method)
    assert places.shape == (n, 2)
    assert np.isfinite(places).all()
    assert 0 <= projection.trustworthiness(clusters(n), places) <= 1


@pytest.mark.parametrize("features", [np.ones((9, 4)), np.arange(9.0)[:, None]])
def test_equal_rows_and_a_single_column_have_a_map(features):
    assert np.isfinite(projection.project(features, "pca")).all()


def test_a_map_is_made_once(store, monkeypatch):
    features = clusters()
    first = projection.project(features, "pca", store=store)
    assert store.info()["features"] == 1
    monkeypatch.setattr(projection, "_pca", None)
    np.testing.assert_array_equal(first, projection.project(features, "pca", store=store))


@pytest.mark.parametrize("change", ["features", "method", "seed", "neighbours", "shape"])
def test_what_changes_a_map_makes_another(store, monkeypatch, change):
    monkeypatch.setattr(projection, "_umap", lambda matrix, *_: matrix[:, :2])
    given = {"features": clusters(), "method": "umap", "seed": 0, "neighbours": 15}
    other = {"method": "pca", "seed": 1, "neighbours": 5, "features": clusters(seed=1)}
    projection.project(**given, store=store)
    changed = clusters().reshape(30, 16) if change == "shape" else other[change]
    given["features" if change == "shape" else change] = changed
    projection.project(**given, store=store)
    assert store.info()["features"] == 2


def test_trustworthiness_of_a_true_map_is_one_and_of_chance_is_half():
    flat = np.random.default_rng(0).standard_normal((300, 2))
    assert projection.trustworthiness(flat, flat) == 1.0
    assert projection.trustworthiness(flat, flat[::-1]) == pytest.approx(0.5, abs=0.06)


def test_trustworthiness_is_scikit_learns(monkeypatch):
    features = clusters()
    places = projection.project(features, "pca")
    expected = manifold.trustworthiness(features, places, n_neighbors=7)
    assert projection.trustworthiness(features, places, 7) == pytest.approx(expected)
    whole = projection.trustworthiness(clusters(400), projection.project(clusters(400), "pca"))
    monkeypatch.setattr(projection, "SAMPLE", 200)
    sampled = projection.trustworthiness(clusters(400), projection.project(clusters(400), "pca"))
    assert sampled == pytest.approx(whole, abs=0.1)
    assert sampled != whole


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda x: projection.project(x, "tsne"),
            "no projection named 'tsne'; there are: umap, pca",
        ),
        (
            lambda x: projection.project(x, neighbours=1),
            "a map needs at least 2 neighbours a point; seen 1",
        ),
        (
            lambda x: projection.project(x[0]),
            r"features are finite numbers of shape \(N, D\), at least one; seen \(8,\)",
        ),
        (
            lambda x: projection.project(x * np.nan),
            r"features are .* at least one; seen \(60, 8\), not all of them finite",
        ),
        (
            lambda x: projection.trustworthiness(x, x),
            r"60 vectors need places of shape \(60, 2\), not \(60, 8\)",
        ),
        (
            lambda x: projection.trustworthiness(x, x[:, :2], 0),
            "at least 1 neighbour is looked at; seen 0",
        ),
    ],
)
def test_mistakes_are_told(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(clusters())
