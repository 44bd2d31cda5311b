"""Limits of every loader: safetensors only, no network, no code beside weights."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from workbench.weights.checkpoint import Checkpoint, locate
from workbench.weights.repository import PICKLES, SAFE


def safe_loader_kwargs(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the loader arguments of a row: safetensors, no network, no code beside weights.

    Pickles are read, with weights_only, where the row says `allow_pickle`. Code that comes with
    weights runs where the row says `remote_code` and WORKBENCH_TRUST names the row.

    Raises LookupError: there are pickles only, an index leads elsewhere, or there is remote code
    that nobody has confirmed.
    """
    folders = [Path(locate(checkpoint, stage)) for stage in checkpoint.stages or ("",)]
    files = [path for folder in folders for path in folder.rglob("*")]
    pickles = [path for path in files if path.suffix in PICKLES]
    if pickles and not checkpoint.allow_pickle and not any(f.suffix in SAFE for f in files):
        raise LookupError(
            f"the weights of {checkpoint.name!r} are a pickle ({pickles[0].name}), which can run "
            "code: it was not read. Choose a checkpoint with safetensors, or, if you trust who "
            f"made it, write allow_pickle = true under [{checkpoint.name}] into your catalogue "
            "(it is then read with weights_only)"
        )
    for index in (path for path in files if ".safetensors.index" in path.name):
        for name in _shards(index):
            if Path(name).name != name or Path(name).suffix not in SAFE:
                raise LookupError(
                    f"{index.name} of {checkpoint.name!r} names the file {name!r}, and its shards "
                    "are safetensors beside it: nothing was read; choose another checkpoint"
                )
    arguments: dict[str, Any] = {"use_safetensors": None if checkpoint.allow_pickle else True}
    arguments |= {"local_files_only": True, "trust_remote_code": False}
    if checkpoint.remote_code:
        if checkpoint.name not in os.environ.get("WORKBENCH_TRUST", "").split(","):
            raise LookupError(
                f"{checkpoint.name!r} runs code that comes with its weights: read it in "
                f"{folders[0]}, then set WORKBENCH_TRUST={checkpoint.name} to let it run"
            )
        arguments["trust_remote_code"] = True
    return arguments


def _shards(index: Path) -> set[str]:
    """Return the shard files that a weights index names; none for a damaged index."""
    try:
        return set(map(str, json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return set()
