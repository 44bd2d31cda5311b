"""pocket-pixart: a diffusion transformer (PixArt-α in small), for `scalability`.

As in the large one, the autoencoder is Stable Diffusion's and the text encoder a T5, both frozen:
pocket-sd's and pocket-glide's. The transformer learns from nothing.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from workbench.pocket.diffusion import denoising_loss, dropped, noise_schedule
from workbench.pocket.manifest import home
from workbench.pocket.recipes import autoencoder, sd
from workbench.pocket.saving import halve, load_as_float32
from workbench.pocket.training import History, Step, fit

CORPUS, SEED = "sa1b", 61
WIDTH, HEADS, LAYERS = 192, 6, 8
STEPS, BATCH, RATE = 3_500, 48, 5e-4


def train(target: Path) -> dict[str, History]:
    """Train, save below `target`, and tell how it went."""
    from diffusers import (
        AutoencoderKL,
        DPMSolverMultistepScheduler,
        PixArtAlphaPipeline,
        PixArtTransformer2DModel,
    )
    from transformers import AutoTokenizer, T5EncoderModel

    vae = AutoencoderKL.from_pretrained(
        home("sd") / "vae", torch_dtype=torch.float32, use_safetensors=True
    )
    base = home("glide") / "base"
    encoder = T5EncoderModel.from_pretrained(base / "text_encoder").eval().requires_grad_(False)
    tokenizer, schedule = AutoTokenizer.from_pretrained(base / "tokenizer"), noise_schedule()
    torch.manual_seed(SEED)
    model = PixArtTransformer2DModel(
        num_attention_heads=HEADS,
        attention_head_dim=WIDTH // HEADS,
        in_channels=autoencoder.LATENT,
        out_channels=2 * autoencoder.LATENT,
        num_layers=LAYERS,
        cross_attention_dim=WIDTH,
        sample_size=8,
        patch_size=1,
        caption_channels=encoder.config.d_model,
        use_additional_conditions=False,
    )
    clean, captions = sd.latents(vae, CORPUS, sd.COUNT)
    read = tokenizer([*captions, ""], padding="longest", return_tensors="pt")

    def loss(step: Step) -> Tensor:
        chosen = torch.from_numpy(step.indices(len(clean), BATCH))
        rows = torch.where(dropped(step, BATCH), len(captions), chosen)
        mask = read.attention_mask[rows]
        with torch.no_grad():
            text = encoder(read.input_ids[rows], attention_mask=mask)[0]
        return denoising_loss(
            predict, schedule, clean[chosen].float(), text, step, encoder_attention_mask=mask
        )

    def predict(noisy: Tensor, times: Tensor, text: Tensor, **extra: Tensor) -> Tensor:
        return model(
            noisy,
            encoder_hidden_states=text,
            timestep=times,
            added_cond_kwargs={"resolution": None, "aspect_ratio": None},
            **extra,
        )

    history = fit(
        "pixart-transformer",
        model,
        loss,
        steps=STEPS,
        batch=BATCH,
        learning_rate=RATE,
        seed=SEED,
    )
    PixArtAlphaPipeline(
        tokenizer=tokenizer,
        text_encoder=halve(encoder),
        vae=halve(vae),
        transformer=halve(model),
        scheduler=DPMSolverMultistepScheduler.from_config(schedule.config),
    ).save_pretrained(target)
    load_as_float32(target)
    return {"transformer": history}
