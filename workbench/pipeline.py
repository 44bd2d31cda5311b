"""The stages of attribution as plain functions, frame → frame, each through the store.

x → `invert` → p̂ → `generate` → C_k → `encode` → φ → `similarity` → a_kj, and from there
`workbench.ranking` (Li et al. 2024, arXiv:2403.01489); before all, perhaps, `attack`. Every stage
first asks the store, loads weights only where something is missing, makes that in full batches, and
writes each batch as it comes (`making`): a killed run loses the batch in the making, and nothing is
made twice, not even by two processes at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import frames, running
from workbench.attacks import own_rng, without_intensity
from workbench.frames import Features
from workbench.generators import Failure
from workbench.images import fit, open_image
from workbench.making import Maker, carefully, failure, features
from workbench.runners import Tick
from workbench.store import Generation, Store, StoreError

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

Progress = Callable[[str, int, int], None]


def invert(
    images: pd.DataFrame, inverter: Any, store: Store, progress: Progress | None = None
) -> pd.DataFrame:
    """Invert the prompt of every test image: p̂ = PromptInversion(x).

    Args:
        images: frame of that name; its pictures lie in the store or at ``path``.
        inverter: an Inverter. One with a method ``known`` (`Natural`) is handed the images'
            ``prompt`` column instead of their pixels, one with ``of_file`` (`Metadata`) their path.
        store: where prompts are kept.
        progress: called with ("invert", done, total).

    Returns:
        prompts frame, a row for each image; a failed one keeps its reason in ``failure``.
    """
    table = frames.check(images, "images")
    good = table[table["failure"].isna()]
    tick = _ticker("invert", len(good), progress)
    if hasattr(inverter, "known"):
        texts = good.set_index("image_id")["prompt"].items()
        made = {image: _known(inverter, text) for image, text in texts}
        tick(len(made))
    elif hasattr(inverter, "of_file"):
        made = {row.image_id: _of_file(inverter, row.path) for row in good.itertuples()}
        rest = good[[made[name]["text"] is None for name in good["image_id"]]]
        tick(len(good) - len(rest))
        if inverter.otherwise is not None:
            made |= _inverted(rest, inverter.otherwise, store, tick)
    else:
        made = _inverted(good, inverter, store, tick)
    rows = []
    for row in table.itertuples():
        found = made.get(row.image_id, {"text": None, "failure": row.failure})
        named = {"image_id": row.image_id, "inverter": repr(inverter), "prompt": found["text"]}
        if found["text"] is not None:
            named["prompt_id"] = frames.prompt_id(found["text"])
        told = {name: found.get(name) for name in ("score", "failure", "seconds")}
        rows.append(named | told | {"truncated": bool(found.get("truncated"))})
    return frames.build("prompts", rows)


def generate(
    prompts: pd.DataFrame,
    zoo: Mapping[str, Any],
    gamma: int,
    seed: int,
    store: Store,
    progress: Progress | None = None,
    draw: Callable[[int, str, int], int] = frames.candidate_seed,
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
        draw: `frames.candidate_seed`, or `frames.query_seed` for test images.
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
        tick = _ticker("generate", len(jobs) * len(zoo), progress, place * len(jobs))
        made = _generated(generator, jobs, draw.__name__, store, tick)
        for (text, index, drawn), found in zip(jobs, made, strict=True):
            rows.append(
                {
                    "prompt_id": frames.prompt_id(text),
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
    maker = Maker("reconstruction", generator, store)
    jobs = {maker.key(picture=name): name for name in dict.fromkeys(ids)}
    tick = _ticker("reconstruct", len(jobs), progress)
    found = maker.generations(jobs, pictures or store.picture, generator.reconstruct, tick)
    made = {name: found[key].picture for key, name in jobs.items()}
    return {name: picture for name, picture in made.items() if picture is not None}


def encode(
    ids: Iterable[str],
    encoder: Any,
    store: Store,
    size: int,
    progress: Progress | None = None,
    pictures: Callable[[str], Image] | None = None,
) -> Features:
    """Encode pictures, brought to one size: φ(x).

    Args:
        ids: digests of pictures, repeated ones count once.
        encoder: an Encoder.
        store: where feature vectors are kept.
        size: side in pixels every picture goes to first.
        progress: called with ("encode", done, total).
        pictures: digest → RGB picture, the store's own when left out.

    Returns:
        `Features` of N pictures, (N, D) float32.
    """
    found = _encoded(ids, [encoder], lambda some: [encoder(some)], store, size, progress, pictures)
    return found[0]


def encode_layers(
    ids: Iterable[str],
    encoder: Any,
    layers: Sequence[int | None],
    store: Store,
    size: int,
    progress: Progress | None = None,
    pictures: Callable[[str], Image] | None = None,
) -> dict[int | None, Features]:
    """Encode pictures at several layers in one pass; arguments as of `encode`.

    Returns:
        {layer: Features}, each stored under the encoder of that layer, ``encoder.at(layer)``.
    """

    def compute(some: list[Image]) -> list[np.ndarray]:
        found = encoder.layers(some, layers)
        return [found[layer] for layer in layers]

    at = [encoder.at(layer) for layer in layers]
    found = _encoded(ids, at, compute, store, size, progress, pictures)
    return dict(zip(layers, found, strict=True))


def encode_texts(texts: Sequence[str], encoder: Any, store: Store) -> np.ndarray:
    """Encode captions with the encoder's text tower: (N, D) float32 unit rows, by the store.

    Raises:
        ValueError: the encoder has no text tower.
    """
    if not hasattr(encoder, "text"):
        raise ValueError(f"{encoder!r} has no text tower, which is needed to compare captions")
    inputs = {text: {"text": text} for text in texts}
    (found,) = features(
        "text", [encoder], inputs, str, lambda some: [encoder.text(some)], store, lambda _: None
    )
    return found.rows(texts)


def _encoded(
    ids: Iterable[str],
    encoders: Sequence[Any],
    compute: Callable[[list[Image]], list[np.ndarray]],
    store: Store,
    size: int,
    progress: Progress | None,
    pictures: Callable[[str], Image] | None,
) -> list[Features]:
    load = pictures or store.picture
    inputs = {name: {"picture": name, "size": size} for name in ids}
    tick = _ticker("encode", len(inputs), progress)
    return features(
        "encoder", encoders, inputs, lambda name: fit(load(name), size), compute, store, tick
    )


def pictures_of(images: pd.DataFrame, store: Store) -> Callable[[str], Image]:
    """Answer image_id → RGB picture: of the store, else of the row's ``path``, and then kept."""
    paths = dict(zip(images["image_id"], images["path"], strict=True))

    def load(name: str) -> Image:
        try:
            return store.picture(name)
        except StoreError:
            path = paths.get(name)
            if not isinstance(path, str) or not Path(path).is_file():
                raise
            image = open_image(path)
            if store.put_picture(image) != name:
                raise
            return image

    return load


