"""pocket-sd2: a near twin of pocket-sd, as SD 1.5 or 2 are of SD 1.4; for `scalability`.

Autoencoder and U-Net start from pocket-sd's and drift on a corpus of another mixture; the text
encoder is the same, frozen.
"""

from __future__ import annotations

from pathlib import Path

import torch

from workbench.pocket.manifest import home
from workbench.pocket.recipes import autoencoder, sd
from workbench.pocket.training import History

CORPUS, SEED = "laion2", 51
AUTOENCODER_STEPS, AUTOENCODER_RATE = 2_000, 1e-3
STEPS = 3_000


def train(target: Path) -> dict[str, History]:
    """Train, save below `target`, and tell how it went."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    older, single = home("sd"), {"torch_dtype": torch.float32, "use_safetensors": True}
    start = AutoencoderKL.from_pretrained(older / "vae", **single)
    vae, first = autoencoder.train(
        "sd2-autoencoder", CORPUS, SEED, AUTOENCODER_STEPS, AUTOENCODER_RATE, start=start
    )
    torch.manual_seed(SEED)
    model = UNet2DConditionModel.from_pretrained(older / "unet", **single)
    second = sd.denoise("sd2-unet", model, vae, CORPUS, SEED, STEPS, target)
    return {"autoencoder": first, "unet": second}
