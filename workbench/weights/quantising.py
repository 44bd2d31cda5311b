"""Denoisers whose weights are kept in fewer bits, where their rows say so."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from workbench.weights import device
from workbench.weights.checkpoint import Checkpoint

DENOISERS = ("unet", "transformer", "prior", "decoder")
"""Parts of pipelines whose weights may be quantised: the largest, and no text is read by them."""
WAYS = {"fp8": 1.0, "nf4": 0.5625}
"""What a row's option `quantise` may say, and the bytes that a number then takes.

"fp8": 8-bit floats (E4M3), by diffusers alone. "nf4": 4-bit NormalFloats and a float32 for each 64
of them (Dettmers et al. 2023, arXiv:2305.14314), by bitsandbytes, on a GPU. Integers of 8 bits, by
torchao, would take what "fp8" takes, and one more package."""
PACKAGE = "'attribution-workbench[nf4]'"


def packages(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the module that a row's option needs, and what pip calls it; {} for most."""
    return {"bitsandbytes": PACKAGE} if checkpoint.option("quantise") == "nf4" else {}


def lacking(checkpoint: Checkpoint) -> str:
    """Return why a row cannot run on this kind of device; "" where it can."""
    if not packages(checkpoint) or device.kind() != "cpu":
        return ""
    return (
        f"{checkpoint.name!r} keeps its denoiser in 4 bits, which needs a GPU; without one, choose "
        'another row of the model, or quantise = "fp8" in its options'
    )


def arguments(checkpoint: Checkpoint, config: dict[str, Any]) -> dict[str, Any]:
    """Return what quantises a pipeline's denoisers as they are loaded, by its model_index.json.

    Raises ValueError for an option that is none of `WAYS`, LookupError without bitsandbytes.
    """
    word = checkpoint.option("quantise")
    if word and word not in WAYS:
        known = ", ".join(WAYS)
        raise ValueError(f"{checkpoint.name!r} has no way to quantise {word!r}; there are: {known}")
    names = [name for name in DENOISERS if (config.get(name) or [None])[0] is not None]
    if word != "nf4" or not names:
        return {}
    if find_spec("bitsandbytes") is None:
        raise LookupError(
            f"{checkpoint.name!r} in 4 bits needs bitsandbytes: pip install {PACKAGE}"
        )
    from diffusers import BitsAndBytesConfig
    from diffusers.quantizers import PipelineQuantizationConfig

    bits: Any = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=device.dtype(checkpoint),
    )
    mapping = dict.fromkeys(names, bits)
    return {"quantization_config": PipelineQuantizationConfig(quant_mapping=mapping)}


def cast(pipe: Any, checkpoint: Checkpoint) -> None:
    """Keep the denoisers of a loaded pipeline in "fp8", where the row says so.

    Their weights lie as 8-bit floats and are cast for each use; norms and embeddings stay.
    """
    import torch

    if checkpoint.option("quantise") != "fp8":
        return
    for name in DENOISERS:
        part: Any = getattr(pipe, name, None)
        if hasattr(part, "enable_layerwise_casting"):
            part.enable_layerwise_casting(torch.float8_e4m3fn, device.dtype(checkpoint))
