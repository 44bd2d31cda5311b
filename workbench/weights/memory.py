"""Memory: the bytes of weights, those of a device, placement, and errors of a lack of it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

from workbench.weights.repository import INDEX, components, variant_of

SPARE = 1.2
"""How much more than its weights a model takes while it runs, at the least."""
GROUPS = 0.2
"""How much of a part lies on the card while its layers take turns, with those under way to it."""

TURNS = ("parts", "groups")
"""What may take turns on a card: parts of a pipeline, or groups of their layers."""


def parts(folders: Sequence[Path], bytes_each: int, patterns: Sequence[str] = ()) -> dict[str, int]:
    """Return the bytes of each part of a model (a folder with weights) at `bytes_each` a number.

    Safetensors tell their shapes in their head; of pickles, taken as float32, only the size is
    known. Variants beside plain weights are copies of them, and so is in a pipeline what is none
    of its parts; the folders after the first are later stages. With `patterns`, only files whose
    name matches one count.
    """
    sizes: dict[str, int] = {}
    for place, folder in enumerate(folders):
        known = _components(folder, later=place > 0)
        for path in sorted(folder.rglob("*")):
            if known is not None and path.relative_to(folder).parts[0] not in known:
                continue
            if not any(fnmatch(path.relative_to(folder).as_posix(), x) for x in patterns or "*"):
                continue
            if path.suffix == ".safetensors" and not _copy(path):
                count = _numbers(path)
            elif path.suffix in (".bin", ".pt") and not list(path.parent.glob("*.safetensors")):
                count = path.stat().st_size // 4
            else:
                continue
            part = path.parent.relative_to(folder).as_posix()
            key = f"{folder}/{part}"
            sizes[key] = sizes.get(key, 0) + count * bytes_each
    return sizes


def _components(folder: Path, later: bool) -> set[str] | None:
    """Return the parts of a pipeline; None where the folder is none, or damaged."""
    try:
        return components(json.loads((folder / INDEX).read_text(encoding="utf-8")), later)
    except (OSError, ValueError, AttributeError, RecursionError):
        return None


def _copy(path: Path) -> bool:
    """Return whether a file is a variant (``model.fp16.safetensors``) beside plain weights."""
    beside = path.parent.glob(f"*{path.suffix}")
    return bool(variant_of(path.name)) and not all(variant_of(other.name) for other in beside)


def numbers_of(path: Path) -> str:
    """Return the dtype of most numbers of a safetensors file (``BF16``); "" for a damaged one."""
    counts: Counter[str] = Counter()
    for kind, count in _tensors(path):
        counts[kind] += count
    return max(counts, key=lambda kind: counts[kind]) if counts else ""


def _numbers(path: Path) -> int:
    """Return how many numbers a safetensors file holds, by its header."""
    tensors = _tensors(path)
    return sum(count for _, count in tensors) if tensors else path.stat().st_size // 4


def _tensors(path: Path) -> list[tuple[str, int]]:
    """Return the dtype and the count of each tensor in a safetensors file; [] for a damaged one."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        try:
            head = json.loads(file.read(min(size, path.stat().st_size)))
            tensors = [tensor for name, tensor in head.items() if name != "__metadata__"]
            return [(str(x["dtype"]), math.prod(map(int, x["shape"]))) for x in tensors]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
            return []  # its loader will tell


def free(device: str) -> int:
    """Return the free bytes of a device, "cpu" or "cuda"."""
    if device == "cpu":
        import psutil

        return int(psutil.virtual_memory().available)
    import torch

    return int(torch.cuda.mem_get_info()[0])


def total(device: str) -> int:
    """Return the total bytes of a device, "cpu" or "cuda"."""
    if device == "cpu":
        import psutil

        return int(psutil.virtual_memory().total)
    import torch

    return int(torch.cuda.mem_get_info()[1])


def placement(sizes: Mapping[str, int], room: int, turns: Sequence[str] = TURNS) -> str:
    """Return how parts fit into `room` bytes, or "" where they do not.

    "whole", or, where they may take `turns`, "parts" (one at a time) or "groups" (of one at a time,
    layer after layer).

    >>> sizes = {"unet": 6, "text": 5}
    >>> [placement(sizes, room) for room in (20, 8, 3, 1)], placement(sizes, 8, ())
    (['whole', 'parts', 'groups', ''], '')
    """
    needed = placements(sizes, turns)
    return next((how for how, least in needed.items() if least <= room), "")


def placements(sizes: Mapping[str, int], turns: Sequence[str] = TURNS) -> dict[str, float]:
    """Return the bytes that each placement of parts takes at the least, the largest first.

    >>> {how: round(least) for how, least in placements({"unet": 10, "text": 5}).items()}
    {'whole': 18, 'parts': 12, 'groups': 4}
    """
    most = max(sizes.values(), default=0)
    needed = {"whole": sum(sizes.values()) * SPARE}
    if "parts" in turns and len(sizes) > 1:
        needed["parts"] = most * SPARE
    if "groups" in turns:
        needed["groups"] = most * (SPARE - 1 + GROUPS)
    return needed


def gib(count: float) -> str:
    """Return bytes as text in GiB.

    >>> gib(3 * 2**30)
    '3.0 GiB'
    """
    return f"{count / 2**30:.1f} GiB"


def is_transient(error: BaseException) -> bool:
    """Return whether an error may pass on another try: memory, disk, device.

    >>> is_transient(RuntimeError("CUDA out of memory")), is_transient(ValueError("too long"))
    (True, False)
    """
    words = ("out of memory", "allocate memory", "no space left", "cuda", "cudnn", "cublas")
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in words)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error is a lack of memory, on the CPU or a GPU."""
    words = ("out of memory", "allocate memory")
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in words)
