"""Weights loaded once, kept while there is room, evicted, and placed on a device.

A plug-in asks `load_weights` for its model and runs it through `inference.run_batched`.
"""

from __future__ import annotations

import gc
import logging
import re
import textwrap
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

from workbench.weights import device, memory, quantising
from workbench.weights.checkpoint import Checkpoint, is_downloaded, locate, missing

Answer = TypeVar("Answer")
CACHE_MODELS = 24
KEPT = {"cpu": 0.5, "cuda": 0.9}
"""The part of a device's memory that the models kept there may take."""
LOADERS = ("transformers.modeling_utils", "diffusers.models.modeling_utils")
"""Loggers that tell which weights were in no file, and were filled with random numbers."""
UNREAD = re.compile(
    r"^(\S.*?)\s*\|\s*(?:\x1b\[\d+m)?(?:MISSING|MISMATCH)|newly initialized: \['([^']+)'",
    re.MULTILINE,
)
_cache: OrderedDict[tuple[Any, ...], tuple[Any, dict[str, int]]] = OrderedDict()
lock = threading.RLock()


def load_weights(checkpoint: Checkpoint, loader: Callable[[Checkpoint], Answer]) -> Answer:
    """Load through `loader(checkpoint)` once, and keep the models used last while there is room.

    There is room for `KEPT` of the memory of the card, and of the computer's own.
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
                _forget(where)
            _make_room(checkpoint)
            with _loading(checkpoint):
                loaded = loader(checkpoint)
                _check_words(loaded)
            _cache[key] = (loaded, _bytes(loaded))
            for place in _cache[key][1]:
                while _held(place) > KEPT[place] * memory.total(place) and _forget(place, key):
                    pass
        return _cache[key][0]


def _state(folder: Path | None) -> int:
    """Return a hash of the sizes and modification times of the files in a folder."""
    files = sorted(folder.rglob("*")) if folder else []
    states = [(str(file), file.stat()) for file in files if file.is_file()]
    return hash(tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in states))


def needs(checkpoint: Checkpoint) -> dict[str, int]:
    """Return the bytes each part of the weights takes on its device; {} where unknown.

    Before the weights are here, what the row tells of its memory counts.
    """
    sizes = _plain_sizes(checkpoint)
    each = quantising.WAYS.get(str(checkpoint.option("quantise")))
    if each and sizes:
        largest = max(sizes, key=lambda part: sizes[part])
        parts = [part for part in sizes if Path(part).name in quantising.DENOISERS] or [largest]
        scale = each / device.dtype(checkpoint).itemsize
        sizes |= {key: int(sizes[key] * scale) for key in parts}
    return sizes


def _plain_sizes(checkpoint: Checkpoint) -> dict[str, int]:
    """Return the bytes each part of the weights takes as they come, before it is quantised."""
    import torch

    bytes_each = device.dtype(checkpoint).itemsize
    if is_downloaded(checkpoint):
        stages = checkpoint.stages or ("",)
        folders = [Path(locate(checkpoint, stage)) for stage in stages]
        return memory.parts(folders, bytes_each, checkpoint.files)
    scale = 2**30 * bytes_each / getattr(torch, checkpoint.dtype).itemsize
    most = checkpoint.largest or checkpoint.memory
    sizes: dict[str, int] = {}
    while most and (left := checkpoint.memory * scale - sum(sizes.values())) > most * scale / 1000:
        sizes[f"{checkpoint.name}/{len(sizes)}"] = int(min(left, most * scale))
    return sizes


def takes_turns(checkpoint: Checkpoint) -> Sequence[str]:
    """Return what of a row can take turns on a GPU: "parts" and "groups" of their layers, or none.

    The row's class is one of diffusers. Layers of bitsandbytes do not travel group by group.
    """
    if device.kind() == "cpu" or not checkpoint.class_name.startswith("diffusers."):
        return ()
    return memory.TURNS[:1] if quantising.packages(checkpoint) else memory.TURNS


def fit(checkpoint: Checkpoint, room: int, own: int) -> str:
    """Return how weights fit where models run: a placement of `memory.placement`, or "".

    `room`: bytes of the device; `own`: those of the computer's own memory, through which weights
    go to a GPU, and where those wait that take turns.
    """
    sizes = needs(checkpoint)
    if quantising.lacking(checkpoint):
        return ""
    if device.kind() != "cpu" and sum(_plain_sizes(checkpoint).values()) > own:
        return ""
    return memory.placement(sizes, room, takes_turns(checkpoint))


def refusal(checkpoint: Checkpoint) -> str:
    """Return why this machine can never hold the weights, and what would; "" where it can.

    What takes an unknown amount is not refused.
    """
    where, sizes = device.kind(), needs(checkpoint)
    room, own = memory.total(where), memory.total("cpu")
    if fit(checkpoint, room, own):
        return ""
    if why := quantising.lacking(checkpoint):
        return why
    if memory.placement(sizes, room, takes_turns(checkpoint)):
        return _too_far(checkpoint, sum(_plain_sizes(checkpoint).values()), own, "there are")
    return too_big(checkpoint, sizes, room, "there are")


def _too_far(checkpoint: Checkpoint, needed: int, own: int, seen: str) -> str:
    return (
        f"{checkpoint.name!r} needs about {memory.gib(needed)} of the computer's own memory on its "
        f"way to the GPU, and {seen} {memory.gib(own)}; use a machine with more memory, or "
        "another model"
    )


def _make_room(checkpoint: Checkpoint) -> None:
    """Evict models until the next one fits; raise MemoryError where it cannot fit."""
    if not is_downloaded(checkpoint):
        return  # its loader will tell
    if why := quantising.lacking(checkpoint):
        raise LookupError(why)
    sizes, where = needs(checkpoint), device.kind()
    release_memory()
    while not memory.placement(sizes, memory.free(where), ()) and _forget(where):
        pass
    needed = sum(_plain_sizes(checkpoint).values())
    while where != "cpu" and needed > memory.free("cpu") and _forget("cpu"):
        pass
    if where != "cpu" and needed > memory.free("cpu"):
        raise MemoryError(_too_far(checkpoint, needed, memory.free("cpu"), "there are free"))
    if not fit(checkpoint, memory.free(where), memory.free("cpu")):
        raise MemoryError(too_big(checkpoint, sizes, memory.free(where)))


def too_big(
    checkpoint: Checkpoint, sizes: Mapping[str, int], room: int, seen: str = "there are free"
) -> str:
    """Return a sentence on the memory weights need, what there is, and what would fit."""
    where = device.kind()
    ways = memory.placements(sizes, takes_turns(checkpoint))
    needed, least = ways["whole"], min(ways.values())
    kind = str(device.dtype(checkpoint)).removeprefix("torch.")
    helps = "use a machine with more memory, or another model"
    words = {"parts": "part by part", "groups": "in groups of layers"}
    less = [f"{memory.gib(ways[how])} {words[how]}" for how in words if how in ways]
    turns = f" ({', '.join(less)})" if less else ""
    if where != "cpu" and kind == "float32" and least / 2 <= room:
        helps = f'with dtype = "bfloat16" in its row about {memory.gib(least / 2)} would do'
    elif where == "cpu" and checkpoint.class_name.startswith("diffusers."):
        least = min(memory.placements(sizes).values()) / 2
        helps = f"a GPU with about {memory.gib(least)} would do, in halves and groups of layers"
    elif where == "cpu":
        helps = f"a GPU with about {memory.gib(needed / 2)} would do, in halves"
    return (
        f"{checkpoint.name!r} needs about {memory.gib(needed)} as {kind}{turns}, and {seen} "
        f"{memory.gib(room)} on the {'CPU' if where == 'cpu' else 'GPU'}; {helps}"
    )


def place(pipes: Sequence[Any], checkpoint: Checkpoint) -> None:
    """Move all stages of a row to where models run, or, on a GPU too small, let parts take turns.

    Where not even a part fits, its layers do, each group under way while another runs. The
    pipelines are those of diffusers, still on the CPU but for what bitsandbytes quantised.
    """
    where, sizes = device.kind(), needs(checkpoint)
    room = memory.free(where) + _bytes(pipes).get(where, 0)  # what is quantised lies there
    ways = memory.placements(sizes, takes_turns(checkpoint))
    if any(pipe.model_cpu_offload_seq is None for pipe in pipes):
        ways.pop("parts", None)  # a class that tells no order for them
    how = next((way for way, least in ways.items() if least <= room), "")
    if where != "cpu" and not how:
        raise MemoryError(too_big(checkpoint, sizes, room))
    for pipe in pipes:
        if where == "cpu" or how == "whole":
            pipe.to(where)
        elif how == "parts":
            pipe.enable_model_cpu_offload()
        else:
            in_groups(pipe, where)


def in_groups(pipe: Any, where: str) -> None:
    """Let the layers of a pipeline take turns on a device, which changes no number."""
    import torch

    stream = where == "cuda" and torch.cuda.is_available()
    pipe.enable_group_offload(
        torch.device(where), offload_type="leaf_level", use_stream=stream, record_stream=stream
    )


def _held(where: str) -> int:
    """Return the bytes that the models kept take on a device."""
    return sum(sizes.get(where, 0) for _, sizes in _cache.values())


def _forget(where: str, but: tuple[Any, ...] = ()) -> bool:
    """Evict the model used longest ago of those on a device; return whether there was one.

    One whose bytes are not known may lie there.
    """
    on_it = (key for key, (_, sizes) in _cache.items() if where in (sizes or {where}))
    oldest = next((key for key in on_it if key != but), None)
    if oldest is not None:
        del _cache[oldest]
        release_memory()
    return oldest is not None


def evict_idle(checkpoint: Checkpoint) -> bool:
    """Evict every model but those of a row; return whether there was one."""
    with lock:
        idle = [key for key in _cache if key[0] != checkpoint]
        for key in idle:
            del _cache[key]
        release_memory()
    return bool(idle)


def tile(checkpoint: Checkpoint) -> bool:
    """Let the autoencoders of a row's pipelines decode tile by tile; False where none still can.

    A picture no larger than a tile stays as it is; in a larger one tiles are blended.
    """
    whole = [maker for maker in _autoencoders(checkpoint) if not maker.use_tiling]
    for maker in whole:
        maker.enable_tiling()
    return bool(whole)


def is_tiled(checkpoint: Checkpoint) -> bool:
    """Return whether an autoencoder of a row works tile by tile."""
    return any(maker.use_tiling for maker in _autoencoders(checkpoint))


def _autoencoders(checkpoint: Checkpoint) -> list[Any]:
    """Return the loaded autoencoders of a row that can work tile by tile."""
    models = [loaded for key, (loaded, _) in _cache.items() if key[0] == checkpoint]
    pipes = [pipe for loaded in models if isinstance(loaded, list) for pipe in loaded]
    parts = [part for pipe in pipes for part in getattr(pipe, "components", {}).values()]
    return [part for part in parts if hasattr(part, "use_tiling")]


def release_memory() -> None:
    """Release the GPU memory cached for tensors that no longer exist."""
    import torch

    if device.kind() == "cuda":
        gc.collect()
        torch.cuda.empty_cache()


def clear_weights() -> None:
    """Evict every loaded model."""
    with lock:
        _cache.clear()
        release_memory()


def _bytes(loaded: Any) -> dict[str, int]:
    """Count the bytes of parameters on each device, in a module, a pipeline, or several of these.

    Parts that take turns on a GPU lie on the CPU.
    """
    import torch

    several = isinstance(loaded, (list, tuple))
    parts = loaded if several else list(getattr(loaded, "components", {}).values())
    sizes: Counter[str] = Counter()
    if isinstance(loaded, torch.nn.Module):
        for parameter in loaded.parameters():
            sizes[parameter.device.type] += parameter.nbytes
    else:
        for part in parts:
            sizes.update(_bytes(part))
    return dict(sizes)


@contextmanager
def _loading(checkpoint: Checkpoint) -> Iterator[None]:
    """Hide the libraries' progress bars while loading; raise a failed load as one sentence."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    bars = [x for x in (diffusers_logging, transformers_logging) if x.is_progress_bar_enabled()]
    for library in bars:
        library.disable_progress_bar()
    messages: list[str] = []
    try:
        with _listening(messages):
            yield
        if unread := _unread(checkpoint, messages):
            raise ValueError(unread)
    except Exception as error:
        if type(error) is LookupError or memory.is_transient(error):
            raise
        why = _unread(checkpoint, messages) or _first_line(error)
        if any(isinstance(cause, (UnpicklingError, EOFError)) for cause in _chain(error)):
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
def _listening(messages: list[str]) -> Iterator[None]:
    """Append the libraries' warnings while loading to a list, in place of printing them."""
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    loggers = [logging.getLogger(name) for name in LOADERS]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING - 1)  # at WARNING transformers tells of several GPUs, too
        logger.propagate = False
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.setLevel(level)
            logger.propagate = propagate
            logger.removeHandler(handler)


def _unread(checkpoint: Checkpoint, messages: Sequence[str]) -> str:
    """Return a sentence naming a tensor the files lack, from a library's messages; else "".

    The head of a language model that only reads prompts does not count.
    """
    names = ["".join(groups) for text in messages for groups in UNREAD.findall(text)]
    if checkpoint.role == "generator":
        names = [name for name in names if "lm_head" not in name]
    return f"their files lack {names[0]}, or have it in another shape" if names else ""


def _check_words(loaded: Any) -> None:
    """Raise ValueError for a tokenizer without vocabulary, which a missing file leads to."""
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
    """Return the first line of an error, and the second where the first ends in a colon."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return textwrap.shorten(" ".join(lines[: 1 + lines[0].endswith(":")]), 200, placeholder=" …")
