"""Memory: what weights take, what a machine has, how one goes into the other, when it ran out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

from workbench.weights.repository import INDEX, components, variant_of

SPARE = 1.2
"""How much more than its weights a model takes while it runs, at the least."""


def parts(folders: Sequence[Path], bytes_each: int, patterns: Sequence[str] = ()) -> dict[str, int]:
    """Count the bytes of each part of a model (a folder with weights) at `bytes_each` a number.

    Safetensors tell their shapes in their head; of pickles, taken as float32, only the size is
    known. Variants beside plain weights are copies of them, and so is in a pipeline what is none
    of its parts; the folders after the first are later stages. With `patterns`, only files whose
    name matches one count.
    """
    found: dict[str, int] = {}
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
            found[key] = found.get(key, 0) + count * bytes_each
    return found


def _components(folder: Path, later: bool) -> set[str] | None:
    """Name the parts of a pipeline; None of what is none, or damaged."""
    try:
        return components(json.loads((folder / INDEX).read_text(encoding="utf-8")), later)
    except (OSError, ValueError, AttributeError):
        return None


def _copy(path: Path) -> bool:
    """Tell a variant (``model.fp16.safetensors``) that stands beside plain weights."""
    beside = path.parent.glob(f"*{path.suffix}")
    return bool(variant_of(path.name)) and not all(variant_of(each.name) for each in beside)


def _numbers(path: Path) -> int:
    """Count the numbers in a safetensors file by its head."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        try:
            head = json.loads(file.read(min(size, path.stat().st_size)))
            tensors = [each for name, each in head.items() if name != "__metadata__"]
            return sum(math.prod(map(int, each["shape"])) for each in tensors)
        except (ValueError, TypeError, KeyError, AttributeError):
            return path.stat().st_size // 4  # damaged: its loader will tell


def free(device: str) -> int:
    """Tell how many bytes are free on a device, "cpu" or "cuda"."""
    if device == "cpu":
        import psutil

        return int(psutil.virtual_memory().available)
    import torch

    return int(torch.cuda.mem_get_info()[0])


def total(device: str) -> int:
    """Tell how many bytes a device has, "cpu" or "cuda"."""
    if device == "cpu":
        import psutil

        return int(psutil.virtual_memory().total)
    import torch

    return int(torch.cuda.mem_get_info()[1])


def placement(sizes: Mapping[str, int], room: int, offload: bool = True) -> str:
    """Choose how parts go into `room` bytes: "whole", "offload" (one part at a time), or "".

    >>> placement({"unet": 6, "text": 5}, 20), placement({"unet": 6, "text": 5}, 8)
    ('whole', 'offload')
    >>> placement({"unet": 6}, 5)
    ''
    """
    if sum(sizes.values()) * SPARE <= room:
        return "whole"
    if offload and len(sizes) > 1 and max(sizes.values()) * SPARE <= room:
        return "offload"
    return ""


def gib(count: float) -> str:
    """Write bytes in GiB.

    >>> gib(3 * 2**30)
    '3.0 GiB'
    """
    return f"{count / 2**30:.1f} GiB"


def is_transient(error: BaseException) -> bool:
    """Tell errors that may pass (memory, disk, device) from those that will come again.

    >>> is_transient(RuntimeError("CUDA out of memory")), is_transient(ValueError("too long"))
    (True, False)
    """
    words = ("out of memory", "allocate memory", "no space left", "cuda", "cudnn", "cublas")
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in words)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell errors of a lack of memory, on the CPU or a GPU."""
    words = ("out of memory", "allocate memory")
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in words)
