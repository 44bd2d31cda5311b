"""Models compiled by torch, where their rows say so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.weights.checkpoint import Checkpoint

DENOISERS = ("prior", "unet", "transformer", "transformer_2", "decoder")
"""What pipelines call the parts that take most of the time."""


def compile_parts(pipes: Sequence[Any], checkpoint: Checkpoint) -> None:
    """Let torch compile what denoises, on its first call, where the row's option says so.

    The option `compile` is true or the name of a backend; it enters the store's keys, as the last
    bits of a picture may change. ValueError for another.
    """
    import torch

    wanted = checkpoint.option("compile", False)
    if wanted is False:
        return
    if wanted is not True and wanted not in torch.compiler.list_backends(exclude_tags=None):
        raise ValueError(
            "its option compile is true, false or a backend of torch.compile, such as "
            f'"inductor"; seen {wanted!r}'
        )
    backend = {"backend": wanted} if isinstance(wanted, str) else {}
    for part in (getattr(pipe, name, None) for pipe in pipes for name in DENOISERS):
        if isinstance(part, torch.nn.Module):
            part.compile(**backend)
