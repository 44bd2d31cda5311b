"""pocket-sd: Stable Diffusion in small. Text encoder from pocket-clip (frozen), latents 8×8."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file
from torch import Tensor

from workbench.pocket.data import pictures
from workbench.pocket.diffusion import denoising_loss, dropped, noise_schedule
from workbench.pocket.manifest import home
from workbench.pocket.recipes import autoencoder
from workbench.pocket.saving import halve, load_as_float32
from workbench.pocket.tokenizers import CONTEXT, clip_tokenizer
from workbench.pocket.training import History, Step, fit

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel

CORPUS, COUNT, SEED = "laion", 40_000, 21
AUTOENCODER_STEPS, AUTOENCODER_RATE = 14_000, 2e-3
STEPS, BATCH, RATE = 18_000, 48, 1e-3
TEXT_WIDTH = 128


def text_encoder(clip: Path) -> CLIPTextModel:
    """pocket-clip's text tower in transformers' form; same hidden states to rounding."""
    from transformers import CLIPTextConfig, CLIPTextModel

    state = {
        key: value.float() for key, value in load_file(clip / "open_clip_model.safetensors").items()
    }
    tokenizer = clip_tokenizer()
    depth = 1 + max(
        int(key.split(".")[2]) for key in state if key.startswith("transformer.resblocks.")
    )
    model = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=4 * TEXT_WIDTH,
            num_hidden_layers=depth,
            num_attention_heads=4,
            max_position_embeddings=CONTEXT,
            hidden_act="gelu",
            projection_dim=TEXT_WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    renamed = {
        "embeddings.token_embedding.weight": state["token_embedding.weight"],
        "embeddings.position_embedding.weight": state["positional_embedding"],
        "final_layer_norm.weight": state["ln_final.weight"],
        "final_layer_norm.bias": state["ln_final.bias"],
    }
    for layer in range(depth):
        old, new = f"transformer.resblocks.{layer}.", f"encoder.layers.{layer}."
        for kind in ("weight", "bias"):
            for name, part in zip("qkv", state[f"{old}attn.in_proj_{kind}"].chunk(3), strict=True):
                renamed[f"{new}self_attn.{name}_proj.{kind}"] = part
            for theirs, ours in (
                ("attn.out_proj", "self_attn.out_proj"),
                ("ln_1", "layer_norm1"),
                ("ln_2", "layer_norm2"),
                ("mlp.c_fc", "mlp.fc1"),
                ("mlp.c_proj", "mlp.fc2"),
            ):
                renamed[f"{new}{ours}.{kind}"] = state[f"{old}{theirs}.{kind}"]
    prefix = (
        "text_model." if any(key.startswith("text_model.") for key in model.state_dict()) else ""
    )
    missing, unexpected = model.load_state_dict(
        {prefix + k: v for k, v in renamed.items()}, strict=False
    )
    if unexpected or [key for key in missing if not key.endswith("position_ids")]:
        raise ValueError(f"the text tower does not fit: missing {missing}, unexpected {unexpected}")
    return model.eval().requires_grad_(False)


def unet(text_width: int = TEXT_WIDTH) -> UNet2DConditionModel:
    """Make the untrained U-Net, 9.5 million parameters."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=8,
        in_channels=autoencoder.LATENT,
        out_channels=autoencoder.LATENT,
        block_out_channels=(96, 192),
        layers_per_block=1,
        attention_head_dim=4,
        norm_num_groups=16,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=text_width,
    )


def latents(vae: AutoencoderKL, corpus: str, count: int) -> tuple[Tensor, list[str]]:
    """Latents of a corpus as float16 (N, LATENT, 8, 8), and the captions."""
    drawn = pictures(corpus, count)
    return autoencoder.encode(vae, drawn.pixels).half(), drawn.captions


def train(target: Path) -> dict[str, History]:
    """Train, save below `target`, and tell how it went."""
    vae, first = autoencoder.train(
        "sd-autoencoder", CORPUS, SEED, AUTOENCODER_STEPS, AUTOENCODER_RATE
    )
    torch.manual_seed(SEED)
    second = denoise("sd-unet", unet(), vae, CORPUS, SEED, STEPS, target)
    return {"autoencoder": first, "unet": second}


def denoise(
    name: str,
    model: UNet2DConditionModel,
    vae: AutoencoderKL,
    corpus: str,
    seed: int,
    steps: int,
    target: Path,
) -> History:
    """Train a U-Net on the latents of a corpus, and save the whole pipeline below `target`."""
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

    encoder = text_encoder(home("clip"))
    tokenizer, schedule = clip_tokenizer(), noise_schedule()
    clean, captions = latents(vae, corpus, COUNT)
    tokens = tokenizer(
        [*captions, ""], padding="max_length", max_length=CONTEXT, return_tensors="pt"
    ).input_ids

    def loss(step: Step) -> Tensor:
        chosen = torch.from_numpy(step.indices(len(clean), BATCH))
        ids = torch.where(dropped(step, BATCH)[:, None], tokens[-1], tokens[chosen])
        with torch.no_grad():
            text = encoder(ids).last_hidden_state
        return denoising_loss(model, schedule, clean[chosen].float(), text, step)

    history = fit(name, model, loss, steps=steps, batch=BATCH, learning_rate=RATE, seed=seed)
    StableDiffusionPipeline(
        vae=halve(vae),
        text_encoder=halve(encoder),
        tokenizer=tokenizer,
        unet=halve(model),
        scheduler=DPMSolverMultistepScheduler.from_config(schedule.config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(target)
    load_as_float32(target)
    return history
