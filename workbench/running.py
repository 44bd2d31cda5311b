"""How weights run: loaded once and kept while there is room, in a fixed shape, halved on a GPU.

A plug-in asks `weights` for its loaded model and runs it through `in_fixed_shape`, the one place
where batch and threads are set.
"""

from __future__ import annotations

import gc
import logging
import re
import textwrap
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

from workbench import checkpoints, memory
from workbench.checkpoints import Checkpoint

Item = TypeVar("Item")
Answer = TypeVar("Answer")

CACHE_MODELS = 6
CACHE_BYTES = 16 * 2**30
GPU_BATCH = 8
"""How many pictures the first call on a GPU makes; halved until they fit."""

LOADERS = ("transformers.modeling_utils", "diffusers.models.modeling_utils")
"""Loggers that tell which weights were in no file, and were filled with random numbers."""

UNREAD = re.compile(
    r"^(\S.*?)\s*\|\s*(?:\x1b\[\d+m)?(?:MISSING|MISMATCH)|newly initialized: \['([^']+)'",
    re.MULTILINE,
)

_cache: OrderedDict[tuple[Any, ...], tuple[Any, int]] = OrderedDict()
_lock = threading.RLock()


def weights(checkpoint: Checkpoint, loader: Callable[[Checkpoint], Answer]) -> Answer:
    """Load through `loader(checkpoint)` once, and keep the few models used last.

    A folder whose files have changed since is loaded anew. Raises LookupError when the weights are
    missing or damaged.
    """
    where, name = checkpoints.device(), (loader.__module__, loader.__qualname__)
    key = (checkpoint, *name, where, _state(checkpoint.folder))
    with _lock:
        if key in _cache:
            _cache.move_to_end(key)
        else:
            while len(_cache) >= CACHE_MODELS:
                _forget()
            _make_room(checkpoint)
            with _loading(checkpoint):
                loaded = loader(checkpoint)
                _check_words(loaded)
            _cache[key] = (loaded, _bytes(loaded))
            while len(_cache) > 1 and sum(size for _, size in _cache.values()) > CACHE_BYTES:
                _forget()
        return _cache[key][0]


def _state(folder: Path | None) -> int:
    """Tell one state of the files in a folder from another, by their sizes and times."""
    files = sorted(folder.rglob("*")) if folder else []
    found = [(str(file), file.stat()) for file in files if file.is_file()]
    return hash(tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in found))


def needs(checkpoint: Checkpoint) -> dict[str, int]:
    """Count the bytes that each part of the weights takes where it runs; {} where nobody knows.

    Before the weights are here, what the row tells of its memory counts.
    """
    import torch

    each = checkpoints.dtype(checkpoint).itemsize
    if checkpoints.here(checkpoint):
        stages = checkpoint.stages or ("",)
        folders = [Path(checkpoints.locate(checkpoint, stage)) for stage in stages]
        return memory.parts(folders, each, checkpoint.files)
    told = checkpoint.memory * 2**30 * each / getattr(torch, checkpoint.dtype).itemsize
    return {checkpoint.name: int(told)} if told else {}


def _make_room(checkpoint: Checkpoint) -> None:
    """Forget models until the next one fits; MemoryError with a sentence where it never will."""
    if not checkpoints.here(checkpoint):
        return  # its loader will tell
    sizes, where = needs(checkpoint), checkpoints.device()
    _empty()
    while _cache and not memory.placement(sizes, memory.free(where), offload=False):
        _forget()
    if where != "cpu" and sum(sizes.values()) > memory.free("cpu"):
        raise MemoryError(
            f"{checkpoint.name!r} needs about {memory.gib(sum(sizes.values()))} of the computer's "
            f"own memory on its way to the GPU, and {memory.gib(memory.free('cpu'))} are free; use "
            "a machine with more memory, or another model"
        )
    if memory.placement(sizes, memory.free(where), offload=where != "cpu"):
        return
    raise MemoryError(too_big(checkpoint, sizes, memory.free(where)))


