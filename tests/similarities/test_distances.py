"""Distances over an encoder: closed forms, and torch, numpy and scipy must agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.distance import cdist

from tests.support import toys
from tests.support.models import tiny
from workbench import catalogue
from workbench.encoders.open_clip import OpenClip
from workbench.similarities import OverEncoder
from workbench.similarities.correlation import Correlation
from workbench.similarities.cosine import Cosine
from workbench.similarities.euclidean import Euclidean
from workbench.similarities.manhattan import Manhattan

KINDS = [Cosine, Euclidean, Manhattan, Correlation]


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    found = [rng.normal(size=(n, 33)).astype(np.float32) for n in (4, 7)]
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in found)
    return a, np.concatenate([b, a[:1]])


def test_distances_in_closed_form():
    """Red is (1, 0, 0), grey (1, 1, 1)/√3; cosine 1/√3, and grey does not vary at all."""
    red, grey = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (16, 16), "grey")
    root = 1 / np.sqrt(3)
    expected = {
        Euclidean: -np.sqrt(2 - 2 * root),
        Manhattan: -(1 - root + 2 * root),
        Correlation: -1.0,
    }
    for kind, value in expected.items():
        found = kind(toys.Mean())([red], [red, grey])
        assert found == pytest.approx(np.array([[0, value]]), abs=1e-6)


def test_opposite_features_are_farthest():
    one = toys.unit([[1, -1, 2, -2]])
    assert Euclidean(toys.Mean()).compare(one, -one) == pytest.approx(-2)
    assert Correlation(toys.Mean()).compare(one, -one) == pytest.approx(-2)


def test_euclidean_and_manhattan_equal_torch(rows):
    tensors = [torch.from_numpy(x).double() for x in rows]
    for kind, p in ((Euclidean, 2.0), (Manhattan, 1.0)):
        expected = -torch.cdist(*tensors, p=p, compute_mode="donot_use_mm_for_euclid_dist")
        assert np.allclose(kind(toys.Mean()).compare(*rows), expected.numpy(), atol=1e-6)


def test_correlation_equals_scipy_and_numpy(rows):
    found = Correlation(toys.Mean()).compare(*rows)
    assert np.allclose(found, -cdist(*rows, "correlation"), atol=1e-6)
    assert np.allclose(found, np.corrcoef(*rows)[:4, 4:] - 1, atol=1e-6)


def test_euclidean_orders_single_candidates_as_the_cosine_does(rows):
    cosine, euclidean = (kind(toys.Mean()).compare(*rows) for kind in (Cosine, Euclidean))
    assert np.allclose(euclidean, -np.sqrt(np.maximum(2 - 2 * cosine, 0)), atol=1e-3)
    assert np.array_equal(cosine.argsort(axis=1), euclidean.argsort(axis=1))


@pytest.mark.parametrize("kind", KINDS)
def test_equal_candidates_tie_exactly(kind):
    rng = np.random.default_rng(0)
    rows = toys.unit(rng.normal(size=(40, 129)))
    values = kind(toys.Mean()).compare(rows, np.concatenate([rows, rows]))
    assert np.array_equal(values[:, :40], values[:, 40:])
    assert np.array_equal(kind(toys.Mean()).compare(rows[:1], rows), values[:1, :40])


@pytest.mark.parametrize("kind", KINDS)
def test_features_of_two_encoders_are_refused(kind):
    sentence = "^features of one width are needed; there are 3 and 4$"
    with pytest.raises(ValueError, match=sentence):
        kind(toys.Mean()).compare(np.ones((1, 3)), np.ones((1, 4)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_similarity_is_named_by_the_row_of_its_encoder(kind):
    encoder = OpenClip(tiny.checkpoint("tiny-clip"), layer=2, pooling="mean")
    assert repr(kind(encoder)) == f'{kind.__name__}("tiny-clip", layer=2, pooling="mean")'
    assert repr(kind(toys.Mean())) == f"{kind.__name__}({toys.Mean()!r})"
    text = f'{kind.__name__}("pocket-clip", layer=4)'
    assert repr(catalogue.load(text, "similarity")) == text


def test_a_similarity_over_an_encoder_says_how_it_compares():
    class Silent(OverEncoder):
        pass

    with pytest.raises(TypeError, match=r"abstract class Silent .* abstract method '?between"):
        Silent()
