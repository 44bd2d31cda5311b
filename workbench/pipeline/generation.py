"""Regenerate: C_k = {G_k(p̂; s)}, γ candidate images of every prompt by every model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workbench import frames
from workbench.generators import BLACKED, Failure
from workbench.keys import candidate_seed, check_gamma, prompt_id, redrawn_seed
from workbench.pipeline.aspect import SQUARE, bucket_of, in_bucket, shaped
from workbench.pipeline.cache import CachedPlugin, failure_of
from workbench.pipeline.progress import Progress, ticker
from workbench.runners import Tick
from workbench.store.store import Generation, Store
from workbench.weights import memory

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

log = logging.getLogger(__name__)
REDRAWS = 4
"""Further seeds tried for a picture that a model's safety checker blacked."""


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
    """Generate γ pictures of every prompt by every candidate model: C_k = {G_k(p̂; s)}.

    Args:
        prompts: frame of that name, or any with ``prompt_id`` and ``prompt``; each text once, and
            once more in each bucket of sides that its prompt_id names (`aspect.in_bucket`).
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
        ``failure`` tells why there is none. Where a model's safety checker blacked a picture,
        ``seed`` is the further one of its own that drew another (`keys.redrawn_seed`). ``unread``
        counts the tokens of the prompt that the model cuts, missing where that is not known.

    Raises:
        ValueError: γ is below 1, or more than `keys.MAX_GAMMA`; a model draws no such bucket.
        LookupError: the weights of a model are missing.
    """
    if indices is None or gamma < 1:
        check_gamma(gamma)
    known = prompts[["prompt_id", "prompt"]].dropna().drop_duplicates("prompt_id")
    wanted = range(gamma) if indices is None else indices
    rows: list[dict[str, Any]] = []
    buckets = [bucket_of(name) for name in known["prompt_id"]]
    for sides in dict.fromkeys(buckets) or [SQUARE]:
        texts = list(known["prompt"][[each == sides for each in buckets]])
        jobs = [(text, index, draw(seed, text, index)) for text in texts for index in wanted]
        models = shaped(zoo, sides)
        if models is None:
            raise ValueError(f"not every model draws {sides[0]} by {sides[1]}: {', '.join(zoo)}")
        for name, generator in models.items():
            total = len(known) * len(wanted) * len(zoo)
            tick = ticker("generate", total, progress, len(rows))
            generations = _passed(generator, jobs, draw.__name__, store, tick)
            cut = _unread(name, generator, texts, warn=0 in wanted)
            rows += [
                {
                    "prompt_id": in_bucket(prompt_id(text), sides),
                    "generator": name,
                    "index": index,
                    "run_seed": seed,
                    "seed": drawn,
                    "candidate_id": generation.picture,
                    "failure": generation.failure,
                    "seconds": generation.seconds,
                    "unread": cut.get(text),
                }
                for (text, index, _), (drawn, generation) in zip(jobs, generations, strict=True)
            ]
    return frames.build("candidates", rows)


def _unread(name: str, generator: Any, prompts: list[str], warn: bool) -> dict[str, int | None]:
    """Return how many tokens of each prompt a model does not read; warn of it where `warn`."""
    if not hasattr(generator, "unread"):
        return {}
    cut = dict(zip(prompts, generator.unread(prompts), strict=True))
    some = [count for count in cut.values() if count]
    if some and warn:
        log.warning(
            "%s reads less than the whole of %d of %d prompts (up to %d tokens are cut)",
            name,
            len(some),
            len(cut),
            max(some),
        )
    return cut


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
    generations = maker.generations(jobs, pictures or store.picture, generator.reconstruct, tick)
    pictures_made = {name: generations[key].picture for key, name in jobs.items()}
    return {name: picture for name, picture in pictures_made.items() if picture is not None}


def redrawn(prompts: pd.DataFrame, candidates: pd.DataFrame) -> dict[str, int]:
    """Count by model the candidate images of a further seed, their first having been blacked.

    Both are frames of these names; a candidate whose prompt is not among them does not count.
    """
    texts = dict(zip(prompts["prompt_id"], prompts["prompt"], strict=True))
    counts: dict[str, int] = {}
    for row in candidates.dropna(subset=["candidate_id"]).itertuples():
        text = texts.get(row.prompt_id)
        if text is not None and row.seed != candidate_seed(row.run_seed, text, row.index):
            counts[row.generator] = counts.get(row.generator, 0) + 1
    return counts


def _passed(
    generator: Any, jobs: list[tuple[str, int, int]], tag: str, store: Store, tick: Tick
) -> list[tuple[int, Generation]]:
    """Return the seed and the generation of each (prompt, index, seed).

    A picture that the model's safety checker blacked is drawn anew, from the seed that follows its
    own, `REDRAWS` times at most, so that γ stays the same for all models. Every draw is a row of
    the store.
    """
    generations = _generated(generator, jobs, tag, store, tick)
    passed = [(job[2], generation) for job, generation in zip(jobs, generations, strict=True)]
    if not _seedable(generator):
        return passed
    for number in range(1, REDRAWS + 1):
        again = {
            place: (text, index, redrawn_seed(seed, number))
            for place, (text, index, seed) in enumerate(jobs)
            if passed[place][1].failure == BLACKED
        }
        if not again:
            return passed
        generations = _generated(generator, list(again.values()), tag, store, lambda _: None)
        for (place, job), generation in zip(again.items(), generations, strict=True):
            passed[place] = job[2], generation
    why = f"{BLACKED}, and those of {REDRAWS} further seeds"
    return [
        (job[2], replace(one, failure=why)) if one.failure == BLACKED else (seed, one)
        for job, (seed, one) in zip(jobs, passed, strict=True)
    ]


def _generated(
    generator: Any, jobs: list[tuple[str, int, int]], tag: str, store: Store, tick: Tick
) -> list[Generation]:
    """Return a generation for each (prompt, index, seed), making what is missing.

    A generator that cannot be seeded is handed the index, and cached by it. One that costs money
    is asked before all whether its budget affords what is missing.
    """
    maker = CachedPlugin("generator", generator, store)
    seedable = _seedable(generator)
    keys = _keys(maker, jobs, tag)

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
    generations = maker.generations(named, lambda job: job, call, tick)
    return [generations[key] for key in keys]


def stored(
    texts: Iterable[str],
    generator: Any,
    gamma: int,
    seed: int,
    store: Store,
    draw: Callable[[int, str, int], int] = candidate_seed,
) -> list[Generation | None]:
    """Return what the store has of γ pictures of each text, in order; nothing is made.

    None stands for what is to be made. Arguments as of `generate`. Raises LookupError where the
    weights are missing, by which a picture is known.
    """
    jobs = [(text, i, draw(seed, text, i)) for text in texts for i in range(gamma)]
    keys = _keys(CachedPlugin("generator", generator, store), jobs, draw.__name__)
    there = store.generations(keys)
    return [there.get(key) for key in keys]


def _seedable(generator: Any) -> bool:
    row = getattr(generator, "checkpoint", None)
    return all(getattr(part, "seedable", True) for part in (generator, row))


def _keys(maker: CachedPlugin, jobs: list[tuple[str, int, int]], tag: str) -> list[str]:
    """Return the key of each (prompt, index, seed)."""
    seedable = _seedable(maker.plugin)
    return [
        maker.key(prompt=text, seed=seed if seedable else [tag, index])
        for text, index, seed in jobs
    ]
