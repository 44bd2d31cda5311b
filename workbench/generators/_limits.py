"""How many tokens of a prompt a pipeline of diffusers does not read, by its tokenizers alone."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from workbench.weights.checkpoint import Checkpoint, locate, resolve_class

CLIP = 77
LIMITS = {
    "AmusedPipeline": CLIP,
    "AuraFlowPipeline": 0,
    "FluxPipeline": 0,
    "HunyuanDiTPipeline": 256,
    "IFPipeline": CLIP,
    "Kandinsky3Pipeline": 128,
    "KandinskyPriorPipeline": CLIP,
    "KandinskyV22PriorPipeline": CLIP,
    "LDMTextToImagePipeline": CLIP,
    "LatentConsistencyModelPipeline": CLIP,
    "PixArtAlphaPipeline": 0,
    "PixArtSigmaPipeline": 0,
    "StableCascadePriorPipeline": CLIP,
    "StableDiffusion3Pipeline": 0,
    "StableDiffusionPipeline": CLIP,
    "StableDiffusionXLPipeline": CLIP,
    "UnCLIPPipeline": CLIP,
    "VQDiffusionPipeline": CLIP,
}
"""Tokens that a class has its tokenizers keep, marks among them, as of diffusers 0.42; 0: as its
argument max_sequence_length says. A class that puts words of its own before the prompt is left
out. A tokenizer of CLIP keeps 77 in each."""

TALKATIVE = ("diffusers", "transformers.tokenization_utils_base")
"""Loggers that show part of a prompt that was cut, in every call."""


def unread(checkpoint: Checkpoint, prompts: Sequence[str]) -> list[int | None]:
    """Return for each prompt how many of its tokens no text encoder of the row reads.

    Of several encoders the one that reads the largest share counts. None where that is not known:
    a class outside of `LIMITS`, or weights that are not on this computer.
    """
    try:
        limits = _limits(checkpoint)
    except (LookupError, OSError, ValueError, TypeError, ImportError):
        limits = ()
    if not limits:
        return [None] * len(prompts)
    with hushed():
        return [_cut(prompt, limits) for prompt in prompts]


def _cut(prompt: str, limits: Sequence[tuple[Any, int]]) -> int:
    """Return the tokens cut by the tokenizer that keeps the largest share of its own."""
    lengths = [(len(tokenizer(prompt).input_ids), most) for tokenizer, most in limits]
    return min((max(0, n - most) / n, max(0, n - most)) for n, most in lengths if n)[1]


@lru_cache(maxsize=64)
def _limits(checkpoint: Checkpoint) -> tuple[tuple[Any, int], ...]:
    """Return the tokenizers of a row's first stage, and how many tokens each keeps."""
    from transformers import AutoTokenizer, CLIPTokenizer

    kind: Any = resolve_class(checkpoint.class_name)
    if kind.__name__ not in LIMITS:
        return ()
    folder = Path(locate(checkpoint, checkpoint.stages[0] if checkpoint.stages else ""))
    own = inspect.signature(kind.__call__).parameters.get("max_sequence_length")
    limit = checkpoint.option("max_sequence_length", own.default if own else None)
    pairs = []
    for place in sorted(folder.glob("tokenizer*")):
        tokenizer = AutoTokenizer.from_pretrained(
            place, local_files_only=True, trust_remote_code=False
        )
        clip = isinstance(tokenizer, CLIPTokenizer) or type(tokenizer).__name__.startswith("CLIP")
        most = min(CLIP, tokenizer.model_max_length) if clip else LIMITS[kind.__name__] or limit
        pairs.append((tokenizer, int(most)))
    return tuple(pairs)


@contextmanager
def hushed() -> Iterator[None]:
    """Keep the libraries from showing which part of a prompt was cut: `unread` tells how much."""
    loggers = [logging.getLogger(name) for name in TALKATIVE]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
