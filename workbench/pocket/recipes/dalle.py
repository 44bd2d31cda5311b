"""pocket-dalle: a VQ autoencoder and a BART that writes its codes, the DALL·E mini form.

The VQ autoencoder starts from pocket-sd's KL autoencoder, its codebook from k-means over latents.
The shipped weights learned for 300 and 1,800 steps.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.pocket.data import pictures
from workbench.pocket.diffusion import dropped
from workbench.pocket.recipes import autoencoder
from workbench.pocket.saving import halve, load_as_float32
from workbench.pocket.tokenizers import word_tokenizer
from workbench.pocket.training import History, Step, fit

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, VQModel
    from transformers import BartForConditionalGeneration

CORPUS, COUNT, SEED, CONTEXT, CODES, GRID = "cc12m", 40_000, 51, 32, 1024, 8
VQ_STEPS, VQ_BATCH, VQ_RATE = 6_000, 24, 1e-3
STEPS, BATCH, RATE = 15_000, 64, 1.5e-3


def quantiser(start: AutoencoderKL, pixels: np.ndarray) -> VQModel:
    """A VQModel with the autoencoder's weights and a codebook from k-means."""
    from diffusers import VQModel
    from sklearn.cluster import MiniBatchKMeans

    latent = autoencoder.LATENT
    model = VQModel(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=autoencoder.CHANNELS,
        layers_per_block=1,
        latent_channels=latent,
        sample_size=64,
        num_vq_embeddings=CODES,
        vq_embed_dim=latent,
        norm_num_groups=8,
        mid_block_add_attention=False,
    )
    state = start.state_dict()
    for key, value in model.state_dict().items():
        if key in state:  # of the encoder's last layers the half that was the mean
            rows = state[key][: value.shape[0]]
            value.copy_(rows if value.ndim == 1 else rows[:, : value.shape[1]])
    with torch.no_grad():
        points = autoencoder.encode(start, pixels[:1500]).permute(0, 2, 3, 1).reshape(-1, latent)
        means = MiniBatchKMeans(CODES, random_state=SEED, batch_size=8192, n_init=1).fit(
            points.numpy()
        )
        model.quantize.embedding.weight.copy_(torch.from_numpy(means.cluster_centers_))
    return model


@torch.no_grad()
def codes(model: VQModel, pixels: np.ndarray) -> Tensor:
    """Codes of pictures, (N, 64) int64, row by row."""
    parts = []
    for start in range(0, len(pixels), 64):
        images = torch.from_numpy(np.asarray(pixels[start : start + 64])).permute(0, 3, 1, 2)
        indices = model.quantize(model.encode(images.float() / 127.5 - 1).latents)[2][2]
        parts.append(indices.reshape(len(images), -1))
    return torch.cat(parts)


def transformer(words: int) -> BartForConditionalGeneration:
    """Make the untrained transformer over a joint vocabulary of words and codes."""
    from transformers import BartConfig, BartForConditionalGeneration

    return BartForConditionalGeneration(
        BartConfig(
            vocab_size=words + CODES + 1,
            d_model=192,
            encoder_layers=2,
            decoder_layers=5,
            encoder_attention_heads=6,
            decoder_attention_heads=6,
            encoder_ffn_dim=576,
            decoder_ffn_dim=768,
            max_position_embeddings=GRID**2 + 2,
            dropout=0.0,
            attention_dropout=0.0,
            activation_dropout=0.0,
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=3,
            decoder_start_token_id=words + CODES,
            forced_eos_token_id=None,
        )
    )


def train(target: Path) -> dict[str, History]:
    """Train, save below `target`, and tell how it went."""
    from diffusers import AutoencoderKL

    from workbench.generators._image_tokens import ImageTokenPipeline

    start = AutoencoderKL.from_pretrained(
        target.parent / "pocket-sd" / "vae", torch_dtype=torch.float32, use_safetensors=True
    )
    torch.manual_seed(SEED)
    drawn = pictures(CORPUS, COUNT)
    pixels, captions = drawn.pixels, drawn.captions
    vq = quantiser(start, pixels)

    def vq_loss(step: Step) -> Tensor:
        images = autoencoder.crops(drawn, step, VQ_BATCH, 32)
        latents = vq.encode(images).latents
        quantised, commitment, _ = vq.quantize(latents.float())
        decoded = vq.decoder(vq.post_quant_conv(quantised))
        return autoencoder.distance(decoded, images) + 0.25 * commitment.float()

    first = fit(
        "dalle-vq",
        vq,
        vq_loss,
        steps=VQ_STEPS,
        batch=VQ_BATCH,
        learning_rate=VQ_RATE,
        seed=SEED,
        weight_decay=0.0,
    )
    tokenizer = word_tokenizer(CONTEXT)
    torch.manual_seed(SEED + 1)
    model, words = transformer(len(tokenizer)), len(tokenizer)
    written = codes(vq, pixels) + words
    read = tokenizer([*captions, ""], padding="max_length", max_length=CONTEXT, return_tensors="pt")
    begin = torch.full((BATCH, 1), model.config.decoder_start_token_id)

    def loss(step: Step) -> Tensor:
        chosen = torch.from_numpy(step.indices(len(written), BATCH))
        rows = torch.where(dropped(step, BATCH), len(captions), chosen)
        logits = model(
            input_ids=read.input_ids[rows],
            attention_mask=read.attention_mask[rows],
            decoder_input_ids=torch.cat([begin, written[chosen, :-1]], 1),
            use_cache=False,
        ).logits[..., words : words + CODES]
        return F.cross_entropy(logits.flatten(0, 1), (written[chosen] - words).flatten())

    second = fit(
        "dalle-transformer", model, loss, steps=STEPS, batch=BATCH, learning_rate=RATE, seed=SEED
    )
    ImageTokenPipeline(halve(vq), halve(model), tokenizer).save_pretrained(target)
    load_as_float32(target)
    return {"autoencoder": first, "transformer": second}
