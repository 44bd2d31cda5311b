"""Vectors checked all at once: as each alone."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.store import rows

RNG = np.random.default_rng(0)


def blobs(matrix):
    return [row.astype("<f4").tobytes() for row in matrix]


def test_sound_vectors_are_the_rows_of_a_matrix():
    matrix = RNG.standard_normal((5, 3)).astype(np.float32)
    np.testing.assert_array_equal(rows.sound_vectors(blobs(matrix)), matrix)
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    unit[2] = 0
    np.testing.assert_array_equal(rows.sound_vectors(blobs(unit), unit=True), unit)


@pytest.mark.parametrize("fault", ["nan", "long", "uneven", "cut", "empty", "text", "none"])
def test_one_that_is_not_sound_leaves_all_to_be_looked_at_alone(fault):
    matrix = np.eye(3, 4, dtype=np.float32)
    if fault == "nan":
        matrix[1, 1] = np.nan
    if fault == "long":
        matrix[1] *= 2
    wrong = blobs(matrix)
    changes = {"uneven": wrong[0] + wrong[0], "cut": wrong[0][:3], "empty": b"", "text": "x"}
    if fault in changes:
        wrong[1] = changes[fault]
    if fault == "none":
        wrong = []
    assert rows.sound_vectors(wrong, unit=True) is None
    if wrong:
        faults = [rows.vector_fault(blob, unit=True) for blob in wrong]
        assert any(faults) or fault == "uneven"
