"""Training data of the pocket zoo: pictures of the world's train split, drawn once and kept.

Only the train split can be asked for. Pictures lie as one uint8 array (N, 64, 64, 3) beside their
captions in the training folder (``WORKBENCH_TRAINING``, default ``out/training``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from workbench.pocket.drawing import render
from workbench.pocket.world import CORPORA, Scene, parse, scenes

CHUNK = 1000


def training_folder() -> Path:
    """Where checkpoints and drawn pictures lie while training; ignored by git."""
    folder = Path(os.environ.get("WORKBENCH_TRAINING", "out/training"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _draw(corpus: str, chunk: int) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng([chunk, 2])
    drawn = list(islice(scenes("train", CORPORA[corpus], seed=chunk), CHUNK))
    pictures = np.stack([np.asarray(render(scene, CORPORA[corpus], rng)) for scene in drawn])
    return pictures, [str(scene) for scene in drawn]


def pictures(corpus: str, count: int, split: str = "train") -> tuple[np.ndarray, list[str]]:
    """``count`` pictures (N, 64, 64, 3) uint8 of a corpus, and their captions.

    Raises ValueError for any split but ``train``: no model of the zoo may see the others.
    """
    if split != "train":
        raise ValueError(f"the zoo trains on the split 'train' only, not on {split!r}")
    folder = training_folder()
    stem = folder / f"{corpus}-{count}"
    if not stem.with_suffix(".json").exists():
        chunks = range(-(-count // CHUNK))
        with ProcessPoolExecutor(2) as pool:
            parts = list(pool.map(_draw, [corpus] * len(chunks), chunks))
        array = np.concatenate([pixels for pixels, _ in parts])[:count]
        np.save(stem.with_suffix(".npy"), array)
        captions = [caption for _, part in parts for caption in part][:count]
        stem.with_suffix(".json").write_text(json.dumps(captions))
    captions = json.loads(stem.with_suffix(".json").read_text())
    return np.load(stem.with_suffix(".npy"), mmap_mode="r"), captions


def content(captions: Sequence[str], keep_medium: float, seed: int) -> list[str]:
    """The captions without their medium, but for a share that keeps it."""
    rng = np.random.default_rng(seed)
    found = []
    for caption in captions:
        scene = parse(caption)
        if scene is None:
            raise ValueError(f"not a caption of the world: {caption!r}")
        kept = scene.medium if rng.random() < keep_medium else ""
        found.append(str(Scene(scene.things, scene.background, scene.relation, kept)))
    return found
