"""Candidate models: from prompts and seeds to pictures. One file is one plug-in.

To add one, copy the nearest file beside this one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from workbench import checkpoints

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Failure:
    """Stand in for a picture that cannot be made, and would fail again; `reason` is a sentence.

    >>> Failure("the safety checker blacked the picture").reason
    'the safety checker blacked the picture'
    """

    reason: str


class Generator(Protocol):
    """Make candidate images c_kj = G_k(p̂; s_j) (Li et al. 2024, arXiv:2403.01489)."""

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image | Failure]:
        """Answer one RGB image or Failure for each (prompt, seed), in order.

        What may pass, such as memory running out, is raised. A class with `seedable = False`
        takes the index 0, 1, … of a candidate where the others take its seed.
        """
        ...


def make_pictures(
    make: Callable[[list[tuple[str, int]]], list[Image | Failure]],
    prompts: Sequence[str],
    seeds: Sequence[int],
    checkpoint: checkpoints.Checkpoint,
    batch: int | None = None,
) -> list[Image | Failure]:
    """Run `make` over (prompt, seed) pairs in the fixed shape; a pair that fails is a Failure.

    `make` answers one image or Failure for each pair of a chunk. A chunk that raises is made again
    pair by pair in the same shape, so that a bad prompt harms no other. Raises ValueError for
    lengths that differ; errors that may pass (memory, disk, device) are raised.
    """
    if len(prompts) != len(seeds):
        raise ValueError(
            f"one seed a prompt is needed; there are {len(prompts)} prompts and {len(seeds)} seeds"
        )

    def careful(chunk: list[tuple[str, int]]) -> list[Image | Failure]:
        try:
            return make(chunk)
        except (ValueError, IndexError, ArithmeticError, RuntimeError) as error:
            if checkpoints.exhausted(error):
                raise
            if len(set(chunk)) == 1:
                return [Failure(f"{checkpoint.name} failed: {error}".splitlines()[0])] * len(chunk)
            return [careful([pair] * len(chunk))[0] for pair in chunk]

    return checkpoints.in_fixed_shape(
        careful, list(zip(prompts, seeds, strict=True)), checkpoint, batch
    )
