"""Tiny models of the classes that only the paper's zoo has."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

from tests.support.models.parts import SIZE, Model

_SMALL = {
    "num_channels": 32,
    "num_res_blocks": 1,
    "num_head_channels": 16,
    "attention_resolutions": "8",
    "text_ctx": 16,
    "xf_width": 32,
    "xf_layers": 1,
    "xf_heads": 2,
}


GLIDE = {
    "base": _SMALL | {"image_size": 16, "channel_mult": "1,1"},
    "upsample": _SMALL | {"image_size": SIZE, "channel_mult": "1,1,1"},
}


def min_dalle(path: Path, codes: int = 32) -> None:
    """Write one layer a tower, of which so many codes come, and a detokenizer of 32 channels."""
    import torch
    from safetensors.torch import save_file

    from workbench.generators.min_dalle import _package

    path.mkdir(parents=True, exist_ok=True)
    package = _package()
    sizes = {"embed_count": 64, "attention_head_count": 1, "glu_embed_count": 32, "layer_count": 1}
    letters = [chr(code) for code in range(33, 127)]
    words = ["<s>", "<pad>", "</s>", "<unk>", "Ġ", *letters, "Ġa"]
    encoder = package.DalleBartEncoder(
        text_vocab_count=len(words), text_token_count=64, device="cpu", **sizes
    )
    decoder = package.DalleBartDecoder(image_vocab_count=2**14, device="cpu", **sizes)
    decoder.lm_head.weight = torch.nn.Parameter(torch.randn(codes, 64) / 3)
    for stem, module in (("encoder", encoder), ("decoder", decoder)):
        save_file(
            {k: x.half() for k, x in module.state_dict().items()}, path / f"{stem}.safetensors"
        )
    save_file(_narrow(package.VQGanDetokenizer, codes), path / "detoker.safetensors")
    (path / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (path / "merges.txt").write_text("#version: 0.2\nĠ a\n")


def _narrow(kind: type, codes: int) -> dict:
    """Draw tensors for a detokenizer; what its code counts on (codes, queries, keys) stays wide."""
    import torch

    with torch.device("meta"):
        whole = kind().state_dict()
    state = {"embedding.weight": torch.randn(codes, 256).half()}
    for name, tensor in whole.items():
        if name in state:
            continue
        part = name.split(".")[-2]
        wide = {"q": 0, "k": 0, "v": 0, "proj_out": 1, "post_quant_conv": 1}
        shape = [
            side if wide.get(part) == place else min(side, 32)
            for place, side in enumerate(tensor.shape)
        ]
        if "norm" in part:
            state[name] = torch.ones(shape).half()
        else:
            fan = torch.Size(shape[1:]).numel()
            state[name] = (torch.randn(shape) / fan**0.5).half()
    return state


def _glide(path: Path) -> None:
    import torch
    from glide_text2im import model_creation
    from safetensors.torch import save_file

    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(GLIDE))
    defaults = {
        "base": model_creation.model_and_diffusion_defaults(),
        "upsample": model_creation.model_and_diffusion_defaults_upsampler(),
    }
    for stem, changes in GLIDE.items():
        options = defaults[stem] | changes | {"use_fp16": False}
        model, _ = model_creation.create_model_and_diffusion(**options)
        for name, parameter in model.named_parameters():
            if not parameter.any() or "embedding" in name:  # set to 0, or to nothing, for training
                torch.nn.init.normal_(parameter, std=0.2)
        save_file(model.state_dict(), path / f"{stem}.safetensors")


MODELS = {
    "tiny-min-dalle": Model(
        "generator",
        "workbench.generators.min_dalle.MinDalle",
        "",
        min_dalle,
        options={"top_k": 16},
        size=256,
    ),
    "tiny-glide": Model(
        "generator",
        "workbench.generators.glide.Glide",
        "",
        _glide,
        options={"steps": [2, 2]},
        missing=""
        if find_spec("glide_text2im")
        else "glide_text2im is not installed: it is not on PyPI, so no automatic run has it",
    ),
}
