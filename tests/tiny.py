"""Tiny untrained models of the real classes, in the folder format of their libraries.

Each is built from its config, saved in half precision with safetensors as the real ones are, and
loaded again by the plug-in under test. `checkpoint(name)` builds a model once a process; `build`
writes one into a folder of the caller's, for other processes to load.
"""

from __future__ import annotations

import atexit
import json
import shutil
import string
import sys
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from workbench.weights.checkpoint import Checkpoint

SIZE = 32
DIFFUSERS = "workbench.generators.diffusers.Diffusers"
ROWS = {
    "tiny-sd": ("generator", DIFFUSERS, "diffusers.StableDiffusionPipeline", {"guidance": 3.0}),
    "tiny-ld": ("generator", DIFFUSERS, "diffusers.LDMTextToImagePipeline", {"guidance": 3.0}),
    "tiny-if": ("generator", DIFFUSERS, "diffusers.IFPipeline", {"guidance": 3.0}),
    "tiny-xl": ("generator", DIFFUSERS, "diffusers.StableDiffusionXLPipeline", {}),
    "tiny-pixart": (
        "generator",
        DIFFUSERS,
        "diffusers.PixArtAlphaPipeline",
        {"use_resolution_binning": False},
    ),
    "tiny-dalle": (
        "generator",
        "workbench.generators.image_token.ImageToken",
        "workbench.generators._image_tokens.ImageTokenPipeline",
        {},
    ),
    "tiny-blip": (
        "inverter",
        "workbench.inverters.blip.Blip",
        "transformers.BlipForConditionalGeneration",
        {"max_length": 12},
    ),
    "tiny-git": (
        "inverter",
        "workbench.inverters.captioner.Captioner",
        "transformers.GitForCausalLM",
        {"max_length": 8},
    ),
    "tiny-llava": (
        "inverter",
        "workbench.inverters.chat.Chat",
        "transformers.LlavaForConditionalGeneration",
        {"max_new_tokens": 8},
    ),
    "tiny-clip": ("encoder", "workbench.encoders.open_clip.OpenClip", "open_clip.CLIP", {}),
    "tiny-dino": (
        "encoder",
        "workbench.encoders.transformers.Transformers",
        "transformers.Dinov2Model",
        {},
    ),
    "tiny-registers": (
        "encoder",
        "workbench.encoders.transformers.Transformers",
        "transformers.Dinov2WithRegistersModel",
        {},
    ),
    "tiny-timm": ("encoder", "workbench.encoders.timm.Timm", "", {}),
}
STAGES = {"tiny-if": ("base", "upsampler")}
MORE = ("tests.tiny_inverters", "tests.tiny_transformers", "tests.tiny_unets")
"""Modules with further rows (and stages), and with builders of the same form as those here."""


@cache
def checkpoint(name: str) -> Checkpoint:
    """Build a tiny model in a temporary folder of this process, and return its row."""
    return build(name, folder())


def build(name: str, folder: Path) -> Checkpoint:
    """Write a tiny model into folder/name, and return its row."""
    import torch

    path = folder / name
    with torch.random.fork_rng():
        torch.manual_seed(0)
        stem = "_" + name.removeprefix("tiny-").replace("-", "_")
        next(getattr(m, stem) for m in _modules() if hasattr(m, stem))(path)
    for config in path.rglob("config.json"):
        values = json.loads(config.read_text())
        if "transformers_version" in values:
            config.write_text(json.dumps(values | {"dtype": "float32"}))
    return row(name, folder)


def row(name: str, folder: Path) -> Checkpoint:
    """Return the row of a tiny model that was built before."""
    role, plugin, class_name, options = next(m.ROWS[name] for m in _modules() if name in m.ROWS)
    if plugin == DIFFUSERS:
        options = {"steps": 2} | options
    return Checkpoint(
        name,
        role,
        plugin,
        str(folder / name),
        class_name=class_name,
        size=SIZE,
        stages=next((m.STAGES[name] for m in _modules() if name in getattr(m, "STAGES", {})), ()),
        options=options,
    )


def _modules() -> list[ModuleType]:
    return [sys.modules[__name__], *map(import_module, MORE)]


def hollow(path: Path) -> Path:
    """Make a folder of weights with nothing in them."""
    (path / "unet").mkdir(parents=True)
    (path / "model_index.json").write_text("{}")
    (path / "unet" / "weights.safetensors").write_bytes(b"weights")
    return path


