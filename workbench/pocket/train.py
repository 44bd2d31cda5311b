"""``python -m workbench.pocket.train NAME``: run one recipe, or go on with it after a stop.

Names: clip, sd, ld, glide, dalle, blip, sd2, pixart (in this order; later ones start from earlier
ones). ``all`` runs every one. A run goes on from its checkpoint in the training folder; with
``--further`` and no checkpoint there, from the weights in data/training, which ``--keep`` puts
there of a training under way, or else in data/pocket.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
from pathlib import Path

from workbench.paths import data_folder

RECIPES = ("clip", "sd", "ld", "glide", "dalle", "blip", "sd2", "pixart")
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "268435456",
}
"""Keeps glibc from returning large tensors to the kernel at every step: 1.4 times faster."""


SHIPPED: dict[str, dict[str, dict[str, str]]] = {
    "clip": {
        "clip-vision/vision": {"": "open_clip_model"},
        "clip/contrast": {"clip.": "open_clip_model"},
    },
    "sd": {
        "sd-autoencoder/autoencoder": {"": "vae/diffusion_pytorch_model"},
        "sd-unet/unet": {"": "unet/diffusion_pytorch_model"},
    },
    "ld": {"ld-autoencoder/autoencoder": {}, "ld-unet/unet and bert": {}},
    "glide": {"glide-base/base": {}, "glide-upsampler/upsampler": {}},
    "dalle": {
        "dalle-vq/autoencoder": {"": "vqvae/diffusion_pytorch_model"},
        "dalle-transformer/transformer": {},
    },
    "blip": {"blip/model": {"": "model"}},
    "sd2": {
        "sd2-autoencoder/autoencoder": {"": "vae/diffusion_pytorch_model"},
        "sd2-unet/unet": {"": "unet/diffusion_pytorch_model"},
    },
    "pixart": {"pixart-transformer/transformer": {"": "transformer/diffusion_pytorch_model"}},
}
"""Where a recipe's shipped weights lie: checkpoint/part of the manifest → prefix → file.

No file where a recipe begins anew: its shapes, its corpus or its codes are others by now."""


def keep(name: str) -> list[Path]:
    """Write what a recipe has trained so far into data/training, where `thaw` finds it.

    Averages in half precision, a file a part; parts that have no checkpoint are left out.
    """
    from safetensors import safe_open
    from safetensors.torch import save_file

    from workbench.pocket.data import training_folder

    folder = data_folder() / "training"
    folder.mkdir(exist_ok=True)
    files = []
    for checkpoint in (key.split("/")[0] for key in SHIPPED[name]):
        path = training_folder() / f"{checkpoint}.safetensors"
        if not path.exists():
            continue
        with safe_open(path, "pt") as file:
            names = [key for key in file.keys() if key.startswith("average/")]  # noqa: SIM118
            weights = {key.removeprefix("average/"): file.get_tensor(key).half() for key in names}
            save_file(weights, folder / path.name, metadata=file.metadata())
        files.append(folder / path.name)
    return files


def thaw(name: str) -> None:
    """Write missing checkpoints from weights in half precision: those kept, or those shipped.

    The optimiser's moments are in neither, so that the training goes on, but not the same to the
    bit as one that never stopped. A part that has neither begins anew.
    """
    from safetensors import safe_open
    from safetensors.torch import load_file

    from workbench.pocket import manifest
    from workbench.pocket.data import training_folder
    from workbench.pocket.training import History, write_checkpoint

    folder = manifest.home(name)
    for key, files in SHIPPED[name].items():
        checkpoint, part = key.split("/")
        path = training_folder() / f"{checkpoint}.safetensors"
        kept = data_folder() / "training" / path.name
        if path.exists() or not (files or kept.exists()):
            continue
        if kept.exists():
            with safe_open(kept, "pt") as file:
                history = json.loads(file.metadata()["history"])
            weights = {weight: value.float() for weight, value in load_file(kept).items()}
        else:
            history = manifest.read(folder.parent)[f"pocket-{name}"]["training"][part]
            weights = {
                prefix + weight: value.float()
                for prefix, file in files.items()
                for weight, value in load_file(folder / f"{file}.safetensors").items()
            }
        write_checkpoint(path, weights, weights, {}, History(**history))


def main(arguments: list[str]) -> int:
    """Run the recipes named, one after the other."""
    names = [argument for argument in arguments if argument not in ("--further", "--keep")]
    names = list(RECIPES) if names == ["all"] else names
    unknown = [name for name in names if name not in RECIPES]
    if not names or unknown:
        wrong = unknown[0] if unknown else ""
        known = ", ".join([*RECIPES, "all"])
        print(f"no recipe named {wrong!r}; there are: {known}", file=sys.stderr)
        return 2
    if "--keep" in arguments:
        print(*(path for name in names for path in keep(name)), sep="\n")
        return 0
    if any(os.environ.get(key) != value for key, value in ALLOCATOR.items()):
        command = [sys.executable, "-m", "workbench.pocket.train", *arguments]
        os.execve(sys.executable, command, {**os.environ, **ALLOCATOR})  # noqa: S606
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    from workbench.pocket.manifest import home, record

    for name in names:
        if "--further" in arguments:
            thaw(name)
        recipe = importlib.import_module(f"workbench.pocket.recipes.{name}")
        record(name, recipe.train(home(name)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
