"""What every inverter, generator, encoder and similarity must obey."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.contracts.plugins import PROMPTS, pictures
from workbench import images
from workbench.generators import Failure
from workbench.inverters import Prompt

ORDER = [3, 0, 5, 1, 4, 2]


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


def digests(answers: list[Any]) -> list[str]:
    return [
        answer.reason if isinstance(answer, Failure) else images.digest(answer)
        for answer in answers
    ]


def answers_pictures_in_any_company(plugin: Any) -> None:
    pairs = [(PROMPTS[i % 2], i // 2) for i in range(6)]
    together = plugin(*map(list, zip(*pairs, strict=True)))
    assert all(isinstance(answer, Image.Image) and answer.mode == "RGB" for answer in together)
    expected = digests(together)
    assert len(set(expected)) == 6, "seeds and prompts must matter"
    assert plugin([], []) == []
    if getattr(plugin, "paid", False):
        return  # nothing is made twice
    assert digests([plugin([p], [s])[0] for p, s in pairs[1::3]]) == expected[1::3]
    shuffled = [pairs[i] for i in ORDER]
    assert digests(plugin(*map(list, zip(*shuffled, strict=True)))) == [expected[i] for i in ORDER]


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
