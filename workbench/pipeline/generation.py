"""Regenerate: C_k = {G_k(p̂; s)}, γ candidate images of every prompt by every model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench import frames
from workbench.generators import Failure
from workbench.keys import candidate_seed, prompt_id
from workbench.pipeline.cache import CachedPlugin, failure_of
from workbench.pipeline.progress import Progress, ticker
from workbench.runners import Tick
from workbench.store.store import Generation, Store
from workbench.weights import memory

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image


def generate(
    prompts: pd.DataFrame,
    zoo: Mapping[str, Any],
    gamma: int,
    seed: int,
    store: Store,
    progress: Progress | None = None,
    draw: Callable[[int, str, int], int] = candidate_seed,
    indices: Sequence[int] | None = None,
) -> pd.DataFrame:
    """Let every candidate model make γ pictures of every prompt: C_k = {G_k(p̂; s)}.

    Args:
        prompts: frame of that name, or any with ``prompt_id`` and ``prompt``; each text once.
        zoo: name → Generator.
        gamma: candidate images per model, at least 1.
        seed: the run's seed, from which ``draw`` derives one for each (prompt, index).
        store: where pictures are kept.
        progress: called with ("generate", done, total).
        draw: `keys.candidate_seed`, or `keys.query_seed` for test images.
        indices: which candidates to make, 0 to γ - 1 when left out. A model without seeds knows a
            picture by its index.

    Returns:
        candidates frame; ``candidate_id`` is the digest of the picture in the store, missing where
        ``failure`` tells why there is none.

    Raises:
        ValueError: γ is below 1.
        LookupError: the weights of a model are missing.
    """
    if gamma < 1:
        raise ValueError(f"gamma, the candidate images per model, is at least 1; seen {gamma}")
    known = prompts[["prompt_id", "prompt"]].dropna().drop_duplicates("prompt_id")
    jobs = [
        (text, index, draw(seed, text, index))
        for text in known["prompt"]
        for index in (range(gamma) if indices is None else indices)
    ]
    rows = []
    for place, (name, generator) in enumerate(zoo.items()):
        tick = ticker("generate", len(jobs) * len(zoo), progress, place * len(jobs))
        made = _generated(generator, jobs, draw.__name__, store, tick)
        for (text, index, drawn), found in zip(jobs, made, strict=True):
            rows.append(
                {
                    "prompt_id": prompt_id(text),
                    "generator": name,
                    "index": index,
                    "run_seed": seed,
                    "seed": drawn,
                    "candidate_id": found.picture,
                    "failure": found.failure,
                    "seconds": found.seconds,
                }
            )
    return frames.build("candidates", rows)


def reconstruct(
    ids: Iterable[str],
    generator: Any,
    store: Store,
    progress: Progress | None = None,
    pictures: Callable[[str], Image] | None = None,
) -> dict[str, str]:
    """Send pictures through the autoencoder of a candidate model: R(x) = D(E(x)).

    Args:
        ids: digests of pictures, repeated ones count once.
        generator: a Generator; one without ``reconstruct`` reconstructs nothing.
        store: where the reconstructions are kept, as pictures.
        progress: called with ("reconstruct", done, total).
        pictures: digest → RGB picture, the store's own when left out.

    Returns:
        digest → digest of the reconstruction; what could not be reconstructed is left out.
    """
    if not hasattr(generator, "reconstruct"):
        return {}
    maker = CachedPlugin("reconstruction", generator, store)
    jobs = {maker.key(picture=name): name for name in dict.fromkeys(ids)}
    tick = ticker("reconstruct", len(jobs), progress)
    found = maker.generations(jobs, pictures or store.picture, generator.reconstruct, tick)
    made = {name: found[key].picture for key, name in jobs.items()}
    return {name: picture for name, picture in made.items() if picture is not None}


def _generated(
    generator: Any, jobs: list[tuple[str, int, int]], tag: str, store: Store, tick: Tick
) -> list[Generation]:
    """Return a generation for each (prompt, index, seed), making what is missing.

    A generator that cannot be seeded is handed the index, and cached by it. One that costs money
    is asked before all whether its budget affords what is missing.
    """
    maker = CachedPlugin("generator", generator, store)
    row = getattr(generator, "checkpoint", None)
    seedable = all(getattr(each, "seedable", True) for each in (generator, row))
    keys = [
        maker.key(prompt=text, seed=seed if seedable else [tag, index])
        for text, index, seed in jobs
    ]

    def call(some: list[tuple[str, int, int]]) -> Sequence[Image | Failure]:
        texts = [text for text, _, _ in some]
        try:
            return generator(texts, [seed if seedable else i for _, i, seed in some])
        except (RuntimeError, MemoryError) as error:
            if not memory.is_transient(error):
                raise
            return [failure_of(error)] * len(some)

    named = dict(zip(keys, jobs, strict=True))
    if hasattr(generator, "afford"):
        generator.afford(len(named.keys() - store.generations(named).keys()))
    found = maker.generations(named, lambda job: job, call, tick)
    return [found[key] for key in keys]