@cache
def folder() -> Path:
    """Make the temporary folder of this process."""
    made = Path(tempfile.mkdtemp(prefix="workbench-tiny-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def _save(pipeline, path: Path) -> None:
    for module in pipeline.components.values():
        if hasattr(module, "half"):
            module.half()
    pipeline.save_pretrained(path, safe_serialization=True)


def _clip_tokenizer(length: int = 16):
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(x + "</w>" for x in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=length)


def _bert_tokenizer(length: int):
    from transformers import BertTokenizer

    letters = list(string.ascii_lowercase + string.digits + string.punctuation)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *("##" + x for x in letters)]
    vocabulary = {word: number for number, word in enumerate(words)}
    return BertTokenizer(vocab=vocabulary, model_max_length=length)


def _t5():
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    letters = string.ascii_letters + string.digits + string.punctuation
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(letter, -3.0) for letter in letters]
    tokenizer = T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=77)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_ff=37, d_kv=8, num_layers=2, num_heads=4
    )
    return tokenizer, T5EncoderModel(config)


def _clip_text(tokenizer, width: int = 32, **fields):
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


def _autoencoder(blocks: int):
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(4,) * (blocks - 1) + (8,),
        down_block_types=["DownEncoderBlock2D"] * blocks,
        up_block_types=["UpDecoderBlock2D"] * blocks,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=SIZE,
    )


def _unet(side: int, width: int = 32, **fields):
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


def _ddim():
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


