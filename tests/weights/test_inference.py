"""Calls in fixed shapes, halved where memory runs out; gradients where they are asked for."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.weights.conftest import row_over
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
    """A device with room for so many items a call; says so as torch does."""

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
