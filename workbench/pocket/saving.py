"""Writing weights: halves on disk, and a config that makes the plain library call load singles."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor


def save_half(state: dict[str, Tensor], path: Path) -> None:
    """Write floating tensors as float16, everything contiguous and unshared."""
    halves = {
        key: (value.half() if value.is_floating_point() else value).detach().clone().contiguous()
        for key, value in state.items()
    }
    save_file(halves, path, metadata={"format": "pt"})
    path.chmod(0o644)


def load_as_float32(folder: Path) -> None:
    """Write ``"dtype": "float32"`` into every transformers config below ``folder``.

    Configs also lose the path that the weights they started from were loaded from.
    """
    for path in folder.rglob("config.json"):
        config = json.loads(path.read_text())
        config.pop("_name_or_path", None)
        if "transformers_version" in config:
            config["dtype"] = "float32"
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def halve(module: torch.nn.Module) -> torch.nn.Module:
    """Return the module in float16, as it is to be saved."""
    return module.half().eval()
