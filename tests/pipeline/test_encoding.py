"""Features of several layers from one pass."""

from __future__ import annotations

import numpy as np

from tests.pipeline.conftest import queries
from tests.support import toys
from workbench import pipeline


def test_all_layers_come_from_one_pass_and_serve_single_layers(store):
    log: list[list[str]] = []
    ids = list(queries(store)["image_id"])
    found = pipeline.encode_layers(ids, toys.Mean(log=log), [None, 1, 2], store, 16)
    assert [len(call) for call in log] == [8]
    alone = pipeline.encode(ids, toys.Mean(2, log), store, 16)
    assert len(log) == 1
    np.testing.assert_array_equal(alone.matrix, found[2].matrix)
    assert alone.encoder == "Mean(layer=2)"
