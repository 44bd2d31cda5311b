"""The diffusion loss shared by pocket-sd, pocket-ld and pocket-glide."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.pocket.training import Step

if TYPE_CHECKING:
    from diffusers import DDPMScheduler, UNet2DConditionModel

DROPPED = 0.1
"""Share of captions replaced by the empty one, for classifier-free guidance."""


def noise_schedule() -> DDPMScheduler:
    """Return Stable Diffusion's schedule for v-prediction (arXiv:2202.00512)."""
    from diffusers import DDPMScheduler

    return DDPMScheduler(
        num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        prediction_type="v_prediction", clip_sample=False, steps_offset=1,
    )  # fmt: skip


def denoising_loss(
    unet: UNet2DConditionModel,
    schedule: DDPMScheduler,
    clean: Tensor,
    text: Tensor,
    step: Step,
    condition: Callable[[Tensor], Tensor] = lambda noisy: noisy,
    **extra: Tensor,
) -> Tensor:
    """Return the squared error of v, weighted by min(SNR, 5)/(SNR + 1) (Hang et al. 2023,
    arXiv:2303.09556).

    ``clean`` (N, C, H, W); ``text`` (N, T, D); ``condition`` may append channels to the noise.
    """
    noise = torch.randn(clean.shape, generator=step.generator)
    times = torch.randint(0, 1000, (len(clean),), generator=step.generator)
    noisy = schedule.add_noise(clean, noise, times)
    target = schedule.get_velocity(clean, noise, times)
    output = unet(condition(noisy), times, text, return_dict=False, **extra)[0]
    predicted = output[:, : clean.shape[1]]
    signal = schedule.alphas_cumprod[times]
    ratio = signal / (1 - signal)
    weight = ratio.clamp(max=5) / (ratio + 1)
    return (weight * (predicted - target).square().mean((1, 2, 3))).mean()


def dropped(step: Step, batch: int) -> Tensor:
    """Return which captions of the batch are left out, (batch,) bool."""
    return torch.rand(batch, generator=step.generator) < DROPPED
