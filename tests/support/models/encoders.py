"""Tiny encoders of each library."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.models.parts import SIZE, WIDTH, Model, clip_tokenizer, t5


def _clip(path: Path) -> None:
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    tokenizer = clip_tokenizer()
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


def _siglip(path: Path) -> None:
    from open_clip.model import CustomTextCLIP
    from safetensors.torch import save_file

    tokenizer, _ = t5()
    config = {
        "embed_dim": 192,
        "init_logit_bias": -10,
        "vision_cfg": {
            "image_size": 224,  # timm's smallest tower, which knows no other
            "timm_model_name": "vit_tiny_patch16_224",
            "timm_pool": "map",
            "timm_proj": "none",
        },
        "text_cfg": {
            "context_length": 16,
            "vocab_size": len(tokenizer),
            "hf_tokenizer_name": "tokenizer",
            "tokenizer_kwargs": {"clean": "canonicalize"},
            "width": WIDTH,
            "heads": 4,
            "layers": 1,
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
        },
    }
    path.mkdir(parents=True)
    prepare = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"}
    written = {
        "model_cfg": config | {"custom_text": True},
        "preprocess_cfg": prepare | {"resize_mode": "squash"},
    }
    (path / "open_clip_config.json").write_text(json.dumps(written))
    state = CustomTextCLIP(**config).half().state_dict()
    state = {name: x.contiguous() for name, x in state.items()}
    save_file(state, path / "open_clip_model.safetensors", metadata={"format": "pt"})
    tokenizer.save_pretrained(path)


MODELS = {
    "tiny-clip": Model("encoder", "workbench.encoders.open_clip.OpenClip", "open_clip.CLIP", _clip),
    "tiny-dino": Model(
        "encoder", "workbench.encoders.transformers.Transformers", "transformers.Dinov2Model", _dino
    ),
    "tiny-registers": Model(
        "encoder",
        "workbench.encoders.transformers.Transformers",
        "transformers.Dinov2WithRegistersModel",
        _registers,
    ),
    "tiny-timm": Model("encoder", "workbench.encoders.timm.Timm", "", _timm),
    "tiny-siglip": Model(
        "encoder", "workbench.encoders.open_clip.OpenClip", "open_clip.CustomTextCLIP", _siglip
    ),
}