def too_big(checkpoint: Checkpoint, sizes: Mapping[str, int], free: int) -> str:
    """Say what weights need, what there is, and what would fit."""
    where, needed = checkpoints.device(), sum(sizes.values()) * memory.SPARE
    kind = str(checkpoints.dtype(checkpoint)).removeprefix("torch.")
    helps = "use a machine with more memory, or another model"
    if where != "cpu" and kind == "float32" and needed / 2 <= free:
        helps = f'with dtype = "bfloat16" in its row about {memory.gib(needed / 2)} would do'
    elif where == "cpu":
        least = max(sizes.values()) * memory.SPARE * 2 / 4
        helps = f"a GPU with about {memory.gib(least)} would do, at half precision, part by part"
    return (
        f"{checkpoint.name!r} needs about {memory.gib(needed)} as {kind}, and "
        f"{memory.gib(free)} are free on the {'CPU' if where == 'cpu' else 'GPU'}; {helps}"
    )


def place(pipes: Sequence[Any], checkpoint: Checkpoint) -> None:
    """Move all stages of a row to where models run, or, on a GPU too small, let parts take turns.

    The pipelines are those of diffusers, still on the CPU.
    """
    where = checkpoints.device()
    whole = where == "cpu" or memory.placement(needs(checkpoint), memory.free(where)) == "whole"
    for pipe in pipes:
        if whole:
            pipe.to(where)
        elif pipe.model_cpu_offload_seq is None:
            raise MemoryError(too_big(checkpoint, needs(checkpoint), memory.free(where)))
        else:
            pipe.enable_model_cpu_offload()


def _forget() -> None:
    """Drop the model used longest ago, and give its memory back."""
    _cache.popitem(last=False)
    _empty()


def _empty() -> None:
    """Give back what a GPU keeps for tensors that are gone."""
    import torch

    if checkpoints.device() == "cuda":
        gc.collect()
        torch.cuda.empty_cache()


def clear_weights() -> None:
    """Forget every loaded model."""
    with _lock:
        _cache.clear()
        _empty()


def _bytes(loaded: Any) -> int:
    """Count the bytes of the parameters in a module, a pipeline, or a tuple of these."""
    import torch

    if isinstance(loaded, (list, tuple)):
        return sum(map(_bytes, loaded))
    if isinstance(loaded, torch.nn.Module):
        return sum(p.numel() * p.element_size() for p in loaded.parameters())
    return sum(map(_bytes, getattr(loaded, "components", {}).values()))


@contextmanager
def _loading(checkpoint: Checkpoint) -> Iterator[None]:
    """Silence the libraries' bars while loading; turn a failed load into one sentence."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    bars = [x for x in (diffusers_logging, transformers_logging) if x.is_progress_bar_enabled()]
    for library in bars:
        library.disable_progress_bar()
    told: list[str] = []
    try:
        with _listening(told):
            yield
        if unread := _unread(checkpoint, told):
            raise ValueError(unread)
    except Exception as error:
        if type(error) is LookupError or exhausted(error):
            raise
        why = _unread(checkpoint, told) or _first_line(error)
        if any(isinstance(each, (UnpicklingError, EOFError)) for each in _chain(error)):
            why = "a pickle holds more than tensors, or is damaged"
        raise checkpoints.missing(checkpoint, why) from error
    finally:
        for library in bars:
            library.enable_progress_bar()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Answer an error and those that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextmanager
def _listening(told: list[str]) -> Iterator[None]:
    """Collect what the libraries warn of while they load, in place of their printing it."""
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    loggers = [logging.getLogger(name) for name in LOADERS]
    before = [(each.level, each.propagate) for each in loggers]
    for each in loggers:
        each.setLevel(logging.WARNING - 1)  # at WARNING transformers tells of several GPUs, too
        each.propagate = False
        each.addHandler(handler)
    try:
        yield
    finally:
        for each, (level, propagate) in zip(loggers, before, strict=True):
            each.setLevel(level)
            each.propagate = propagate
            each.removeHandler(handler)


def _unread(checkpoint: Checkpoint, told: Sequence[str]) -> str:
    """Name a tensor that the files lack, by what a library told; "" where they lack none.

    The head of a language model that only reads prompts does not count.
    """
    names = ["".join(found) for text in told for found in UNREAD.findall(text)]
    if checkpoint.role == "generator":
        names = [name for name in names if "lm_head" not in name]
    return f"their files lack {names[0]}, or have it in another shape" if names else ""


def _check_words(loaded: Any) -> None:
    """Refuse tokenizers that the libraries made of nothing, for want of a file; ValueError."""
    if hasattr(loaded, "all_special_ids") and hasattr(loaded, "__len__"):
        if len(loaded) <= len(set(loaded.all_special_ids)):
            raise ValueError("the vocabulary of their tokenizer is not there")
    elif isinstance(loaded, (list, tuple)):
        for part in loaded:
            _check_words(part)
    elif loaded is not None:
        _check_words(list(getattr(loaded, "components", {}).values()))
        _check_words(getattr(loaded, "tokenizer", None))


def _first_line(error: BaseException) -> str:
    """Shorten an error of a library to its first line, and the next where that only leads to it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return textwrap.shorten(" ".join(lines[: 1 + lines[0].endswith(":")]), 200, placeholder=" …")