def _sd(path: Path, kind: str = "StableDiffusionPipeline", scheduler=None, **fields) -> None:
    """Write a Stable Diffusion, or what differs from it in class, scheduler and U-Net."""
    import diffusers
    from transformers import CLIPTextModel

    tokenizer = _clip_tokenizer()
    pipeline = getattr(diffusers, kind)(
        vae=_autoencoder(2),
        text_encoder=CLIPTextModel(_clip_text(tokenizer)),
        tokenizer=tokenizer,
        unet=_unet(SIZE // 2, **fields),
        scheduler=scheduler or _ddim(),
        **UNCHECKED,
    )
    _save(pipeline, path)


def _ld(path: Path) -> None:
    from diffusers import LDMTextToImagePipeline
    from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import (
        LDMBertConfig,
        LDMBertModel,
    )

    tokenizer = _bert_tokenizer(77)
    bert = LDMBertConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=1,
        encoder_ffn_dim=37,
        encoder_attention_heads=2,
        head_dim=8,
    )
    pipeline = LDMTextToImagePipeline(
        vqvae=_autoencoder(4),
        bert=LDMBertModel(bert),
        tokenizer=tokenizer,
        unet=_unet(SIZE // 8),
        scheduler=_ddim(),
    )
    _save(pipeline, path)


def _if(path: Path) -> None:
    from diffusers import DDPMScheduler, IFPipeline, IFSuperResolutionPipeline

    tokenizer, text_encoder = _t5()
    pixels = {
        "down_block_types": ["ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"],
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
        "up_block_types": ["SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"],
        "out_channels": 6,
        "encoder_hid_dim": 32,
        "addition_embed_type": "text",
        "addition_embed_type_num_heads": 2,
        "cross_attention_norm": "group_norm",
        "resnet_time_scale_shift": "scale_shift",
        "act_fn": "gelu",
    }

    def noise():
        return DDPMScheduler(
            beta_schedule="squaredcos_cap_v2",
            thresholding=True,
            dynamic_thresholding_ratio=0.95,
            variance_type="learned_range",
        )

    shared = {
        "tokenizer": tokenizer,
        "text_encoder": text_encoder,
        "scheduler": noise(),
        "watermarker": None,
        **UNCHECKED,
    }
    _save(IFPipeline(unet=_unet(SIZE // 2, in_channels=3, **pixels), **shared), path / "base")
    shared |= {"tokenizer": None, "text_encoder": None}  # the base encodes for both
    upsampler = IFSuperResolutionPipeline(
        unet=_unet(SIZE, in_channels=6, class_embed_type="timestep", **pixels),
        image_noising_scheduler=noise(),
        **shared,
    )
    _save(upsampler, path / "upsampler")


def _xl(path: Path) -> None:
    from diffusers import StableDiffusionXLPipeline
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    tokenizer = _clip_tokenizer()
    config = _clip_text(tokenizer, projection_dim=32)
    unet = _unet(
        SIZE // 2,
        width=64,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=80,
    )
    pipeline = StableDiffusionXLPipeline(
        vae=_autoencoder(2),
        text_encoder=CLIPTextModel(config),
        text_encoder_2=CLIPTextModelWithProjection(config),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=_ddim(),
        add_watermarker=False,
    )
    _save(pipeline, path)


def _pixart(path: Path, kind: str = "PixArtAlphaPipeline", **fields) -> None:
    import diffusers

    tokenizer, text_encoder = _t5()
    transformer = diffusers.PixArtTransformer2DModel(
        sample_size=SIZE // 2,
        num_layers=2,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=3,
        caption_channels=32,
        in_channels=4,
        cross_attention_dim=24,
        out_channels=8,
        **fields,
    )
    pipeline = getattr(diffusers, kind)(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        vae=_autoencoder(2),
        transformer=transformer,
        scheduler=_ddim(),
    )
    _save(pipeline, path)


def _dalle(path: Path) -> None:
    from diffusers import VQModel
    from transformers import BartConfig, BartForConditionalGeneration

    from workbench.generators._image_tokens import ImageTokenPipeline

    tokenizer, codes = _bert_tokenizer(16), 32
    config = BartConfig(
        vocab_size=len(tokenizer) + codes + 1,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_ffn_dim=37,
        decoder_ffn_dim=37,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        max_position_embeddings=32,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        decoder_start_token_id=len(tokenizer) + codes,
        forced_eos_token_id=None,
        init_std=0.5,
    )
    vqvae = VQModel(
        block_out_channels=(4, 4, 4, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        num_vq_embeddings=codes,
        vq_embed_dim=4,
        norm_num_groups=2,
    )
    vqvae.quantize.embedding.weight.data.normal_()
    transformer = BartForConditionalGeneration(config)
    _save(ImageTokenPipeline(vqvae, transformer, tokenizer), path)


def _blip(path: Path) -> None:
    from transformers import (
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    tokenizer = _bert_tokenizer(32)
    tower = {"hidden_size": 32, "intermediate_size": 37, "num_attention_heads": 4}
    text = tower | {
        "vocab_size": len(tokenizer),
        "num_hidden_layers": 2,
        "max_position_embeddings": 32,
        "encoder_hidden_size": 32,
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "sep_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "initializer_range": 0.2,  # an untrained decoder that says different things
    }
    vision = tower | {
        "num_hidden_layers": 2,
        "image_size": SIZE,
        "patch_size": 8,
        "initializer_range": 0.5,
    }
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=32)
    model = BlipForConditionalGeneration(config)
    model.half().save_pretrained(path, safe_serialization=True)
    processor = BlipImageProcessor(size={"height": SIZE, "width": SIZE})
    BlipProcessor(image_processor=processor, tokenizer=tokenizer).save_pretrained(path)


def _clip(path: Path) -> None:
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    tokenizer = _clip_tokenizer()
    config = {
        "embed_dim": 24,
        "vision_cfg": {
            "image_size": SIZE,
            "patch_size": 8,
            "width": 32,
            "layers": 3,
            "head_width": 8,
        },
        "text_cfg": {
            "context_length": tokenizer.model_max_length,
            "vocab_size": len(tokenizer),
            "hf_tokenizer_name": "tokenizer",
            "width": 32,
            "heads": 4,
            "layers": 2,
        },
    }
    path.mkdir(parents=True)
    (path / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": {"interpolation": "bicubic"}})
    )
    state = CLIP(**config).state_dict()
    state = {
        name: x.half().contiguous() if x.is_floating_point() else x for name, x in state.items()
    }
    save_file(state, path / "open_clip_model.safetensors", metadata={"format": "pt"})
    tokenizer.save_pretrained(path)


def _vision(path: Path, kind: str, **fields) -> None:
    import transformers

    config = getattr(transformers, f"{kind}Config")(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        mlp_ratio=2,
        image_size=SIZE,
        patch_size=8,
        initializer_range=0.3,  # an untrained tower that sees differences
        **fields,
    )
    getattr(transformers, f"{kind}Model")(config).half().save_pretrained(path)
    sizes = {"size": {"shortest_edge": SIZE}, "crop_size": {"height": SIZE, "width": SIZE}}
    transformers.BitImageProcessor(**sizes).save_pretrained(path)


def _dino(path: Path) -> None:
    _vision(path, "Dinov2")


def _registers(path: Path) -> None:
    _vision(path, "Dinov2WithRegisters", num_register_tokens=4)


def _timm(path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    fields = {"img_size": SIZE, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 4}
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, **fields)
    path.mkdir(parents=True)
    data = {"input_size": [3, SIZE, SIZE], "mean": [0.5] * 3, "std": [0.5] * 3, "num_classes": 0}
    config = {"architecture": "vit_tiny_patch16_224", "num_classes": 0, "model_args": fields}
    config["pretrained_cfg"] = data | {"interpolation": "bicubic", "crop_pct": 1.0}
    (path / "config.json").write_text(json.dumps(config))
    save_file(model.state_dict(), path / "model.safetensors", metadata={"format": "pt"})
