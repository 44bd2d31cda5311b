"""Tiny untrained models of the real classes, in the folder format of their libraries.

Each is built from its config, saved in half precision with safetensors as the real ones are, and
loaded again by the plug-in under test. `checkpoint(name)` builds a model once a process; `build`
writes one into a folder of the caller's, for other processes to load. `MODELS` holds them by name.
"""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

from tests.support.models import (
    encoders,
    inverters,
    language,
    latent,
    paper,
    tokens,
    transformers,
    unclip,
)
from tests.support.models.parts import DIFFUSERS, Model
from tests.support.models.parts import SIZE as SIZE
from workbench.weights.checkpoint import Checkpoint

MODELS: dict[str, Model] = {
    **latent.MODELS,
    **transformers.MODELS,
    **language.MODELS,
    **unclip.MODELS,
    **tokens.MODELS,
    **inverters.MODELS,
    **encoders.MODELS,
    **paper.MODELS,
}
SAMPLES = (
    *("tiny-sd", "tiny-ld", "tiny-if", "tiny-xl", "tiny-pixart", "tiny-dalle"),
    *("tiny-blip", "tiny-git", "tiny-llava"),
    *("tiny-clip", "tiny-dino", "tiny-registers", "tiny-timm"),
    *("tiny-min-dalle", "tiny-glide"),
)
"""Models that stand for their plug-in where every law of a role is tried: at least one of each."""


@cache
def checkpoint(name: str) -> Checkpoint:
    """Build a tiny model in a temporary folder of this process, and return its row."""
    return build(name, folder())


def build(name: str, folder: Path) -> Checkpoint:
    """Write a tiny model into folder/name, and return its row."""
    import torch

    path = folder / name
    if MODELS[name].missing:
        path.mkdir(parents=True)
        return row(name, folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        MODELS[name].write(path)
    for config in path.rglob("config.json"):
        values = json.loads(config.read_text())
        if "transformers_version" in values:
            config.write_text(json.dumps(values | {"dtype": "float32"}))
    return row(name, folder)


def row(name: str, folder: Path) -> Checkpoint:
    """Return the row of a tiny model that was built before."""
    model = MODELS[name]
    return Checkpoint(
        name,
        model.role,
        model.plugin,
        str(folder / name),
        class_name=model.class_name,
        size=model.size,
        stages=model.stages,
        options={"steps": 2} | model.options if model.plugin == DIFFUSERS else model.options,
    )


def hollow(path: Path) -> Path:
    """Make a folder of weights with nothing in them."""
    (path / "unet").mkdir(parents=True)
    (path / "model_index.json").write_text("{}")
    (path / "unet" / "weights.safetensors").write_bytes(b"weights")
    return path


@cache
def folder() -> Path:
    """Make the temporary folder of this process."""
    made = Path(tempfile.mkdtemp(prefix="workbench-tiny-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made
