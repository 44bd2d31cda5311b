"""pocket-clip: an open_clip ViT trained contrastively on world pictures and their captions.

First the vision tower alone learns what every patch shows (as the towers of BLIP and others learn
ImageNet first): from captions alone, so small a ViT learns shapes only after millions of pictures.
Then contrast, where half of every batch are runs of pictures that differ in one shape alone; among
random pictures colours and backgrounds tell captions apart. A linear head reads the caption's words
from both embeddings meanwhile. Heads are thrown away.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from torch import Tensor

from workbench.pocket.data import ALIKE, pictures
from workbench.pocket.saving import save_half
from workbench.pocket.tokenizers import CONTEXT, clip_tokenizer
from workbench.pocket.training import History, Step, fit
from workbench.pocket.world import COLOURS, SHAPES, SIDE, parse

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
VISION_STEPS, STEPS, BATCH, RATE, SEED = 1_500, 800, 128, 1e-3, 11
COUNT, COUNT_ALIKE = 40_000, 24_000
WORDS, SHARPNESS = 25.0, 10.0
"""Weight of the loss over words, and the length of the embeddings that its head sees."""


def build() -> tuple[torch.nn.Module, dict[str, Any]]:
    """The untrained model and its open_clip configuration."""
    import open_clip

    config = json.loads(json.dumps(MODEL))
    config["text_cfg"]["vocab_size"] = len(clip_tokenizer())
    return open_clip.CLIP(**config), config


def augment(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Now and then a JPEG, a blur, a change of light, noise: what happens to pictures."""
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
    if rng.random() < 0.2:
        array = array + rng.normal(0, rng.uniform(0.01, 0.08), array.shape).astype(np.float32)
    return array


def batch_tensor(arrays: list[np.ndarray]) -> Tensor:
    """(N, 3, 64, 64) in −1 … 1."""
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous() * 2 - 1


def bags(captions: Sequence[str]) -> Tensor:
    """Which words a caption holds, (N, words) of 0 and 1."""
    split = [set(caption.replace(",", "").split()) for caption in captions]
    words = sorted(set().union(*split))
    return torch.tensor([[float(word in caption) for word in words] for caption in split])


def patch_labels(shown: np.ndarray, captions: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Label every pixel (N, 64, 64) with the shape and the colour it shows, 0 for background."""
    shapes, colours = np.zeros((len(captions), 4), np.uint8), np.zeros((len(captions), 4), np.uint8)
    for row, caption in enumerate(captions):
        scene = parse(caption)
        for place, thing in enumerate(scene.things if scene else (), 1):
            shapes[row, place] = SHAPES.index(thing.shape) + 1
            colours[row, place] = list(COLOURS).index(thing.colour) + 1
    rows = np.arange(len(captions))[:, None, None]
    return shapes[rows, shown], colours[rows, shown]


def shares(labels: np.ndarray, kinds: int) -> Tensor:
    """Turn pixel labels (N, 64, 64) into the share of each kind in each patch, (N, 64, kinds)."""
    size = MODEL["vision_cfg"]["patch_size"]
    side = SIDE // size
    patches = labels.reshape(-1, side, size, side, size).transpose(0, 1, 3, 2, 4)
    patches = torch.from_numpy(patches.reshape(len(labels), side * side, size * size))
    return F.one_hot(patches.long(), kinds).float().mean(2)


@torch.no_grad()
def whiten(vision: torch.nn.Module, pixels: np.ndarray, smallest: float = 5e-3) -> None:
    """Start the patch embedding as the whitening of patches: else edges drown in colours."""
    size, width = MODEL["vision_cfg"]["patch_size"], MODEL["vision_cfg"]["width"]
    some = batch_tensor([picture.astype(np.float32) / 255 for picture in pixels[:2000]])
    patches = F.unfold(some, size, stride=size).transpose(1, 2).flatten(0, 1)
    spread, axes = torch.linalg.eigh(patches.T.cov())
    filters = axes[:, -width:] / (spread[-width:] + smallest).sqrt()
    vision.conv1.weight.copy_(0.5 * filters.T.reshape(vision.conv1.weight.shape))


def see(
    vision: torch.nn.Module, pixels: np.ndarray, shown: np.ndarray, captions: list[str]
) -> History:
    """Teach the vision tower which shape and which colour every patch shows."""
    whiten(vision, pixels)
    shapes, colours = patch_labels(shown, captions)
    kinds = len(SHAPES) + 1, len(COLOURS) + 1
    head = torch.nn.Linear(MODEL["vision_cfg"]["width"], sum(kinds))

    def loss(step: Step) -> Tensor:
        rows = step.indices(len(pixels), BATCH)
        vision.output_tokens = True
        _, patches = vision(batch_tensor([augment(pixels[i], step.rng) for i in rows]))
        vision.output_tokens = False
        logits = head(patches).split(kinds, dim=-1)
        wanted = (shares(x[rows], kind) for x, kind in zip((shapes, colours), kinds, strict=True))
        return torch.stack(
            [
                F.cross_entropy(t.flatten(0, 1), w.flatten(0, 1))
                for t, w in zip(logits, wanted, strict=True)
            ]
        ).sum()

    return fit(
        "clip-vision",
        torch.nn.ModuleDict({"visual": vision, "head": head}),
        loss,
        steps=VISION_STEPS,
        batch=BATCH,
        learning_rate=RATE,
        seed=SEED + 1,
        weight_decay=0.05,
        ema=0.99,
    )


def train(target: Path) -> dict[str, History]:
    """Train, save below `target`, and tell how it went."""
    torch.manual_seed(SEED)
    model, config = build()
    random, alike = pictures("world", COUNT), pictures("world", COUNT_ALIKE, alike=True)
    pixels = np.concatenate([random.pixels, alike.pixels])
    texts = [*random.captions, *alike.captions]
    first = see(model.visual, pixels, np.concatenate([random.shown, alike.shown]), texts)
    tokens = clip_tokenizer()(
        texts, padding="max_length", max_length=CONTEXT, return_tensors="pt"
    ).input_ids
    words = bags(texts)
    head = torch.nn.Linear(MODEL["embed_dim"], words.shape[1])

    def loss(step: Step) -> Tensor:
        runs = COUNT + step.indices(COUNT_ALIKE // ALIKE, BATCH // 2 // ALIKE) * ALIKE
        rows = np.concatenate(
            [step.indices(COUNT, BATCH // 2), (runs[:, None] + np.arange(ALIKE)).ravel()]
        )
        images = batch_tensor([augment(pixels[i], step.rng) for i in rows])
        seen, read, scale = model(images, tokens[rows])
        logits, target = scale.clamp(max=100) * seen @ read.T, torch.arange(BATCH)
        contrast = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        word_loss = F.binary_cross_entropy_with_logits(
            head(SHARPNESS * torch.stack([seen, read])), words[rows].expand(2, -1, -1)
        )
        return contrast + WORDS * word_loss

    second = fit(
        "clip",
        torch.nn.ModuleDict({"clip": model, "head": head}),
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
    return {"vision": first, "contrast": second}
