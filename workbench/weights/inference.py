"""How loaded weights run: in a fixed shape on the CPU, halved until it fits on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from workbench.weights import device, loading, memory
from workbench.weights.checkpoint import Checkpoint
from workbench.weights.loading import Answer

Item = TypeVar("Item")
GPU_BATCH = 8
"""How many pictures the first call on a GPU makes; halved until they fit."""


@contextmanager
def fixed_threads(count: int) -> Iterator[None]:
    """Run with `count` intra-op threads, one caller at a time; restore what was set before."""
    import torch

    with loading.lock:
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run under a set global seed of torch; restore its state, that of every GPU included."""
    import torch

    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def batches(items: Sequence[Item], size: int) -> Iterator[tuple[list[Item], int]]:
    """Cut into chunks of exactly `size`, the last one padded by its last item, with true counts.

    >>> list(batches("abc", 2))
    [(['a', 'b'], 2), (['c', 'c'], 1)]
    """
    for start in range(0, len(items), size):
        chunk = list(items[start : start + size])
        yield chunk + chunk[-1:] * (size - len(chunk)), len(chunk)


def run_batched(
    call: Callable[[list[Item]], Sequence[Answer]],
    items: Sequence[Item],
    checkpoint: Checkpoint,
    batch: int | None = None,
    gradients: bool = False,
) -> list[Answer]:
    """Run `call` over items in chunks of the row's batch and threads, and join the answers.

    On the CPU every chunk is padded, so the answer for an item depends neither on its company, its
    order nor OMP_NUM_THREADS. On a GPU the last chunk stays short, and the chunks are as large as
    memory allows: halved when it runs out (`shape` tells what was used). `batch` overrides the
    row's; without `gradients`, torch keeps no graph.

    Raises MemoryError with a sentence where even one item does not fit.
    """
    import torch

    padded = device.kind() == "cpu"
    size = batch or (checkpoint.batch if padded else call_size(checkpoint))
    with fixed_threads(checkpoint.threads), torch.inference_mode(not gradients):
        while True:
            answers: list[Answer] = []
            try:
                for chunk, count in batches(items, size):
                    answers.extend(call(chunk if padded else chunk[:count])[:count])
            except (RuntimeError, MemoryError) as error:
                if not memory.is_out_of_memory(error):
                    raise
                if padded or size == 1:
                    raise MemoryError(_too_full(checkpoint, size)) from error
            else:
                _fits[checkpoint], _largest[checkpoint] = size, min(size, len(items))
                return answers
            size //= 2  # outside of except, where the error still holds the tensors
            _fits[checkpoint] = size
            loading.release_memory()


_fits: dict[Checkpoint, int] = {}
_largest: dict[Checkpoint, int] = {}


def call_size(checkpoint: Checkpoint) -> int:
    """Tell how many items one call takes: the row's batch on the CPU, else what fits."""
    if device.kind() == "cpu":
        return checkpoint.batch
    return _fits.get(checkpoint, max(checkpoint.batch, GPU_BATCH))


def shape(checkpoint: Checkpoint) -> list[int]:
    """Tell the shape that was run last: batch and threads on the CPU, else the largest batch."""
    if device.kind() == "cpu":
        return [checkpoint.batch, checkpoint.threads]
    return [_largest.get(checkpoint, call_size(checkpoint))]


def _too_full(checkpoint: Checkpoint, size: int) -> str:
    """Say that running, not loading, ran out of memory."""
    where = device.kind()
    what = f"a call of {size}" if size > 1 else "one picture"
    helps = "close other programs, or use a smaller dtype, a smaller model or a larger machine"
    if where == "cpu" and size > 1:
        helps = f"a batch below {size} in its row takes less"
    return (
        f"the memory ran out in {what} of {checkpoint.name!r} on the "
        f"{'CPU' if where == 'cpu' else 'GPU'}, {memory.gib(memory.free(where))} are free; {helps}"
    )
