"""pocket-glide: a pixel-space cascade with a text encoder of its own, in DeepFloyd IF's classes.

A base of 32×32 pixels and an upsampler to 64×64, which is convolutional, reads no text and learns
from crops. The shipped weights are of an earlier, dearer shape (40, 96, 160), 1,800 and 1,000
steps.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.pocket.data import Pictures, pictures
from workbench.pocket.diffusion import denoising_loss, dropped
from workbench.pocket.recipes import autoencoder
from workbench.pocket.saving import halve, load_as_float32
from workbench.pocket.tokenizers import t5_tokenizer
from workbench.pocket.training import History, Step, fit

if TYPE_CHECKING:
    from diffusers import DDPMScheduler, UNet2DConditionModel
    from transformers import T5EncoderModel, T5Tokenizer

CORPUS, COUNT, SEED, TEXT_WIDTH, CONTEXT = "filtered", 40_000, 41, 128, 77
SMALL, CROP = 32, 32
STEPS, BATCH, RATE = 8_000, 32, 1e-3
UP_STEPS, UP_BATCH, UP_RATE = 5_000, 24, 1e-3
NOISE_LEVELS = 100
"""How noisy the coarse picture that the upsampler is shown may be, in steps of the schedule."""


def noise_schedule() -> DDPMScheduler:
    """The cosine schedule of pixel models, with v-prediction."""
    from diffusers import DDPMScheduler

    return DDPMScheduler(
        beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", clip_sample=False
    )


def text_encoder(words: int) -> T5EncoderModel:
    """Make the untrained text encoder."""
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(
        T5Config(
            vocab_size=words,
            d_model=TEXT_WIDTH,
            d_kv=32,
            d_ff=384,
            num_layers=2,
            num_heads=4,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
        )
    )


def base_unet() -> UNet2DConditionModel:
    """Make the untrained base."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=SMALL,
        in_channels=3,
        out_channels=6,
        block_out_channels=(16, 64, 128, 192),
        layers_per_block=1,
        down_block_types=(*["DownBlock2D"] * 2, *["CrossAttnDownBlock2D"] * 2),
        up_block_types=(*["CrossAttnUpBlock2D"] * 2, *["UpBlock2D"] * 2),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    )


def upsampler_unet() -> UNet2DConditionModel:
    """Make the untrained upsampler."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=64,
        in_channels=6,
        out_channels=6,
        block_out_channels=(24, 48, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D", "DownBlock2D"),
        mid_block_type="UNetMidBlock2D",
        up_block_types=("UpBlock2D", "UpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
        norm_num_groups=8,
        class_embed_type="timestep",
    )


def halved(pixels: np.ndarray) -> np.ndarray:
    """Pictures (N, 64, 64, 3) uint8 at half their side, each pixel the mean of four."""
    means = [
        np.asarray(pixels[start : start + 1000])
        .reshape(-1, SMALL, 2, SMALL, 2, 3)
        .mean((2, 4), dtype=np.float32)
        for start in range(0, len(pixels), 1000)
    ]
    return np.round(np.concatenate(means)).astype(np.uint8)


def train_upsampler(
    upsampler: UNet2DConditionModel, schedule: DDPMScheduler, drawn: Pictures
) -> History:
    """Teach the upsampler from crops, half of them around a thing; it reads no text."""

    unread = torch.zeros(UP_BATCH, 1, TEXT_WIDTH)

    def loss(step: Step) -> Tensor:
        clean = autoencoder.crops(drawn, step, UP_BATCH, CROP, autoencoder.AROUND)
        coarse = F.interpolate(
            F.avg_pool2d(clean, 2), scale_factor=2, mode="bilinear", align_corners=True
        )
        level = torch.randint(0, NOISE_LEVELS, (UP_BATCH,), generator=step.generator)
        noise = torch.randn(coarse.shape, generator=step.generator)
        coarse = schedule.add_noise(coarse, noise, level)
        return denoising_loss(
            upsampler,
            schedule,
            clean,
            unread,
            step,
            lambda noisy: torch.cat([noisy, coarse], 1),
            class_labels=level,
        )

    return fit(
        "glide-upsampler",
        upsampler,
        loss,
        steps=UP_STEPS,
        batch=UP_BATCH,
        learning_rate=UP_RATE,
        seed=SEED + 1,
    )


def train_base(
    base: UNet2DConditionModel,
    text: T5EncoderModel,
    tokenizer: T5Tokenizer,
    schedule: DDPMScheduler,
    drawn: Pictures,
) -> History:
    """Teach the base and its text encoder together."""
    small, captions = halved(drawn.pixels), drawn.captions
    read = tokenizer([*captions, ""], padding="max_length", max_length=CONTEXT, return_tensors="pt")

    def loss(step: Step) -> Tensor:
        chosen = step.indices(len(small), BATCH)
        rows = torch.where(dropped(step, BATCH), len(captions), torch.from_numpy(chosen))
        embedded = text(read.input_ids[rows], attention_mask=read.attention_mask[rows])[0]
        clean = torch.from_numpy(small[chosen]).permute(0, 3, 1, 2).float() / 127.5 - 1
        return denoising_loss(base, schedule, clean, embedded, step)

    return fit(
        "glide-base",
        nn.ModuleDict({"unet": base, "text": text}),
        loss,
        steps=STEPS,
        batch=BATCH,
        learning_rate=RATE,
        seed=SEED,
    )


def save(
    target: Path,
    base: UNet2DConditionModel,
    upsampler: UNet2DConditionModel,
    text: T5EncoderModel,
    tokenizer: T5Tokenizer,
    schedule: DDPMScheduler,
) -> None:
    """Save both stages in IF's form below `target`."""
    from diffusers import DPMSolverMultistepScheduler, IFPipeline, IFSuperResolutionPipeline

    shared = {
        "tokenizer": tokenizer,
        "text_encoder": halve(text),
        "safety_checker": None,
        "feature_extractor": None,
        "watermarker": None,
        "requires_safety_checker": False,
    }
    sampler = DPMSolverMultistepScheduler.from_config(schedule.config)
    IFPipeline(unet=halve(base), scheduler=sampler, **shared).save_pretrained(target / "base")
    IFSuperResolutionPipeline(
        unet=halve(upsampler), scheduler=sampler, image_noising_scheduler=schedule, **shared
    ).save_pretrained(target / "upsampler")
    load_as_float32(target)


def train(target: Path) -> dict[str, History]:
    """Train, save below `target`, and tell how it went."""
    torch.manual_seed(SEED)
    tokenizer, schedule = t5_tokenizer(CONTEXT), noise_schedule()
    text, base, upsampler = text_encoder(len(tokenizer)), base_unet(), upsampler_unet()
    drawn = pictures(CORPUS, COUNT)
    second = train_upsampler(upsampler, schedule, drawn)
    first = train_base(base, text, tokenizer, schedule, drawn)
    save(target, base, upsampler, text, tokenizer, schedule)
    return {"base": first, "upsampler": second}
