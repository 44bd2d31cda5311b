"""DALL·E mini and DALL·E mega as candidate models, by the package min-dalle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.generators import Failure, make_pictures, tensors, to_picture
from workbench.plugin import Plugin, call_options
from workbench.weights import device, loading
from workbench.weights.checkpoint import Checkpoint, locate

if TYPE_CHECKING:
    from PIL.Image import Image

SAMPLING = {"dalle-mini": {"guidance": 10.0, "temperature": 1.0, "top_k": 2**14}}
"""Settings by their source: the original's notebook (borisdayma/dalle-mini, tools/inference at
791b1ea) has cond_scale 10, and draws from all 2¹⁴ codes."""
DEFAULTS = {"guidance": 16.0, "temperature": 1.0, "top_k": 256}
"""The package's own settings."""
PACKAGE = "'attribution-workbench[dalle-mini]'"
STEPS, CODES = 256, 2**14
"""Codes of a picture, and how many there are."""
HEAD = 64
"""Channels of an attention head, in mini (16 heads) and mega (32 heads) alike."""


@dataclass(frozen=True, repr=False)
class MinDalle(Plugin):
    """Make pictures with DALL·E mini or mega (Dayma et al. 2021); they are no DALL·E 2.

    `guidance` (the package's supercondition factor), `temperature` and `top_k` left None are the
    catalogue row's options, else those of `sampling` (a name of `SAMPLING`), else the package's own
    (`DEFAULTS`). The folder holds encoder, decoder and detoker (see `tensors`), vocab.json and
    merges.txt; the row's option `variant`, "mini", takes encoder_mini, decoder_mini,
    vocab_mini.json and merges_mini.txt instead.

    >>> MinDalle(Checkpoint("dalle-mini", "generator", "", "/weights"), top_k=32)
    MinDalle("dalle-mini", top_k=32)
    """

    checkpoint: Checkpoint
    guidance: float | None = None
    temperature: float | None = None
    top_k: int | None = None
    sampling: str | None = None
    revision: ClassVar[int] = 1

    @staticmethod
    def packages(row: Checkpoint) -> dict[str, str]:
        """Return the module that is needed besides, and what pip calls it."""
        return {"min_dalle": PACKAGE}

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image | Failure]:
        """Return one RGB image of 256 px, or a Failure, for each (prompt, seed).

        Each picture draws from a generator of its own, on the device, what the package draws from
        the global one. On the CPU one picture goes a call, bit for bit; on a GPU, several.
        Raises ValueError for lengths that differ or an option of the row that is none, LookupError
        when the package or the weights are missing.
        """
        settings = call_options(
            self.checkpoint,
            guidance=self.guidance,
            temperature=self.temperature,
            top_k=self.top_k,
            sampling=self.sampling,
            variant=None,
        )
        settings.pop("variant", None)
        source = settings.pop("sampling", None)
        if source is not None and source not in SAMPLING:
            raise ValueError(f"there is no sampling {source!r}; there is: {', '.join(SAMPLING)}")
        settings = {**DEFAULTS, **SAMPLING.get(str(source), {}), **settings}
        model = loading.load_weights(self.checkpoint, _load)

        def make(chunk: list[tuple[str, int]]) -> list[Image | Failure]:
            codes = _codes(model, settings, chunk)
            # One by one: the package decodes square numbers of pictures alone.
            pixels = [model.detokenizer(False, each[None]).floor() for each in codes]
            return [to_picture(each.cpu().numpy() / 255) for each in pixels]

        batch = 1 if device.kind() == "cpu" else None
        return make_pictures(make, prompts, seeds, self.checkpoint, batch)


def _codes(model: Any, settings: dict[str, Any], chunk: list[tuple[str, int]]) -> Any:
    """Draw the (N, 256) codes of N (prompt, seed) pairs, all in the same calls of the decoder.

    The package's `generate_raw_image_stream` with a prompt and a generator for each picture.
    """
    import torch

    count, where = len(chunk), device.kind()
    codes = torch.full((count, STEPS + 1), CODES - 1, device=where)
    state = torch.zeros((model.layer_count, 4 * count, STEPS, model.embed_count), device=where)
    own = [torch.Generator(where).manual_seed(seed) for _, seed in chunk]
    halves = where != "cpu" and model.dtype != torch.float32
    with torch.autocast(where, model.dtype, enabled=halves):
        read = [_read(model, prompt) for prompt, _ in chunk]
        tokens, texts = (torch.stack(part, 1).flatten(0, 1) for part in zip(*read, strict=True))
        for step in range(STEPS):
            logits, state = model.decoder(
                attention_mask=tokens.not_equal(1)[:, None, None, :],
                encoder_state=texts,
                attention_state=state,
                prev_tokens=codes[:, [step]],
                token_index=torch.tensor([step], device=where),
            )
            codes[:, step + 1] = _drawn(logits[:, -1, :CODES], settings, own)
    return codes[:, 1:]


def _read(model: Any, prompt: str) -> tuple[Any, Any]:
    """Return (2, 64) tokens, without text and with it, and what the encoder makes of them."""
    import torch

    words = model.tokenizer.tokenize(prompt, is_verbose=False)[: model.text_token_count]
    tokens = torch.ones((2, 64), dtype=torch.long)
    tokens[0, :2] = torch.tensor([words[0], words[-1]])
    tokens[1, : len(words)] = torch.tensor(words)
    tokens = tokens.to(device.kind())
    return tokens, model.encoder(tokens)


def _drawn(logits: Any, settings: dict[str, Any], own: list[Any]) -> Any:
    """Draw a code of each picture by its own generator, as the package's `sample_tokens` does.

    `logits`: (2N, codes), those without text first; a smaller model has fewer codes. The settings
    are float32 tensors as there, so that halves are widened, and the last bits are the same.
    """
    import torch

    without, words = logits.chunk(2)
    temperature, guidance = (
        torch.tensor([settings[name]], dtype=torch.float32, device=logits.device)
        for name in ("temperature", "guidance")
    )
    logits = without * (1 - guidance) + words * guidance
    best = logits.sort(descending=True).values
    least = best[:, min(settings["top_k"], best.shape[1]) - 1]
    weights = ((logits - best[:, :1]) / temperature).exp() * (logits >= least[:, None])
    drawn = [torch.multinomial(x, 1, generator=g) for x, g in zip(weights, own, strict=True)]
    return torch.cat(drawn)


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