def similarity(
    images: pd.DataFrame,
    prompts: pd.DataFrame,
    candidates: pd.DataFrame,
    similarity: Any,
    store: Store,
    size: int,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Compare every test image with the candidate images of its prompts: a_kj.

    Args:
        images: frame of that name.
        prompts: frame of that name, or any with ``image_id`` and ``prompt_id`` (an image may have
            several: a reference bank's).
        candidates: frame of that name.
        similarity: a Similarity; one with ``encoder`` and ``compare`` takes features of the store,
            one with ``parts`` and ``combine`` is put together from its parts' values.
        store: where pictures and features are kept.
        size: side in pixels every picture goes to first.
        progress: called with ("encode", …) and ("similarity", done, total).

    Returns:
        similarities frame, higher is closer; the value of a failed candidate image is missing.
    """
    table = frames.check(images, "images")
    good = table[table["failure"].isna()][["image_id", "path"]]
    pairs = good.merge(prompts[["image_id", "prompt_id"]].dropna(), on="image_id")
    pairs = pairs.merge(candidates, on="prompt_id")
    pairs["similarity"] = repr(similarity)
    values = _compared(pairs, similarity, pictures_of(good, store), store, size, progress)
    return frames.check(pairs.assign(value=values), "similarities")


def _compared(
    pairs: pd.DataFrame,
    similarity: Any,
    pictures: Callable[[str], Image],
    store: Store,
    size: int,
    progress: Progress | None,
) -> np.ndarray:
    """Answer the value of each pair, NaN where the candidate image failed."""
    if hasattr(similarity, "parts") and hasattr(similarity, "combine"):
        parts = [
            _compared(pairs, part, pictures, store, size, progress) for part in similarity.parts
        ]
        return similarity.combine(parts)
    values = np.full(len(pairs), np.nan)
    valid = pairs[pairs["candidate_id"].notna()]
    if hasattr(similarity, "encoder") and hasattr(similarity, "compare"):
        ids = [*valid["image_id"], *valid["candidate_id"]]
        features = encode(ids, similarity.encoder, store, size, progress, pictures)

        def compare(image: str, others: list[str]) -> np.ndarray:
            return similarity.compare(features.rows([image]), features.rows(others))

    else:
        fitted = lru_cache(maxsize=1024)(lambda name: fit(pictures(name), size))

        def compare(image: str, others: list[str]) -> np.ndarray:
            return similarity([fitted(image)], [fitted(name) for name in others])

    groups = valid.groupby("image_id", sort=False)
    tick = _ticker("similarity", len(groups), progress)
    for done, (image, group) in enumerate(groups, 1):
        values[group.index] = compare(str(image), list(group["candidate_id"]))[0]
        tick(done)
    return values


def attack(
    images: pd.DataFrame,
    attack: Any,
    store: Store,
    seed: int = 0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Attack every test image: x → A(x).

    An attacked picture is a picture of the store: ``image_id`` is the digest of its own pixels,
    ``parent_id`` that of the image it was made from, ``attack`` the attack without its intensity.
    Where two images become the same pixels, they are one row, of the first of them, as everywhere
    in the project; `attacked` tells what became of each. At intensity 0 the rows are the images'
    own, and so is the row of an image that failed before. An attack on an attacked image names the
    last attack alone; ``parent_id`` leads back.

    Args:
        images: frame of that name; its pictures lie in the store or at ``path``.
        attack: an Attack. It draws from `workbench.attacks.own_rng`, of the picture and not of the
            table, so that neither order nor company matters.
        store: where attacked pictures are kept.
        seed: the run's seed.
        progress: called with ("attack", done, total).

    Returns:
        images frame, a row for each distinct picture. One that could not be attacked has an
        image_id that begins with ``attack:``, and its reason in ``failure``.

    Raises:
        LookupError: the weights of the attack are missing.
    """
    table = attacked(images, attack, store, seed, progress)
    return frames.check(table.drop_duplicates("image_id"), "images")


def attacked(
    images: pd.DataFrame,
    attack: Any,
    store: Store,
    seed: int = 0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Attack as `attack` does, and answer a row for each image, in order, equal pixels or not."""
    import pandas as pd

    table = frames.check(images, "images")
    name, intensity = without_intensity(attack), float(attack.intensity)
    good = table[table["failure"].isna()] if intensity else table.iloc[:0]
    made = _attacked(good, attack, store, seed, _ticker("attack", len(good), progress))
    rows = []
    for row in table.to_dict("records"):
        found = made.get(row["image_id"])
        if found is not None:
            lost = f"attack:{frames.digest([name, intensity, int(seed), row['image_id']])}"
            row |= {"parent_id": row["image_id"], "image_id": found.picture or lost}
            row |= {"path": None, "failure": found.failure}
        rows.append(row | {"attack": name, "intensity": intensity})
    return pd.DataFrame(rows, columns=list(table.columns))


def _known(inverter: Any, text: Any) -> dict[str, Any]:
    """Ask for a known prompt; an image without one is a failure."""
    try:
        prompt = inverter.known([text if isinstance(text, str) else None])[0]
    except ValueError:
        return {"text": None, "failure": "the known prompt of this picture is missing"}
    return {"text": prompt.text, "score": prompt.score, "seconds": 0.0}


def _of_file(inverter: Any, path: Any) -> dict[str, Any]:
    """Ask for the prompt in a picture's file; a picture without one is a failure."""
    if not isinstance(path, str):
        return {"text": None, "failure": "this picture comes from no file"}
    try:
        return {"text": inverter.of_file(path).text, "seconds": 0.0}
    except ValueError as error:
        return {"text": None, "failure": str(error)}


def _inverted(
    good: pd.DataFrame, inverter: Any, store: Store, tick: Tick
) -> dict[str, dict[str, Any]]:
    """Answer image_id → row of the store, inverting what is missing."""
    maker = Maker("inverter", inverter, store)
    jobs = {maker.key(image=image): image for image in good["image_id"]}
    found = maker.prompts(jobs, pictures_of(good, store), partial(carefully, inverter), tick)
    return {image: found[key] for key, image in jobs.items()}


def _generated(
    generator: Any, jobs: list[tuple[str, int, int]], tag: str, store: Store, tick: Tick
) -> list[Generation]:
    """Answer a generation for each (prompt, index, seed), making what is missing.

    A generator that cannot be seeded is handed the index, and cached by it. One that costs money
    is asked before all whether its budget affords what is missing.
    """
    maker = Maker("generator", generator, store)
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
            if not running.exhausted(error):
                raise
            return [failure(error)] * len(some)

    named = dict(zip(keys, jobs, strict=True))
    if hasattr(generator, "afford"):
        generator.afford(len(named.keys() - store.generations(named).keys()))
    found = maker.generations(named, lambda job: job, call, tick)
    return [found[key] for key in keys]


def _attacked(
    good: pd.DataFrame, attack: Any, store: Store, seed: int, tick: Tick
) -> dict[str, Generation]:
    """Answer image_id → generation of the store, attacking what is missing, one by one."""
    maker = Maker("attack", attack, store)
    jobs = {maker.key(picture=x, seed=int(seed)): x for x in good["image_id"]}
    load = pictures_of(good, store)

    def one(pairs: list[tuple[str, Image]]) -> list[Image]:
        return [attack(picture, own_rng(attack, image, seed)) for image, picture in pairs]

    def call(some: list[tuple[str, Image]]) -> list[Image | Failure]:
        return [carefully(one, [pair])[0] for pair in some]

    found = maker.generations(jobs, lambda image: (image, load(image)), call, tick)
    return {image: found[key] for key, image in jobs.items()}


def under(name: str, progress: Progress | None) -> Progress | None:
    """Put a name before every stage that is told; None stays None."""
    if progress is None:
        return None
    return lambda stage, done, total: progress(f"{name}: {stage}", done, total)


def _ticker(stage: str, total: int, progress: Progress | None, before: int = 0) -> Tick:
    """Bind the name and the total of a stage, of which ``before`` are done."""

    def tick(done: int) -> None:
        if progress is not None and total:
            progress(stage, before + done, total)

    return tick
