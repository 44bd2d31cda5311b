"""Tokenizers, text encoders, autoencoders and U-Nets that several tiny models are made of."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SIZE = 32
DIFFUSERS = "workbench.generators.diffusers.Diffusers"
WIDTH = 32
"""The width of the text that unCLIP, models of tokens and cascades hear."""


@dataclass(frozen=True)
class Model:
    """What stands in the row of a tiny model, and what writes its folder."""

    role: str
    plugin: str
    class_name: str
    write: Callable[[Path], None]
    options: dict[str, Any] = field(default_factory=dict)
    stages: tuple[str, ...] = ()
    size: int = SIZE
    missing: str = ""
    """Why it cannot be built here: of such a one only the folder is made."""


def of_diffusers(
    kind: str, write: Callable[[Path], None], stages: tuple[str, ...] = (), **options: Any
) -> Model:
    """Return the model of a pipeline of diffusers, with the options of its row."""
    return Model("generator", DIFFUSERS, f"diffusers.{kind}", write, options, stages)


def save(pipeline, path: Path) -> None:
    for module in pipeline.components.values():
        if hasattr(module, "half"):
            module.half()
    pipeline.save_pretrained(path, safe_serialization=True)


def clip_tokenizer(length: int = 16):
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(x + "</w>" for x in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=length)


def bert_tokenizer(length: int):
    from transformers import BertTokenizer

    letters = list(string.ascii_lowercase + string.digits + string.punctuation)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *("##" + x for x in letters)]
    vocabulary = {word: number for number, word in enumerate(words)}
    return BertTokenizer(vocab=vocabulary, model_max_length=length)


def t5():
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    letters = string.ascii_letters + string.digits + string.punctuation
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(letter, -3.0) for letter in letters]
    tokenizer = T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=77)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_ff=37, d_kv=8, num_layers=2, num_heads=4
    )
    return tokenizer, T5EncoderModel(config)


def clip_text(tokenizer, width: int = 32, **fields):
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **fields,
    )


def autoencoder(blocks: int):
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(4,) * (blocks - 1) + (8,),
        down_block_types=["DownEncoderBlock2D"] * blocks,
        up_block_types=["UpDecoderBlock2D"] * blocks,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=SIZE,
    )


def small_unet(side: int, width: int = 32, **fields):
    from diffusers import UNet2DConditionModel

    settings = {
        "sample_size": side,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": width,
        "attention_head_dim": 4,
        "norm_num_groups": 2,
    }
    return UNet2DConditionModel(**(settings | fields))


def ddim():
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


UNCHECKED = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}


def loud(transformer):
    """Scale the weights, so that a prompt shows in the few steps of an untrained model."""
    for weights in transformer.parameters():
        weights.data *= 3
    return transformer


def flow(**fields):
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(**fields)


def flow_autoencoder(blocks: int):
    vae = autoencoder(blocks)
    vae.register_to_config(scaling_factor=1.5, shift_factor=0.1)
    return vae


def clip_with_projection(projection: int = WIDTH):
    from transformers import CLIPTextModelWithProjection

    tokenizer = clip_tokenizer()
    config = clip_text(tokenizer, width=WIDTH, projection_dim=projection)
    return tokenizer, CLIPTextModelWithProjection(config)


def token_autoencoder(latent_channels: int, **fields):
    """Make an autoencoder of picture tokens that halves the side."""
    from diffusers import VQModel

    settings = {
        "block_out_channels": (8, 8),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "latent_channels": latent_channels,
        "num_vq_embeddings": 32,
        "vq_embed_dim": latent_channels,
        "norm_num_groups": 2,
    }
    model = VQModel(**(settings | fields))
    model.quantize.embedding.weight.data.normal_()
    return model


def movq():
    """Make the autoencoder of Kandinsky, in whose decoder the latents steer the norms."""
    return token_autoencoder(
        4,
        block_out_channels=(32, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 2 + ("AttnDownEncoderBlock2D",),
        up_block_types=("AttnUpDecoderBlock2D",) + ("UpDecoderBlock2D",) * 2,
        norm_num_groups=32,
        norm_type="spatial",
    )


def as_published(path: Path, part: str, library: str) -> None:
    """Name a part's home as the index of the published weights does, from before it was moved."""
    index = json.loads((path / "model_index.json").read_text())
    index[part][0] = library
    (path / "model_index.json").write_text(json.dumps(index, indent=2))
