"""Tiny untrained models of the classes that only the paper's zoo has; see `tests/tiny.py`."""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tests import tiny
from workbench.weights.checkpoint import Checkpoint

ROWS = {
    "tiny-min-dalle": ("generator", "workbench.generators.min_dalle.MinDalle", "", {"top_k": 16}),
    "tiny-glide": ("generator", "workbench.generators.glide.Glide", "", {"steps": [2, 2]}),
}
SIZES = {"tiny-min-dalle": 256, "tiny-glide": tiny.SIZE}
MISSING = {
    name: f"{package} is not installed: it is not on PyPI, so no automatic run has it"
    for name, package in {"tiny-glide": "glide_text2im"}.items()
    if find_spec(package) is None
}
"""Models whose package is not here, and why; of these only the folder is made."""
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
    "upsample": _SMALL | {"image_size": tiny.SIZE, "channel_mult": "1,1,1"},
}


@cache
def checkpoint(name: str) -> Checkpoint:
    """Build a tiny model in a temporary folder of this process, and return its row."""
    return build(name, tiny.folder())


def build(name: str, folder: Path) -> Checkpoint:
    """Write a tiny model into folder/name, and return its row."""
    import torch

    path = folder / name
    path.mkdir(parents=True)
    if name not in MISSING:
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(0)
            globals()["_" + name.removeprefix("tiny-").replace("-", "_")](path)
    return row(name, folder)


def row(name: str, folder: Path) -> Checkpoint:
    """Return the row of a tiny model that was built before."""
    role, plugin, class_name, options = ROWS[name]
    return Checkpoint(
        name,
        role,
        plugin,
        str(folder / name),
        class_name=class_name,
        size=SIZES[name],
        options=options,
    )


def _min_dalle(path: Path, codes: int = 32) -> None:
    """Write one layer a tower, of which so many codes come, and a detokenizer of 32 channels."""
    import torch
    from safetensors.torch import save_file

    from workbench.generators.min_dalle import _package

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
    from glide_text2im import model_creation
    from safetensors.torch import save_file

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
                parameter.normal_(std=0.2)
        save_file(model.state_dict(), path / f"{stem}.safetensors")
