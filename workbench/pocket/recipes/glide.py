"""pocket-glide: a pixel-space cascade with a text encoder of its own, in DeepFloyd IF's classes.

A base of 32×32 pixels and an upsampler to 64×64, which is convolutional and learns from crops.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.pocket.data import pictures
from workbench.pocket.diffusion import denoising_loss, dropped
from workbench.pocket.recipes import autoencoder
from workbench.pocket.saving import halve, load_as_float32
from workbench.pocket.tokenizers import t5_tokenizer
from workbench.pocket.training import History, Step, fit

CORPUS, COUNT, SEED, TEXT_WIDTH, CONTEXT = "filtered", 40_000, 41, 128, 77
SMALL, CROP = 32, 32
STEPS, BATCH, RATE = 1_800, 32, 1e-3
UP_STEPS, UP_BATCH, UP_RATE = 1_000, 24, 1e-3


def train(target: Path) -> dict[str, History]:
    """Train, save below `target`, and tell how it went."""
    from diffusers import (
        DDPMScheduler,
        DPMSolverMultistepScheduler,
        IFPipeline,
        IFSuperResolutionPipeline,
        UNet2DConditionModel,
    )
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(SEED)
    tokenizer = t5_tokenizer(CONTEXT)
    schedule = DDPMScheduler(
        beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", clip_sample=False
    )
    text = T5EncoderModel(
        T5Config(
            vocab_size=len(tokenizer),
            d_model=TEXT_WIDTH,
            d_kv=32,
            d_ff=384,
            num_layers=2,
            num_heads=4,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
        )
    )
    base = UNet2DConditionModel(
        sample_size=SMALL,
        in_channels=3,
        out_channels=6,
        block_out_channels=(40, 96, 160),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    )
    upsampler = UNet2DConditionModel(
        sample_size=64,
        in_channels=6,
        out_channels=6,
        block_out_channels=(24, 48, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
        class_embed_type="timestep",
    )
    drawn = pictures(CORPUS, COUNT)
    pixels, captions = drawn.pixels, drawn.captions
    small = (
        np.asarray(pixels)
        .reshape(len(pixels), SMALL, 2, SMALL, 2, 3)
        .mean((2, 4), dtype=np.float32)
    )
    small_bytes = np.round(small).astype(np.uint8)
    read = tokenizer([*captions, ""], padding="max_length", max_length=CONTEXT, return_tensors="pt")

    def encoded(step: Step, chosen: np.ndarray) -> Tensor:
        rows = torch.where(dropped(step, len(chosen)), len(captions), torch.from_numpy(chosen))
        return text(read.input_ids[rows], attention_mask=read.attention_mask[rows])[0]

    def base_loss(step: Step) -> Tensor:
        chosen = step.indices(len(pixels), BATCH)
        clean = torch.from_numpy(small_bytes[chosen]).permute(0, 3, 1, 2).float() / 127.5 - 1
        return denoising_loss(base, schedule, clean, encoded(step, chosen), step)

    first = fit(
        "glide-base",
        nn.ModuleDict({"unet": base, "text": text}),
        base_loss,
        steps=STEPS,
        batch=BATCH,
        learning_rate=RATE,
        seed=SEED,
    )
    with torch.no_grad():
        empty = text(read.input_ids[-1:], attention_mask=read.attention_mask[-1:])[0]

    def upsampler_loss(step: Step) -> Tensor:
        clean = autoencoder.crops(drawn, step, UP_BATCH, CROP)
        coarse = F.interpolate(
            F.avg_pool2d(clean, 2), scale_factor=2, mode="bilinear", align_corners=True
        )
        level = torch.randint(0, 250, (UP_BATCH,), generator=step.generator)
        coarse = schedule.add_noise(
            coarse, torch.randn(coarse.shape, generator=step.generator), level
        )
        return denoising_loss(
            upsampler,
            schedule,
            clean,
            empty.expand(UP_BATCH, -1, -1),
            step,
            lambda noisy: torch.cat([noisy, coarse], 1),
            class_labels=level,
        )

    second = fit(
        "glide-upsampler",
        upsampler,
        upsampler_loss,
        steps=UP_STEPS,
        batch=UP_BATCH,
        learning_rate=UP_RATE,
        seed=SEED + 1,
    )
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
    return {"base": first, "upsampler": second}
