"""Weights loaded once, kept while there is room, evicted, and placed on a device.

A plug-in asks `load_weights` for its model and runs it through `inference.run_batched`.
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

from workbench.weights import device, memory
from workbench.weights.checkpoint import Checkpoint, is_downloaded, locate, missing

Answer = TypeVar("Answer")
CACHE_MODELS = 6
CACHE_BYTES = 16 * 2**30
LOADERS = ("transformers.modeling_utils", "diffusers.models.modeling_utils")
"""Loggers that tell which weights were in no file, and were filled with random numbers."""
UNREAD = re.compile(
    r"^(\S.*?)\s*\|\s*(?:\x1b\[\d+m)?(?:MISSING|MISMATCH)|newly initialized: \['([^']+)'",
    re.MULTILINE,
)
_cache: OrderedDict[tuple[Any, ...], tuple[Any, int]] = OrderedDict()
lock = threading.RLock()


def load_weights(checkpoint: Checkpoint, loader: Callable[[Checkpoint], Answer]) -> Answer:
    """Load through `loader(checkpoint)` once, and keep the few models used last.

    A folder whose files have changed since is loaded anew. Raises LookupError when the weights are
    missing or damaged.
    """
    where, name = device.kind(), (loader.__module__, loader.__qualname__)
    key = (checkpoint, *name, where, _state(checkpoint.folder))
    with lock:
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

    each = device.dtype(checkpoint).itemsize
    if is_downloaded(checkpoint):
        stages = checkpoint.stages or ("",)
        folders = [Path(locate(checkpoint, stage)) for stage in stages]
        return memory.parts(folders, each, checkpoint.files)
    told = checkpoint.memory * 2**30 * each / getattr(torch, checkpoint.dtype).itemsize
    return {checkpoint.name: int(told)} if told else {}


def _make_room(checkpoint: Checkpoint) -> None:
    """Forget models until the next one fits; MemoryError with a sentence where it never will."""
    if not is_downloaded(checkpoint):
        return  # its loader will tell
    sizes, where = needs(checkpoint), device.kind()
    release_memory()
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
    where, needed = device.kind(), sum(sizes.values()) * memory.SPARE
    kind = str(device.dtype(checkpoint)).removeprefix("torch.")
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
    where = device.kind()
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
    release_memory()


def release_memory() -> None:
    """Give back what a GPU keeps for tensors that are gone."""
    import torch

    if device.kind() == "cuda":
        gc.collect()
        torch.cuda.empty_cache()


def clear_weights() -> None:
    """Forget every loaded model."""
    with lock:
        _cache.clear()
        release_memory()


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
        if type(error) is LookupError or memory.is_transient(error):
            raise
        why = _unread(checkpoint, told) or _first_line(error)
        if any(isinstance(each, (UnpicklingError, EOFError)) for each in _chain(error)):
            why = "a pickle holds more than tensors, or is damaged"
        raise missing(checkpoint, why) from error
    finally:
        for library in bars:
            library.enable_progress_bar()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Return an error and those that led to it."""
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
