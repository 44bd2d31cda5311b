"""pocket-ld: latent diffusion with a BERT of its own, on a sister of pocket-sd's corpus.

Its autoencoder starts from pocket-sd's and drifts, without the term that keeps edges sharp; its
U-Net and its text encoder learn from nothing. The shipped weights are of an earlier recipe: on
pocket-sd's own corpus, the U-Net from pocket-sd's, 2,000 and 2,500 steps.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from workbench.pocket.diffusion import denoising_loss, dropped, noise_schedule
from workbench.pocket.recipes import autoencoder, sd
from workbench.pocket.saving import halve, load_as_float32
from workbench.pocket.tokenizers import word_tokenizer
from workbench.pocket.training import History, Step, fit

CORPUS, SEED, TEXT_WIDTH, CONTEXT = "laion400m", 31, 128, 77
AUTOENCODER_STEPS, AUTOENCODER_RATE = 4_000, 1e-3
STEPS, BATCH, RATE = 12_000, 48, 1e-3


def train(target: Path) -> dict[str, History]:
    """Train, save below `target`, and tell how it went."""
    from diffusers import (
        AutoencoderKL,
        DPMSolverMultistepScheduler,
        LDMTextToImagePipeline,
    )
    from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import (
        LDMBertConfig,
        LDMBertModel,
    )

    older = target.parent / "pocket-sd"
    start = AutoencoderKL.from_pretrained(
        older / "vae", torch_dtype=torch.float32, use_safetensors=True
    )
    vae, first = autoencoder.train(
        "ld-autoencoder",
        CORPUS,
        SEED,
        AUTOENCODER_STEPS,
        AUTOENCODER_RATE,
        edges=0.0,
        start=start,
    )
    torch.manual_seed(SEED)
    tokenizer, schedule = word_tokenizer(CONTEXT), noise_schedule()
    bert = LDMBertModel(
        LDMBertConfig(
            vocab_size=len(tokenizer),
            max_position_embeddings=CONTEXT,
            encoder_layers=2,
            encoder_ffn_dim=384,
            encoder_attention_heads=4,
            head_dim=32,
            d_model=TEXT_WIDTH,
            dropout=0.0,
        )
    )
    unet = sd.unet(TEXT_WIDTH)
    clean, captions = sd.latents(vae, CORPUS, sd.COUNT)
    tokens = tokenizer(
        [*captions, ""], padding="max_length", max_length=CONTEXT, return_tensors="pt"
    ).input_ids

    def loss(step: Step) -> Tensor:
        chosen = torch.from_numpy(step.indices(len(clean), BATCH))
        ids = torch.where(dropped(step, BATCH)[:, None], tokens[-1], tokens[chosen])
        return denoising_loss(unet, schedule, clean[chosen].float(), bert(ids)[0], step)

    second = fit(
        "ld-unet",
        nn.ModuleDict({"unet": unet, "bert": bert}),
        loss,
        steps=STEPS,
        batch=BATCH,
        learning_rate=RATE,
        seed=SEED,
    )
    LDMTextToImagePipeline(
        vqvae=halve(vae),
        bert=halve(bert),
        tokenizer=tokenizer,
        unet=halve(unet),
        scheduler=DPMSolverMultistepScheduler.from_config(schedule.config),
    ).save_pretrained(target)
    load_as_float32(target)
    return {"autoencoder": first, "unet and bert": second}
