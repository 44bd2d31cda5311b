"""DALL·E mini and DALL·E mega as candidate models, by the package min-dalle."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.generators import Failure, make_pictures, tensors, to_picture
from workbench.plugin import Plugin, call_options
from workbench.weights import device, inference, loading
from workbench.weights.checkpoint import Checkpoint, locate

if TYPE_CHECKING:
    from PIL.Image import Image

PACKAGE = "'attribution-workbench[dalle-mini]'"
HEAD = 64
"""Channels of an attention head, in mini (16 heads) and mega (32 heads) alike."""


@dataclass(frozen=True, repr=False)
class MinDalle(Plugin):
    """Make pictures with DALL·E mini or mega (Dayma et al. 2021); they are no DALL·E 2.

    `guidance` (the package's supercondition factor), `temperature` and `top_k` left None are the
    catalogue row's options, else the package's own defaults (16, 1, 256). The folder holds encoder,
    decoder and detoker (see `tensors`), vocab.json and merges.txt; the row's option `variant`,
    "mini", takes encoder_mini, decoder_mini, vocab_mini.json and merges_mini.txt instead.

    >>> MinDalle(Checkpoint("dalle-mini", "generator", "", "/weights"), top_k=32)
    MinDalle("dalle-mini", top_k=32)
    """

    checkpoint: Checkpoint
    guidance: float | None = None
    temperature: float | None = None
    top_k: int | None = None
    revision: ClassVar[int] = 1

    @staticmethod
    def packages(row: Checkpoint) -> dict[str, str]:
        """Return the module that is needed besides, and what pip calls it."""
        return {"min_dalle": PACKAGE}

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image | Failure]:
        """Return one RGB image of 256 px, or a Failure, for each (prompt, seed).

        The package draws from torch's global generator: one picture a call, under its own seed.
        Raises ValueError for lengths that differ or an option of the row that is none, LookupError
        when the package or the weights are missing.
        """
        settings = call_options(
            self.checkpoint,
            guidance=self.guidance,
            temperature=self.temperature,
            top_k=self.top_k,
            variant=None,
        )
        settings.pop("variant", None)
        if "guidance" in settings:
            settings["supercondition_factor"] = settings.pop("guidance")
        model = loading.load_weights(self.checkpoint, _load)

        def make(chunk: list[tuple[str, int]]) -> list[Image | Failure]:
            [(prompt, seed)] = chunk
            with inference.seeded(seed), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the package speaks to the torch of 2022
                (pixels,) = model.generate_raw_image_stream(prompt, seed=0, grid_size=1, **settings)
            return [to_picture(pixels.floor().cpu().numpy() / 255)]

        return make_pictures(make, prompts, seeds, self.checkpoint, batch=1)


def _load(checkpoint: Checkpoint) -> Any:
    """Put the package's parts together; its own constructor asks the network each time."""
    package = _package()
    variant = checkpoint.option("variant")
    end = f"_{variant}" if variant else ""
    folder, where = Path(locate(checkpoint)), device.kind()
    dtype: Any = device.dtype(checkpoint)
    encoder, decoder = tensors(checkpoint, f"encoder{end}"), tensors(checkpoint, f"decoder{end}")
    sizes = _sizes(encoder)
    parts = {
        "encoder": _filled(
            package.DalleBartEncoder,
            encoder,
            text_vocab_count=len(encoder["embed_tokens.weight"]),
            text_token_count=len(encoder["embed_positions.weight"]),
            device=where,
            **sizes,
        ).to(where, dtype),
        "decoder": _filled(
            package.DalleBartDecoder,
            decoder,
            image_vocab_count=len(decoder["embed_tokens.weight"]) - 1,
            device=where,
            **_sizes(decoder),
        ).to(where, dtype),
        "detokenizer": _filled(package.VQGanDetokenizer, tensors(checkpoint, "detoker"))
        .to(where)
        .float(),
    }
    merges = (folder / f"merges{end}.txt").read_text("utf-8").split("\n")[1:-1]
    vocabulary = json.loads((folder / f"vocab{end}.json").read_text("utf-8"))
    model = object.__new__(package.MinDalle)
    vars(model).update(
        **parts,
        components=parts,
        tokenizer=package.TextTokenizer(vocabulary, merges),
        text_token_count=len(encoder["embed_positions.weight"]),
        layer_count=sizes["layer_count"],
        embed_count=sizes["embed_count"],
        device=where,
        dtype=dtype,
        is_reusable=True,
    )
    return model


def _sizes(state: dict[str, Any]) -> dict[str, int]:
    """Read the sizes of an encoder or decoder off its tensors."""
    width = state["embed_tokens.weight"].shape[1]
    return {
        "layer_count": sum(name.endswith(".glu.fc0.weight") for name in state),
        "embed_count": width,
        "attention_head_count": width // HEAD,
        "glu_embed_count": len(state["layers.0.glu.fc0.weight"]),
    }


def _filled(kind: Any, state: dict[str, Any], **sizes: Any) -> Any:
    """Build a module without memory of its own, and give it the tensors of a file as they are.

    Raises ValueError for a tensor that is not there; the file may hold more.
    """
    import torch

    with torch.device("meta"):
        module = kind(**sizes).eval()
    for name in [name for name, _ in module.named_parameters()]:
        if name not in state:
            raise ValueError(f"the {kind.__name__} lacks {name}")
        owner, _, leaf = name.rpartition(".")
        tensor = torch.nn.Parameter(state[name], requires_grad=False)
        setattr(module.get_submodule(owner), leaf, tensor)
    return module


def _package() -> Any:
    """Import min-dalle, and undo what its import does to torch: no gradients, every thread."""
    import torch

    threads, cudnn = torch.get_num_threads(), torch.backends.cudnn
    flags = cudnn.enabled, cudnn.allow_tf32
    try:
        with torch.set_grad_enabled(torch.is_grad_enabled()):
            from min_dalle import min_dalle
    except ModuleNotFoundError as error:
        raise LookupError(f"DALL·E mini needs min-dalle: pip install {PACKAGE}") from error
    finally:
        torch.set_num_threads(threads)
        cudnn.enabled, cudnn.allow_tf32 = flags
    return min_dalle
