"""``python -m workbench.pocket.train NAME``: run one recipe, or go on with it after a stop.

Names: clip, sd, ld, glide, dalle, blip, sd2, pixart (in this order; later ones start from earlier
ones). ``all`` runs every one. A run goes on from its checkpoint in the training folder; with
``--further`` and no checkpoint there, from the weights in data/pocket.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys

RECIPES = ("clip", "sd", "ld", "glide", "dalle", "blip", "sd2", "pixart")
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "268435456",
}
"""Keeps glibc from returning large tensors to the kernel at every step: 1.4 times faster."""


SHIPPED = {
    "clip": {
        "clip-vision/vision": {"": "open_clip_model"},
        "clip/contrast": {"clip.": "open_clip_model"},
    },
    "sd": {
        "sd-autoencoder/autoencoder": {"": "vae/diffusion_pytorch_model"},
        "sd-unet/unet": {"": "unet/diffusion_pytorch_model"},
    },
    "ld": {
        "ld-autoencoder/autoencoder": {"": "vqvae/diffusion_pytorch_model"},
        "ld-unet/unet and bert": {"unet.": "unet/diffusion_pytorch_model", "bert.": "bert/model"},
    },
    "glide": {
        "glide-base/base": {
            "unet.": "base/unet/diffusion_pytorch_model",
            "text.": "base/text_encoder/model",
        },
        "glide-upsampler/upsampler": {"": "upsampler/unet/diffusion_pytorch_model"},
    },
    "dalle": {
        "dalle-vq/autoencoder": {"": "vqvae/diffusion_pytorch_model"},
        "dalle-transformer/transformer": {"": "transformer/model"},
    },
    "blip": {"blip/model": {"": "model"}},
    "sd2": {
        "sd2-autoencoder/autoencoder": {"": "vae/diffusion_pytorch_model"},
        "sd2-unet/unet": {"": "unet/diffusion_pytorch_model"},
    },
    "pixart": {"pixart-transformer/transformer": {"": "transformer/diffusion_pytorch_model"}},
}
"""Where a recipe's shipped weights lie: checkpoint/part of the manifest → prefix → file."""


def thaw(name: str) -> None:
    """Make the checkpoints that are missing of the weights that are shipped (averages, halves).

    The optimiser's moments are not shipped, so that the training goes on, but not the same to the
    bit as one that never stopped.
    """
    from safetensors.torch import load_file

    from workbench.pocket import manifest
    from workbench.pocket.data import training_folder
    from workbench.pocket.training import History, write_checkpoint

    folder = manifest.home(name)
    told = manifest.read(folder.parent)[f"pocket-{name}"]["training"]
    for key, files in SHIPPED[name].items():
        checkpoint, part = key.split("/")
        path = training_folder() / f"{checkpoint}.safetensors"
        if path.exists():
            continue
        weights = {
            prefix + weight: value.float()
            for prefix, file in files.items()
            for weight, value in load_file(folder / f"{file}.safetensors").items()
        }
        write_checkpoint(path, weights, weights, {}, History(**told[part]))


def main(arguments: list[str]) -> int:
    """Run the recipes named, one after the other."""
    names = [argument for argument in arguments if argument != "--further"]
    names = list(RECIPES) if names == ["all"] else names
    unknown = [name for name in names if name not in RECIPES]
    if not names or unknown:
        wrong = unknown[0] if unknown else ""
        known = ", ".join([*RECIPES, "all"])
        print(f"no recipe named {wrong!r}; there are: {known}", file=sys.stderr)
        return 2
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
