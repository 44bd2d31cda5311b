"""Run loaded weights in batches: of a fixed shape on the CPU, as large as fits on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from workbench.weights import device, loading, memory
from workbench.weights.checkpoint import Checkpoint
from workbench.weights.loading import Answer

Item = TypeVar("Item")
GPU_BATCH = 8
"""How many pictures the first call on a GPU makes; halved until they fit."""
PATIENCE = 8
"""Good calls of a size after which twice as many are tried; doubled by every one too large."""


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
    memory allows (`shape` tells what was used). Where it runs out, the same call is made again
    without the idle models, then, on a GPU, with autoencoders that work tile by tile, then with
    half as many items; what was done stays, and after `PATIENCE` good calls twice as many are
    tried again. `batch` overrides the row's; without `gradients`, torch keeps no graph.

    Raises MemoryError with a sentence where even one item does not fit.
    """
    import torch

    padded = device.kind() == "cpu"
    answers: list[Answer] = []
    size, largest = batch or call_size(checkpoint), 0
    with (
        fixed_threads(checkpoint.threads),
        torch.inference_mode(not gradients),
        device.tensor_cores(checkpoint),
    ):
        while len(answers) < len(items):
            chunk = list(items[len(answers) : len(answers) + size])
            outputs = _tried(call, chunk + chunk[-1:] * (size - len(chunk)) if padded else chunk)
            if outputs is not None:
                answers.extend(outputs[: len(chunk)])
                largest = max(largest, len(chunk))
                _largest[checkpoint] = largest
                if not padded and batch is None:
                    size = _fit_of(checkpoint).grown(len(chunk))
            elif loading.evict_idle(checkpoint) or (not padded and loading.tile(checkpoint)):
                continue
            elif padded or len(chunk) == 1:
                raise MemoryError(_too_full(checkpoint, size if padded else 1))
            else:
                size = _fit_of(checkpoint).halved(size, len(chunk))
                loading.release_memory()
    return answers


def _tried(
    call: Callable[[list[Item]], Sequence[Answer]], chunk: list[Item]
) -> Sequence[Answer] | None:
    """Return the answers of a call; None where memory ran out, the tensors of it let go."""
    try:
        return call(chunk)
    except (RuntimeError, MemoryError) as error:
        if not memory.is_out_of_memory(error):
            raise
    return None


@dataclass
class _Fit:
    """How many items of a row fit into a call on the GPU, and when twice as many are tried.

    >>> fit = _Fit(most=8, size=2)
    >>> [fit.grown(2) for _ in range(PATIENCE)][-2:], fit.halved(4, 4), fit.patience // PATIENCE
    ([2, 4], 2, 2)
    """

    most: int
    size: int
    good: int = 0
    patience: int = PATIENCE

    def grown(self, count: int) -> int:
        """Count a good call; return the size of the next."""
        self.good += count == self.size
        if self.good >= self.patience and self.size < self.most:
            self.size, self.good = min(2 * self.size, self.most), 0
        return self.size

    def halved(self, size: int, count: int) -> int:
        """Return a size of which a call of `count` was too much; be twice as patient from now."""
        while size >= max(count, 2):
            size //= 2
        self.size, self.good, self.patience = size, 0, 2 * self.patience
        return self.size


_fits: dict[Checkpoint, _Fit] = {}
_largest: dict[Checkpoint, int] = {}


def _fit_of(checkpoint: Checkpoint) -> _Fit:
    most = max(checkpoint.batch, GPU_BATCH)
    return _fits.setdefault(checkpoint, _Fit(most, most))


def call_size(checkpoint: Checkpoint) -> int:
    """Return the number of items in one call: the row's batch on the CPU, else what fits."""
    if device.kind() == "cpu":
        return checkpoint.batch
    return _fit_of(checkpoint).size


def shape(checkpoint: Checkpoint) -> list[int | str]:
    """Return the shape that was run last: batch and threads on the CPU, else the largest batch.

    Where autoencoders worked tile by tile, which a picture may show, that stands behind it.
    """
    if device.kind() == "cpu":
        return [checkpoint.batch, checkpoint.threads]
    tiled = ["tiled"] if loading.is_tiled(checkpoint) else []
    return [_largest.get(checkpoint, call_size(checkpoint)), *tiled]


def _too_full(checkpoint: Checkpoint, size: int) -> str:
    """Return the sentence of a call that ran out of memory."""
    where = device.kind()
    what = f"a call of {size}" if size > 1 else "one picture"
    helps = "close other programs, or use a smaller dtype, a smaller model or a larger machine"
    if where == "cpu" and size > 1:
        helps = f"a batch below {size} in its row takes less"
    return (
        f"the memory ran out in {what} of {checkpoint.name!r} on the "
        f"{'CPU' if where == 'cpu' else 'GPU'}, {memory.gib(memory.free(where))} are free; {helps}"
    )
