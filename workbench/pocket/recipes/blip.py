"""pocket-blip: a captioner of world pictures, in BLIP's class; never sees a generated picture.

Its vision tower starts from pocket-clip's (as BLIP's starts from a ViT). Captions seldom name the
medium, as BLIP's seldom do.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from workbench.pocket.data import content, pictures
from workbench.pocket.recipes.clip import MODEL, PREPROCESS, augment, batch_tensor
from workbench.pocket.saving import halve, load_as_float32
from workbench.pocket.tokenizers import word_tokenizer
from workbench.pocket.training import History, Step, fit
from workbench.pocket.world import SIDE

SEED, COUNT, CONTEXT, NAMED = 61, 40_000, 40, 0.1
STEPS, BATCH, RATE = 2_000, 48, 1e-3


def vision_state(clip: Path) -> dict[str, Tensor]:
    """pocket-clip's vision tower under BLIP's names."""
    state = {
        k.removeprefix("visual."): v.float()
        for k, v in load_file(clip / "open_clip_model.safetensors").items()
    }
    width = state["class_embedding"].shape[0]
    renamed = {
        "embeddings.class_embedding": state["class_embedding"].reshape(1, 1, -1),
        "embeddings.position_embedding": state["positional_embedding"][None],
        "embeddings.patch_embedding.weight": state["conv1.weight"],
        "embeddings.patch_embedding.bias": torch.zeros(width),
    }
    for kind in ("weight", "bias"):
        renamed[f"post_layernorm.{kind}"] = state[f"ln_post.{kind}"]
        for layer in range(MODEL["vision_cfg"]["layers"]):
            old, new = f"transformer.resblocks.{layer}.", f"encoder.layers.{layer}."
            renamed[f"{new}self_attn.qkv.{kind}"] = state[f"{old}attn.in_proj_{kind}"]
            for theirs, ours in (
                ("attn.out_proj", "self_attn.projection"),
                ("ln_1", "layer_norm1"),
                ("ln_2", "layer_norm2"),
                ("mlp.c_fc", "mlp.fc1"),
                ("mlp.c_proj", "mlp.fc2"),
            ):
                renamed[f"{new}{ours}.{kind}"] = state[f"{old}{theirs}.{kind}"]
    return renamed


def train(target: Path) -> History:
    """Train, save below `target`, and tell how it went."""
    from transformers import (
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    torch.manual_seed(SEED)
    tokenizer, vision = word_tokenizer(CONTEXT), MODEL["vision_cfg"]
    begin, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    model = BlipForConditionalGeneration(
        BlipConfig(
            vision_config={
                "hidden_size": vision["width"],
                "intermediate_size": int(vision["width"] * vision["mlp_ratio"]),
                "num_hidden_layers": vision["layers"],
                "num_attention_heads": vision["width"] // vision["head_width"],
                "image_size": SIDE,
                "patch_size": vision["patch_size"],
                "hidden_act": "gelu",
            },
            text_config={
                "vocab_size": len(tokenizer),
                "hidden_size": 192,
                "encoder_hidden_size": vision["width"],
                "intermediate_size": 576,
                "projection_dim": 128,
                "num_hidden_layers": 3,
                "num_attention_heads": 6,
                "max_position_embeddings": CONTEXT,
                "hidden_dropout_prob": 0.0,
                "attention_probs_dropout_prob": 0.0,
                "bos_token_id": begin,
                "eos_token_id": end,
                "sep_token_id": end,
                "pad_token_id": tokenizer.pad_token_id,
                "label_smoothing": 0.0,
            },
            projection_dim=128,
            image_text_hidden_size=128,
            label_smoothing=0.0,
        )
    )
    missing, unexpected = model.vision_model.load_state_dict(
        vision_state(target.parent / "pocket-clip"), strict=False
    )
    if missing or unexpected:
        raise ValueError(
            f"the vision tower does not fit: missing {missing}, unexpected {unexpected}"
        )
    drawn = pictures("world", COUNT)
    pixels, captions = drawn.pixels, drawn.captions
    read = tokenizer(
        content(captions, NAMED, SEED),
        padding="max_length",
        max_length=CONTEXT,
        return_tensors="pt",
    )
    labels = read.input_ids.masked_fill(read.attention_mask == 0, -100)

    def loss(step: Step) -> Tensor:
        chosen = step.indices(len(pixels), BATCH)
        images = batch_tensor([augment(pixels[i], step.rng) for i in chosen])
        return model(
            pixel_values=images,
            input_ids=read.input_ids[chosen],
            attention_mask=read.attention_mask[chosen],
            labels=labels[chosen],
        ).loss

    history = fit(
        "blip", model, loss, steps=STEPS, batch=BATCH, learning_rate=RATE, seed=SEED, ema=0.995
    )
    halve(model).save_pretrained(target)
    processor = BlipImageProcessor(
        size={"height": SIDE, "width": SIDE},
        resample=3,
        image_mean=PREPROCESS["mean"],
        image_std=PREPROCESS["std"],
    )
    BlipProcessor(processor, tokenizer).save_pretrained(target)
    load_as_float32(target)
    return history
