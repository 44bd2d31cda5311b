"""The KL autoencoders (factor 8) of pocket-sd and pocket-ld, trained on crops of their corpus.

pocket-ld's starts from pocket-sd's and drifts, which saves an hour. The latent channels differ in
spread, so they are normalised one by one, and the constants folded into ``quant_conv`` and
``post_quant_conv``: the pipelines know a single scaling factor only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from workbench.pocket.data import Pictures, pictures
from workbench.pocket.training import History, Step, fit

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

CHANNELS, LATENT, CROP, BATCH = (24, 48, 96, 144), 12, 32, 24
AROUND = 0.5
"""Share of crops cut around a thing: small shapes are what an autoencoder gets wrong."""


def build() -> AutoencoderKL:
    """Make the untrained autoencoder."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=CHANNELS,
        layers_per_block=1,
        latent_channels=LATENT,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=64,
        scaling_factor=1.0,
    )


def crops(drawn: Pictures, step: Step, batch: int, side: int, around: float = 0.0) -> Tensor:
    """(batch, 3, side, side) in −1 … 1, cut at random; a share ``around`` has a thing in it."""
    pixels, last = drawn.pixels, drawn.pixels.shape[1] - side
    corners = step.rng.integers(0, last + 1, (batch, 2))
    chosen = step.indices(len(pixels), batch)
    for place in range(round(around * batch)):
        seen = np.argwhere(drawn.shown[chosen[place]])
        if len(seen):
            corners[place] = (seen[step.rng.integers(len(seen))] - side // 2).clip(0, last)
    cut = [pixels[i, y : y + side, x : x + side] for i, (y, x) in zip(chosen, corners, strict=True)]
    return torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2).float() / 127.5 - 1


def distance(decoded: Tensor, wanted: Tensor, edges: float = 0.25) -> Tensor:
    """Squares, absolutes, and absolutes of the gradients (the last keep edges sharp)."""
    error = decoded.float() - wanted
    gradient = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return 2 * error.square().mean() + 0.5 * error.abs().mean() + edges * gradient


def train(
    name: str,
    corpus: str,
    seed: int,
    steps: int,
    rate: float,
    edges: float = 0.25,
    start: AutoencoderKL | None = None,
) -> tuple[AutoencoderKL, History]:
    """Train (or load, when finished) the autoencoder ``name`` on a corpus."""
    torch.manual_seed(seed)
    model = build()
    if start is not None:
        model.load_state_dict(start.state_dict())
    drawn = pictures(corpus, 40_000)

    def loss(step: Step) -> Tensor:
        images = crops(drawn, step, BATCH, CROP, AROUND)
        posterior = model.encode(images).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=step.generator)
        decoded = model.decode(posterior.mean + posterior.std * noise).sample
        return distance(decoded, images, edges) + 1e-6 * posterior.kl().float().mean()

    history = fit(
        name,
        model,
        loss,
        steps=steps,
        batch=BATCH,
        learning_rate=rate,
        seed=seed,
        weight_decay=1e-4,
    )
    normalise(model, drawn.pixels)
    return model, history


@torch.no_grad()
def normalise(model: AutoencoderKL, pixels: np.ndarray) -> None:
    """Fold per-channel mean and deviation of the latents into the two 1×1 convolutions."""
    latents = encode(model, pixels[:1024])
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    model.quant_conv.weight[:LATENT] /= deviation[:, None, None, None]
    model.quant_conv.bias[:LATENT] = (model.quant_conv.bias[:LATENT] - mean) / deviation
    model.quant_conv.bias[LATENT:] -= 2 * deviation.log()
    after = model.post_quant_conv
    after.bias += (after.weight[:, :, 0, 0] * mean).sum(1)
    after.weight *= deviation[None, :, None, None]


@torch.no_grad()
def encode(model: AutoencoderKL, pixels: np.ndarray, batch: int = 64) -> Tensor:
    """Latents (N, LATENT, 8, 8) of uint8 pictures (N, 64, 64, 3): the means of the posterior."""
    parts = []
    for start in range(0, len(pixels), batch):
        images = torch.from_numpy(np.asarray(pixels[start : start + batch])).permute(0, 3, 1, 2)
        parts.append(model.encode(images.float() / 127.5 - 1).latent_dist.mean)
    return torch.cat(parts)


@torch.no_grad()
def decibels(model: AutoencoderKL, pixels: np.ndarray) -> float:
    """Peak signal-to-noise ratio of the reconstructions."""
    images = torch.from_numpy(np.asarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
    decoded = model.decode(encode(model, pixels)).sample.clamp(-1, 1)
    return float((-10 * ((decoded - images) / 2).square().mean((1, 2, 3)).log10()).mean())
