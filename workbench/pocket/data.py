"""Training data of the pocket zoo: pictures of the world's train split, drawn once and kept.

Only the train split can be asked for. Pictures lie as uint8 arrays beside their captions in the
training folder (``WORKBENCH_TRAINING``, default ``out/training``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from workbench.pocket.drawing import draw
from workbench.pocket.world import CORPORA, SHAPES, Corpus, Scene, parse, scenes

CHUNK = 1000
ALIKE = 8
"""How many pictures in a row differ in one shape alone, where such are asked for."""


def training_folder() -> Path:
    """Return the folder of checkpoints and drawn pictures while training; ignored by git."""
    folder = Path(os.environ.get("WORKBENCH_TRAINING", "out/training"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _random(corpus: Corpus, chunk: int) -> list[Scene]:
    return list(islice(scenes("train", corpus, seed=chunk), CHUNK))


def _alike(corpus: Corpus, chunk: int) -> list[Scene]:
    """Return scenes in runs of ``ALIKE`` that differ only in the shape of their first object."""
    rng = np.random.default_rng([chunk, 3])
    alike: list[Scene] = []
    for scene in scenes("train", corpus, seed=chunk + 100_000):
        first, *others = scene.things
        shapes = map(str, rng.permutation(SHAPES))
        run = [replace(scene, things=(replace(first, shape=x), *others)) for x in shapes]
        run = [variant for variant in run if variant.split == "train"][:ALIKE]
        alike += run if len(run) == ALIKE else []
        if len(alike) >= CHUNK:
            break
    return alike[:CHUNK]


def _draw(corpus: str, alike: bool, chunk: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng([chunk, 2])
    drawn = (_alike if alike else _random)(CORPORA[corpus], chunk)
    pairs = [draw(scene, CORPORA[corpus], rng) for scene in drawn]
    pixels, shown = (np.stack([np.asarray(pair[i]) for pair in pairs]) for i in range(2))
    return pixels, shown, [str(scene) for scene in drawn]


@dataclass(frozen=True)
class Pictures:
    """Pictures (N, 64, 64, 3) uint8, which of its things every pixel shows (N, 64, 64), captions.

    The first of a caption's things is 1; 0 is the background.
    """

    pixels: np.ndarray
    shown: np.ndarray
    captions: list[str]


def pictures(corpus: str, count: int, split: str = "train", *, alike: bool = False) -> Pictures:
    """Return ``count`` pictures of a corpus.

    With ``alike``, every ``ALIKE`` pictures in a row differ in one shape alone (hard negatives).
    Raises ValueError for any split but ``train``: no model of the zoo may see the others.
    """
    if split != "train":
        raise ValueError(f"the zoo trains on the split 'train' only, not on {split!r}")
    folder = training_folder() / f"{corpus}{'-alike' if alike else ''}-{count}"
    files = {name: folder / f"{name}.npy" for name in ("pixels", "shown")}
    if not (folder / "captions.json").exists():
        folder.mkdir(exist_ok=True)
        with ProcessPoolExecutor(2) as pool:
            parts = list(pool.map(partial(_draw, corpus, alike), range(-(-count // CHUNK))))
        for place, path in enumerate(files.values()):
            np.save(path, np.concatenate([part[place] for part in parts])[:count])
        captions = [caption for part in parts for caption in part[2]][:count]
        (folder / "captions.json").write_text(json.dumps(captions))
    pixels, shown = (np.load(path, mmap_mode="r") for path in files.values())
    return Pictures(pixels, shown, json.loads((folder / "captions.json").read_text()))


def content(captions: Sequence[str], keep_medium: float, seed: int) -> list[str]:
    """Return the captions without their medium, but for a share that keeps it."""
    rng = np.random.default_rng(seed)
    stripped = []
    for caption in captions:
        scene = parse(caption)
        if scene is None:
            raise ValueError(f"not a caption of the world: {caption!r}")
        medium = scene.medium if rng.random() < keep_medium else ""
        stripped.append(str(Scene(scene.things, scene.background, scene.relation, medium)))
    return stripped
