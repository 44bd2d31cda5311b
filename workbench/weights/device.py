"""The device models run on, and the dtype of their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from workbench.weights.checkpoint import Checkpoint


def kind() -> str:
    """Return the device models run on: "cuda" where there is a GPU, else "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def dtype(checkpoint: Checkpoint) -> Any:
    """Return the torch dtype: float32 on the CPU, the row's on a GPU."""
    import torch

    return torch.float32 if kind() == "cpu" else getattr(torch, checkpoint.dtype)


def precision(checkpoint: Checkpoint) -> str:
    """Return what a row's numbers are multiplied as: "float32" on the CPU, else its dtype.

    That of float32 on a GPU is "tf32": see `tensor_cores`.
    """
    on_gpu = {"float32": "tf32"}.get(checkpoint.dtype, checkpoint.dtype)
    return "float32" if kind() == "cpu" else on_gpu


@contextmanager
def tensor_cores(checkpoint: Checkpoint) -> Iterator[None]:
    """Let a GPU multiply the float32 numbers of a row as TF32, on its tensor cores.

    TF32 keeps the range of float32 and 10 of its 23 bits, some five times as fast. What torch was
    set to is restored.
    """
    import torch

    if kind() == "cpu" or checkpoint.dtype != "float32":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
