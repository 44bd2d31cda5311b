"""Calls in fixed shapes, halved where memory runs out; gradients where they are asked for."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from tests.weights.conftest import row_over
from workbench.plugin import identity
from workbench.weights import device, inference, loading, memory


def test_chunks_are_full_and_threads_are_set(folder):
    import torch

    seen = []

    def call(chunk):
        seen.append((chunk, torch.get_num_threads(), torch.is_inference_mode_enabled()))
        return [x * 10 for x in chunk]

    before = torch.get_num_threads()
    row = row_over(folder, batch=3, threads=1)
    assert inference.run_batched(call, range(4), row) == [0, 10, 20, 30]
    assert seen == [([0, 1, 2], 1, True), ([3, 3, 3], 1, True)]
    assert inference.run_batched(call, [], row) == []
    assert torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError):
        inference.run_batched(lambda _: 1 // 0, [1], row)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("around", ["enable_grad", "no_grad", "inference_mode"])
def test_gradients_flow_where_they_are_asked_for(folder, around):
    import torch

    def slope(chunk):
        x = torch.tensor(chunk, dtype=torch.float32, requires_grad=True)
        (x**2).sum().backward()
        return x.grad.tolist()

    row = row_over(folder, batch=2, threads=1)
    with getattr(torch, around)():
        before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        assert inference.run_batched(slope, [1, 2, 3], row, gradients=True) == [2, 4, 6]
        with pytest.raises(RuntimeError, match="does not require grad"):
            inference.run_batched(slope, [1], row)
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before


class Gpu:
    """A model on a device with room for so many items a call; says so as torch does."""

    def __init__(self, room):
        self.room, self.calls = room, []

    def __call__(self, chunk):
        self.calls.append(len(chunk))
        if len(chunk) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return [item.upper() for item in chunk]


def test_on_a_gpu_calls_are_halved_until_they_fit_and_the_shape_is_told(folder, monkeypatch):
    monkeypatch.setattr(device, "kind", lambda: "cuda")
    monkeypatch.setattr(loading, "release_memory", lambda: None)
    monkeypatch.setattr(memory, "free", lambda device: 0)
    row, gpu = row_over(folder, batch=1), Gpu(room=2)
    assert inference.shape(row) == [8]
    assert inference.run_batched(gpu, "abcdefg", row) == list("ABCDEFG")
    assert gpu.calls == [7, 4, 2, 2, 2, 1]
    assert inference.shape(row) == [2]
    assert inference.run_batched(gpu, "h", row) == ["H"]
    assert inference.shape(row) == [1]
    gpu.calls.clear()
    assert inference.run_batched(gpu, "abc", row) == list("ABC")
    assert gpu.calls == [2, 1]  # what fits is remembered
    sentence = (
        r"^the memory ran out in one picture of 'mine' on the GPU, 0.0 GiB are free; close other "
        "programs, or use a smaller dtype, a smaller model or a larger machine$"
    )
    with pytest.raises(MemoryError, match=sentence):
        inference.run_batched(Gpu(room=0), "abc", row)
    with pytest.raises(ValueError, match=r"^another fault$"):
        inference.run_batched(_fails, "abc", row)


def _fails(chunk):
    raise ValueError("another fault")


class Card:
    """A card of so many bytes: what is loaded lies on it, and a call takes `each` an item."""

    def __init__(self, monkeypatch, size, each):
        self.size, self.each, self.calls = size, each, []
        monkeypatch.setattr(device, "kind", lambda: "cuda")
        monkeypatch.setattr(loading, "release_memory", lambda: None)
        monkeypatch.setattr(memory, "free", lambda where: self.free() if where == "cuda" else 2**60)
        monkeypatch.setattr(memory, "total", lambda where: size if where == "cuda" else 2**60)
        monkeypatch.setattr(memory, "parts", lambda *_: {})

    def free(self):
        return self.size - sum(loaded[0].weight for loaded, _ in loading._cache.values())

    def load(self, row, weight, maker=None):
        """Load a pipeline of so many bytes, with an autoencoder or none."""
        pipe = SimpleNamespace(weight=weight, components={"vae": maker} if maker else {})
        loading.load_weights(row, lambda _: [pipe])

    def __call__(self, chunk):
        self.calls.append(len(chunk))
        tiled = any(map(loading.is_tiled, {key[0] for key in loading._cache}))
        if len(chunk) * self.each / (2 if tiled else 1) > self.free():
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return chunk


class Autoencoder:
    """As much of an autoencoder of diffusers as is told to work tile by tile."""

    use_tiling = False

    def enable_tiling(self):
        self.use_tiling = True


def test_idle_models_give_way_before_a_call_shrinks(folder, monkeypatch):
    """As of LCM beside an idle SD 2.1 on a card of 7.5 GiB: eight fit once that one is away."""
    card, (idle, row) = Card(monkeypatch, 75, 5), (row_over(folder, size=s) for s in (1, 2))
    card.load(idle, 24)
    card.load(row, 26)
    assert inference.run_batched(card, "abcdefgh", row) == list("abcdefgh")
    assert card.calls == [8, 8]
    assert [key[0] for key in loading._cache] == [row]
    assert inference.shape(row) == [8]


def test_then_autoencoders_work_tile_by_tile_and_only_then_calls_are_halved(folder, monkeypatch):
    card, row = Card(monkeypatch, 75, 13), row_over(folder)
    card.load(row, 10, Autoencoder())
    assert inference.run_batched(card, "abcdefgh", row) == list("abcdefgh")
    assert card.calls == [8, 8]
    assert inference.shape(row) == [8, "tiled"]  # beside every picture in the store
    card.each = 65
    assert inference.run_batched(card, "abcd", row) == list("abcd")
    assert card.calls[2:] == [4, 2, 2]


def test_the_size_grows_back_and_less_often_after_every_failure(folder, monkeypatch):
    card, row = Card(monkeypatch, 100, 30), row_over(folder, size=3)
    card.load(row, 10)
    patience = inference.PATIENCE
    inference.run_batched(card, range(8), row)
    assert card.calls[:3] == [8, 4, 2]
    card.calls.clear()
    card.each = 10  # another program let its memory go
    inference.run_batched(card, range(400), row)
    grown = [size for size in card.calls if size > 2]
    assert grown[0] == 4
    assert max(card.calls) == 8
    assert len(card.calls) - len(grown) <= 4 * patience
    card.calls.clear()
    card.each = 40
    inference.run_batched(card, range(400), row)
    tries = [place for place, size in enumerate(card.calls) if size > 2]
    assert len(tries) <= 4, "a call too large is a call lost"
    assert inference.run_batched(card, [], row) == []


def test_what_a_call_made_stays_when_the_next_one_is_too_large(folder, monkeypatch):
    card, row = Card(monkeypatch, 100, 10), row_over(folder, size=4)
    card.load(row, 10)
    seen = []

    def call(chunk):
        card.each = 10 if not seen else 20
        card(chunk)
        seen.extend(chunk)
        return chunk

    assert inference.run_batched(call, range(16), row) == [*range(16)]
    assert seen == [*range(16)]


def test_on_the_cpu_too_idle_models_give_way(folder, monkeypatch):
    idle, row = (row_over(folder, size=s, batch=4) for s in (1, 2))
    loading.load_weights(idle, lambda _: object())
    gpu = Gpu(room=0)

    def call(chunk):
        gpu.room = 4 if not loading._cache else 0
        return gpu(chunk)

    assert inference.run_batched(call, "abc", row) == list("ABC")
    assert gpu.calls == [4, 4]


def test_float32_on_a_gpu_is_multiplied_on_its_tensor_cores_and_the_key_says_so(
    folder, monkeypatch
):
    full, half = row_over(folder), row_over(folder, dtype="bfloat16")
    seen = []

    def call(chunk):
        seen.append(torch.get_float32_matmul_precision())
        return chunk

    before = torch.get_float32_matmul_precision()
    inference.run_batched(call, [1], full)
    names = [identity(full)["dtype"]]
    monkeypatch.setattr(device, "kind", lambda: "cuda")
    for row in (full, half):
        inference.run_batched(call, [1], row)
        names.append(identity(row)["dtype"])
    assert seen == [before, "high", before]
    assert torch.get_float32_matmul_precision() == before
    assert names == ["float32", "tf32", "bfloat16"]


def test_on_the_cpu_the_shape_stays_and_a_lack_of_memory_is_told(folder):
    row = dataclasses.replace(row_over(folder), batch=4)
    sentence = (
        "^the memory ran out in a call of 4 of 'mine' on the CPU, .* GiB are free; "
        "a batch below 4 in its row takes less$"
    )
    gpu = Gpu(room=2)
    with pytest.raises(MemoryError, match=sentence):
        inference.run_batched(gpu, "abc", row)
    assert gpu.calls == [4]