def exhausted(error: BaseException) -> bool:
    """Tell errors that may pass (memory, disk, device) from those that will come again.

    >>> exhausted(RuntimeError("CUDA out of memory")), exhausted(ValueError("too long"))
    (True, False)
    """
    words = ("out of memory", "allocate memory", "no space left", "cuda", "cudnn", "cublas")
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in words)


@contextmanager
def fixed_threads(count: int) -> Iterator[None]:
    """Run with `count` intra-op threads, one caller at a time; restore what was set before."""
    import torch

    with _lock:
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


def in_fixed_shape(
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

    padded = checkpoints.device() == "cpu"
    size = batch or (checkpoint.batch if padded else call_size(checkpoint))
    with fixed_threads(checkpoint.threads), torch.inference_mode(not gradients):
        while True:
            answers: list[Answer] = []
            try:
                for chunk, count in batches(items, size):
                    answers.extend(call(chunk if padded else chunk[:count])[:count])
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error):
                    raise
                if padded or size == 1:
                    raise MemoryError(_too_full(checkpoint, size)) from error
            else:
                _fits[checkpoint], _largest[checkpoint] = size, min(size, len(items))
                return answers
            size //= 2  # outside of except, where the error still holds the tensors
            _fits[checkpoint] = size
            _empty()


_fits: dict[Checkpoint, int] = {}
_largest: dict[Checkpoint, int] = {}


def call_size(checkpoint: Checkpoint) -> int:
    """Tell how many items one call takes: the row's batch on the CPU, else what fits."""
    if checkpoints.device() == "cpu":
        return checkpoint.batch
    return _fits.get(checkpoint, max(checkpoint.batch, GPU_BATCH))


def shape(checkpoint: Checkpoint) -> list[int]:
    """Tell the shape that was run last: batch and threads on the CPU, else the largest batch."""
    if checkpoints.device() == "cpu":
        return [checkpoint.batch, checkpoint.threads]
    return [_largest.get(checkpoint, call_size(checkpoint))]


def _out_of_memory(error: BaseException) -> bool:
    words = ("out of memory", "allocate memory")
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in words)


def _too_full(checkpoint: Checkpoint, size: int) -> str:
    """Say that running, not loading, ran out of memory."""
    where = checkpoints.device()
    what = f"a call of {size}" if size > 1 else "one picture"
    helps = "close other programs, or use a smaller dtype, a smaller model or a larger machine"
    if where == "cpu" and size > 1:
        helps = f"a batch below {size} in its row takes less"
    return (
        f"the memory ran out in {what} of {checkpoint.name!r} on the "
        f"{'CPU' if where == 'cpu' else 'GPU'}, {memory.gib(memory.free(where))} are free; {helps}"
    )
