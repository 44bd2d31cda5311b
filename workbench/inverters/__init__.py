"""Prompt inverters: from pictures to prompts. One file is one plug-in.

To add one, copy the nearest file beside this one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from workbench.generators import Failure
from workbench.text import plain
from workbench.weights import device
from workbench.weights.checkpoint import Checkpoint, locate, resolve_class
from workbench.weights.safety import safe_loader_kwargs

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image


@dataclass(frozen=True)
class Prompt:
    """One inverted prompt p̂.

    `score` is the log-probability per token (higher is more certain), or the inverter's own measure
    (a cosine where it searches), or None; `truncated` tells that the inverter stopped at its length
    limit. `trace` is the measure step by step where the prompt was searched for: to look at, no
    part of the answer, so it enters neither equality nor the store.

    >>> Prompt("a red circle").truncated
    False
    """

    text: str
    score: float | None = None
    truncated: bool = False
    trace: tuple[float, ...] = field(default=(), repr=False, compare=False)

    def __post_init__(self) -> None:
        """Escape lone surrogates; raise ValueError for a score that is NaN."""
        if self.score is not None and math.isnan(self.score):
            raise ValueError("the model answers values that are not numbers")
        object.__setattr__(self, "text", plain(self.text))


class Inverter(Protocol):
    """Invert pictures: p̂ = PromptInversion(x) (Li et al. 2024, arXiv:2403.01489).

    One that needs more than the pixels may also have `of_rows`: see `RowInverter`.
    """

    def __call__(self, images: Sequence[Image]) -> list[Prompt]:
        """Return one Prompt for each RGB image, in order."""
        ...


@runtime_checkable
class RowInverter(Inverter, Protocol):
    """An Inverter that reads the rows of the pictures, such as their path, before any pixels.

    `pipeline.invert` asks it for all rows at once and keeps nothing of what it says in the store.
    """

    def of_rows(self, rows: pd.DataFrame) -> Sequence[Prompt | Failure | Inverter]:
        """Return a Prompt, a Failure or an Inverter for each row of an images frame, in order.

        The Inverter returned for a row is called with its pixels; the store keeps that one's
        prompt as if it had been asked itself.
        """
        ...


def load_seeing(checkpoint: Checkpoint) -> tuple[Any, Any]:
    """Load the model that a row's class names, ready to infer, and its processor.

    Raises ValueError for weights of another class than the row's (transformers would fill such a
    model with random numbers), or a processor whose package is not installed.
    """
    from transformers import AutoConfig, AutoProcessor

    kind: Any = resolve_class(checkpoint.class_name)
    source, arguments = locate(checkpoint), safe_loader_kwargs(checkpoint)
    config = AutoConfig.from_pretrained(source, **_but_weights(arguments))
    config_class = getattr(kind, "config_class", type(config))  # an Auto class takes what it knows
    if not isinstance(config, config_class):
        raise ValueError(
            f"they are of a {config.model_type!r} model, and {checkpoint.class_name}, the class "
            f"of the row, is a {config_class.model_type!r} model"
        )
    model = kind.from_pretrained(source, dtype=device.dtype(checkpoint), **arguments)
    try:
        processor = AutoProcessor.from_pretrained(source, **_but_weights(arguments))
    except ImportError as error:
        raise ValueError(str(error).strip()) from error
    return model.to(device.kind()).eval(), processor


def _but_weights(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name != "use_safetensors"}
