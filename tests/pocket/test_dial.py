"""The dial: corpora stand in for the models that learn from them."""

import numpy as np

from workbench.pocket import dial
from workbench.pocket.world import CORPORA


def test_stand_ins_are_called_once_each_and_twice_the_same():
    found, counts = dial.dial(n=3, gamma=2)
    assert counts.shape == (4, 4)
    assert counts.sum(1).tolist() == [3] * 4
    assert found.n == 12
    assert found.value == np.trace(counts) / 12
    assert (dial.dial(n=3, gamma=2)[1] == counts).all()


def test_each_model_of_the_zoo_has_a_corpus_of_its_own():
    assert len(set(dial.ZOO.values())) == len(dial.ZOO)
    assert set(dial.ZOO.values()) <= set(CORPORA)
