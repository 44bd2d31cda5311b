"""Where models run, and with which number type."""

from __future__ import annotations

from typing import Any

from workbench.weights.checkpoint import Checkpoint


def kind() -> str:
    """Choose where models run: "cuda" where there is a GPU, else "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def dtype(checkpoint: Checkpoint) -> Any:
    """Return the torch dtype: float32 on the CPU, the row's on a GPU."""
    import torch

    return torch.float32 if kind() == "cpu" else getattr(torch, checkpoint.dtype)
