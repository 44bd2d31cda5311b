"""pocket-clip: an open_clip ViT trained contrastively on world pictures and their captions."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from torch import Tensor

from workbench.pocket.data import pictures
from workbench.pocket.saving import save_half
from workbench.pocket.tokenizers import CONTEXT, clip_tokenizer
from workbench.pocket.training import History, Step, fit
from workbench.pocket.world import SIDE

MODEL: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {
        "image_size": SIDE,
        "patch_size": 8,
        "layers": 6,
        "width": 144,
        "head_width": 24,
        "mlp_ratio": 3.0,
        "no_ln_pre": True,
    },
    "text_cfg": {
        "context_length": CONTEXT,
        "vocab_size": 0,
        "hf_tokenizer_name": "pocket-clip",
        "width": 128,
        "heads": 4,
        "layers": 3,
    },
}
PREPROCESS = {
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bicubic",
    "resize_mode": "squash",
}
STEPS, BATCH, RATE, SEED, COUNT = 700, 128, 1e-3, 11, 40_000


def build() -> tuple[torch.nn.Module, dict[str, Any]]:
    """The untrained model and its open_clip configuration."""
    import open_clip

    config = json.loads(json.dumps(MODEL))
    config["text_cfg"]["vocab_size"] = len(clip_tokenizer())
    return open_clip.CLIP(**config), config


def augment(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Now and then a JPEG, a blur, a change of light: what happens to pictures on their way."""
    image = Image.fromarray(picture)
    if rng.random() < 0.25:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(40, 96)))
        image = Image.open(buffer)
    if rng.random() < 0.2:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.9)))
    array = np.asarray(image, np.float32) / 255
    if rng.random() < 0.3:
        array = (array - 0.5) * rng.uniform(0.85, 1.15) + 0.5 + rng.uniform(-0.06, 0.06)
    return array


def batch_tensor(arrays: list[np.ndarray]) -> Tensor:
    """(N, 3, 64, 64) in −1 … 1."""
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous() * 2 - 1


def train(target: Path) -> History:
    """Train, save below `target`, and tell how it went."""
    torch.manual_seed(SEED)
    model, config = build()
    pixels, captions = pictures("world", COUNT)
    tokens = clip_tokenizer()(
        captions, padding="max_length", max_length=CONTEXT, return_tensors="pt"
    ).input_ids

    def loss(step: Step) -> Tensor:
        chosen = step.indices(len(pixels), BATCH)
        images = batch_tensor([augment(pixels[i], step.rng) for i in chosen])
        seen, read, scale = model(images, tokens[chosen])
        logits, target = scale.clamp(max=100) * seen @ read.T, torch.arange(BATCH)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2

    history = fit(
        "pocket-clip",
        model,
        loss,
        steps=STEPS,
        batch=BATCH,
        learning_rate=RATE,
        seed=SEED,
        weight_decay=0.05,
        ema=0.99,
    )
    target.mkdir(parents=True, exist_ok=True)
    save_half(model.state_dict(), target / "open_clip_model.safetensors")
    (target / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": PREPROCESS}, indent=2) + "\n"
    )
    clip_tokenizer().save_pretrained(target)
    return history
